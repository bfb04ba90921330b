import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** An OpenPGP key made for a test, in a home of its own. */
export interface TestKey {
  readonly home: string;
  readonly name: string;
  readonly fingerprint: string;
  readonly publicKey: string;
  readonly secretKey: string;
}

export function makeKey(home: string, name: string): TestKey {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const gpg = (...argv: string[]): string =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', '', ...argv], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  gpg('--quick-gen-key', `${name} <${name}@example.org>`, 'rsa2048', 'sign', 'never');
  const fingerprint = /^fpr:{9}([0-9A-F]+):/m.exec(gpg('--with-colons', '--list-keys', name))?.[1] as string;
  return { home, name, fingerprint, publicKey: gpg('--armor', '--export', name), secretKey: gpg('--armor', '--export-secret-keys', name) };
}

/** Ends the agent of a key's home. */
export function dropKey(key: TestKey): void {
  execFileSync('gpgconf', ['--homedir', key.home, '--kill', 'all']);
}

export function signDetached(key: TestKey, path: string): void {
  execFileSync('gpg', ['--homedir', key.home, '--batch', '--yes', '--quiet', '--armor', '--detach-sign', '--output', `${path}.asc`, path], {
    stdio: 'ignore',
  });
}

export function signPackage(key: TestKey, path: string): void {
  execFileSync('rpmsign', ['--define', '__gpg /usr/bin/gpg', '--define', `_gpg_name ${key.name}`, '--addsign', path], {
    stdio: 'ignore',
    env: { ...process.env, GNUPGHOME: key.home },
  });
}

/** Builds `<name>-<version>-1.noarch.rpm` with a file of `bytes` random bytes. Returns its path in `directory`. */
export function buildPackage(directory: string, name: string, version: string, bytes = 2000): string {
  const build = join(directory, '.build');
  mkdirSync(build, { recursive: true });
  const spec = join(build, `${name}-${version}.spec`);
  writeFileSync(
    spec,
    `Name: ${name}\nVersion: ${version}\nRelease: 1\nSummary: test\nLicense: MIT\nBuildArch: noarch\n%description\ntest\n%install\nmkdir -p %{buildroot}/opt\nhead -c ${bytes} /dev/urandom > %{buildroot}/opt/${name}\n%files\n/opt/${name}\n`,
  );
  const rpms = join(build, 'rpms');
  execFileSync(
    'rpmbuild',
    [
      '-bb',
      '--quiet',
      '--define',
      `_topdir ${build}`,
      '--define',
      `_rpmdir ${rpms}`,
      '--define',
      '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
      spec,
    ],
    { stdio: 'ignore' },
  );
  return join(rpms, `${name}-${version}-1.noarch.rpm`);
}
