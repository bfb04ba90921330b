/** Small real packages: a spec file from a table row, rpmbuild, rpmsign. Cached by content. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eachOf, runBeside } from './shell';
import { type SigningKey, withKeyRing } from './signing-keys';
import type { SourcePackage } from './upstreams';

/** Raise it when packages come out differently. */
const RECIPE = 1;

/** A spec without dependencies, scripts or build steps: dnf can install its packages into an empty root. */
export function specFile(source: SourcePackage): string {
  const binaries = source.binaries ?? [source.name];
  const [first, ...others] = binaries.includes(source.name)
    ? [source.name, ...binaries.filter((b) => b !== source.name)]
    : [undefined, ...binaries];
  const description = (name: string): string => `${name} ${source.version}-${source.release}, as the lab imitates it.`;
  const path = (name: string): string => `/usr/share/doc/${name}-${source.version}/README`;
  return [
    `Name: ${source.name}`,
    ...(source.epoch === undefined ? [] : [`Epoch: ${source.epoch}`]),
    `Version: ${source.version}`,
    `Release: ${source.release}`,
    `Summary: ${source.name} of the lab`,
    'License: Public Domain',
    ...(source.arch === 'noarch' ? ['BuildArch: noarch'] : []),
    ...(source.buildRequires ?? []).map((name) => `BuildRequires: ${name}`),
    'AutoReqProv: no',
    '%description',
    description(source.name),
    ...others.flatMap((name) => [
      `%package -n ${name}`,
      `Summary: ${name} of the lab`,
      'AutoReqProv: no',
      `%description -n ${name}`,
      description(name),
    ]),
    '%prep',
    '%build',
    '%install',
    // Text of a size that depends on the name, so that packages differ in more than their header.
    ...binaries.map(
      (name) =>
        `mkdir -p %{buildroot}$(dirname ${path(name)}); seq ${1000 + (fingerprintOf(name) % 3000)} | sed 's/^/${name} ${source.version}-${source.release} /' > %{buildroot}${path(name)}`,
    ),
    ...(first === undefined ? [] : ['%files', path(first)]),
    ...others.flatMap((name) => [`%files -n ${name}`, path(name)]),
    '%changelog',
    '',
  ].join('\n');
}

const fingerprintOf = (name: string): number => createHash('sha256').update(name).digest().readUInt32BE(0);

/** Macros: what CentOS 7's rpm can read, and nothing of this machine. */
export const MACROS = {
  debug_package: '%{nil}', __os_install_post: '%{nil}', _build_id_links: 'none', _binary_payload: 'w2.xzdio', _source_payload: 'w2.gzdio', _buildhost: 'builder.lab.invalid', vendor: 'Lab',
}; // prettier-ignore

export interface BuiltPackage {
  readonly file: string;
  readonly path: string;
  readonly source: boolean;
}

/** The signed packages of each source, built when the cache lacks them. */
export async function builtPackages(cache: string, sources: readonly SourcePackage[], key: SigningKey): Promise<BuiltPackage[]> {
  const directories = sources.map((source) => ({ source, directory: join(cache, 'packages', digestOf(source, key)) }));
  const missing = directories.filter(({ directory }) => !existsSync(directory));
  if (missing.length > 0) {
    mkdirSync(join(cache, 'packages'), { recursive: true });
    await withKeyRing([key], (home) => eachOf(missing, 2, ({ source, directory }) => buildAndSign(source, key, home, directory)));
  }
  return directories.flatMap(({ directory }) =>
    readdirSync(directory)
      .sort()
      .map((file) => ({ file, path: join(directory, file), source: file.endsWith('.src.rpm') })),
  );
}

function digestOf(source: SourcePackage, key: SigningKey): string {
  return createHash('sha256')
    .update(JSON.stringify([RECIPE, specFile(source), MACROS, key.fingerprint]))
    .digest('hex')
    .slice(0, 24);
}

async function buildAndSign(source: SourcePackage, key: SigningKey, home: string, directory: string): Promise<void> {
  const work = mkdtempSync(join(directory, '..', 'new-'));
  try {
    const spec = join(work, `${source.name}.spec`);
    const result = join(work, 'rpms');
    mkdirSync(result);
    writeFileSync(spec, specFile(source));
    const macros = {
      ...MACROS,
      _topdir: join(work, 'build'),
      _rpmdir: result,
      _srcrpmdir: result,
      _rpmfilename: '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
    };
    await runBeside(['rpmbuild', '-ba', '--nodeps', '--quiet', '--target', 'x86_64', ...defines(macros), spec]);
    const files = readdirSync(result).map((file) => join(result, file));
    const signing = { _gpg_name: key.fingerprint, _gpg_path: home, _gpg_digest_algo: 'sha256', __gpg: '/usr/bin/gpg' };
    await runBeside(['rpmsign', '--addsign', ...defines(signing), ...files]);
    renameSync(result, directory);
  } catch (error) {
    if (!existsSync(directory)) throw error; // Else another lab built the same at the same time.
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export function defines(macros: Readonly<Record<string, string>>): string[] {
  return Object.entries(macros).flatMap(([name, value]) => ['--define', `${name} ${value}`]);
}
