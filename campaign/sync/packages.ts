/** Real packages, made by rpmbuild and signed by rpmsign, of which upstreams are put together. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { must } from '../host';

export interface Package {
  /** `alpha-1-1.noarch.rpm` */
  readonly file: string;
  readonly name: string;
  readonly version: number;
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

/** An OpenPGP key in a home of its own. */
export interface Key {
  readonly home: string;
  readonly name: string;
  readonly fingerprint: string;
  /** Armoured. */
  readonly publicKey: string;
  readonly secretKey: string;
  /** Binary public key, for gpgv. */
  readonly ring: string;
}

export function makeKey(home: string, name: string): Key {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const gpg = (...argv: string[]): Buffer =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', '', ...argv], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  gpg('--quick-gen-key', `${name} <${name}@example.org>`, 'rsa2048', 'sign', 'never');
  const listed = gpg('--with-colons', '--list-keys', name).toString();
  const ring = join(home, 'public.gpg');
  writeFileSync(ring, gpg('--export', name));
  return {
    home,
    name,
    fingerprint: /^fpr:{9}([0-9A-F]+):/m.exec(listed)?.[1] ?? '',
    publicKey: gpg('--armor', '--export', name).toString(),
    secretKey: gpg('--armor', '--export-secret-keys', name).toString(),
    ring,
  };
}

/** Ends the agent of a key's home. */
export async function dropKey(key: Key): Promise<void> {
  await must('gpgconf', ['--homedir', key.home, '--kill', 'all']);
}

export async function signDetached(key: Key, path: string): Promise<void> {
  await must('gpg', ['--homedir', key.home, '--batch', '--yes', '--quiet', '--armor', '--detach-sign', '--output', `${path}.asc`, path]);
}

/** One of them is of so many bytes, and comes in several writes. */
const LARGE = 200_000;

/** Builds and signs every name in every version from 1. All versions of a build are one spec. */
export async function buildPackages(directory: string, names: readonly string[], versions: number, key: Key): Promise<Package[]> {
  const rpms = join(directory, 'rpms');
  mkdirSync(rpms, { recursive: true });
  for (let version = 1; version <= versions; version++) {
    const spec = join(directory, `pool-${version}.spec`);
    writeFileSync(spec, specOf(names, version));
    await must('rpmbuild', [
      '-bb',
      '--quiet',
      '--define',
      `_topdir ${directory}`,
      '--define',
      `_rpmdir ${rpms}`,
      '--define',
      '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
      spec,
    ]);
  }
  const files = readdirSync(rpms).sort();
  await must(
    'rpmsign',
    ['--define', '__gpg /usr/bin/gpg', '--define', `_gpg_name ${key.name}`, '--addsign', ...files.map((file) => join(rpms, file))],
    { ...process.env, GNUPGHOME: key.home },
  );
  return files.map((file) => packageOf(join(rpms, file)));
}

function specOf(names: readonly string[], version: number): string {
  const head = `Name: pool\nVersion: ${version}\nRelease: 1\nSummary: pool\nLicense: MIT\nBuildArch: noarch\n%description\npool\n`;
  const packages = names.map((name) => `%package -n ${name}\nSummary: ${name}\n%description -n ${name}\n${name}\n`).join('');
  const install = names
    .map((name, index) => `head -c ${index === 0 ? LARGE : 3000 + 500 * index} /dev/urandom > %{buildroot}/opt/${name}\n`)
    .join('');
  const files = names.map((name) => `%files -n ${name}\n/opt/${name}\n`).join('');
  const changes = `%changelog\n* Mon Jan 05 2026 Pool <pool@example.org> - ${version}-1\n- version ${version}\n`;
  return `${head}${packages}%install\nmkdir -p %{buildroot}/opt\n${install}${files}${changes}`;
}

function packageOf(path: string): Package {
  const file = basename(path);
  const [, name = '', version = ''] = /^(.*)-(\d+)-1\.noarch\.rpm$/.exec(file) ?? [];
  const bytes = readFileSync(path);
  return { file, name, version: Number(version), path, sha256: sha256(bytes), size: bytes.length };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
