/** Small packages by their file names alone, thousands in a minute: many sub-packages to a spec, each with a version of its own. Cached one by one. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defines, MACROS } from './rpm-build';
import { eachOf, runBeside, usageError } from './shell';
import { type SigningKey, withKeyRing } from './signing-keys';

/** Raise it when packages come out differently. */
const RECIPE = 1;
/** Packages of a spec: more of them make rpmbuild slower than in proportion. */
const PER_SPEC = 120;

interface Wanted {
  readonly file: string;
  readonly name: string;
  readonly version: string;
  readonly release: string;
  readonly arch: string;
}

/** The signed packages of these file names: file name → path. */
export async function packagesNamed(cache: string, files: readonly string[], key: SigningKey): Promise<Map<string, string>> {
  const directory = join(cache, 'listed', `${key.fingerprint.slice(-16)}-${RECIPE}`);
  mkdirSync(directory, { recursive: true });
  const missing = [...new Set(files)].filter((file) => !existsSync(join(directory, file))).map(wantedOf);
  if (missing.length > 0) {
    await withKeyRing([key], async (home) => {
      const sources = missing.filter(({ arch }) => arch === 'src');
      const lots = [...lotsOf(missing.filter(({ arch }) => arch !== 'src')), ...sources.map((source) => [source])];
      const work = mkdtempSync(join(directory, '.new-'));
      try {
        // Signed in large lots: rpmsign costs more to start than to sign.
        const built = join(work, 'rpms');
        mkdirSync(built);
        await eachOf([...lots.entries()], 2, ([index, lot]) => build(lot, join(work, String(index)), built));
        const made = readdirSync(built).map((file) => join(built, file));
        const half = Math.ceil(made.length / 2);
        await eachOf(
          [made.slice(0, half), made.slice(half)].filter((lot) => lot.length > 0),
          2,
          (lot) => sign(lot, key, home),
        );
        for (const { file } of missing) renameSync(join(built, file), join(directory, file));
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    });
  }
  return new Map(files.map((file) => [file, join(directory, file)]));
}

/** By the last two hyphens, as rpm names packages. */
function wantedOf(file: string): Wanted {
  const match = /^(.+)-([^-]+)-([^-]+)\.([^.]+)\.rpm$/.exec(file);
  if (!match) throw usageError(`${JSON.stringify(file)} is no name of a package`, 'It is <name>-<version>-<release>.<arch>.rpm.');
  const [, name, version, release, arch] = match as unknown as [string, string, string, string, string];
  return { file, name, version, release, arch };
}

/** Lots for one spec each: one name once, and besides noarch one architecture. */
function lotsOf(wanted: readonly Wanted[]): Wanted[][] {
  const lots: { arch: string; names: Set<string>; packages: Wanted[] }[] = [];
  for (const next of wanted) {
    const arch = next.arch === 'noarch' ? 'x86_64' : next.arch;
    let lot = lots.find((l) => l.arch === arch && l.packages.length < PER_SPEC && !l.names.has(next.name));
    if (!lot) lots.push((lot = { arch, names: new Set(), packages: [] }));
    lot.names.add(next.name);
    lot.packages.push(next);
  }
  return lots.map(({ packages }) => packages);
}

const fileIn = ({ name, version, release }: Wanted): string => `/usr/share/doc/${name}-${version}-${release}/README`;

/** One spec with all packages of a lot; what a source package is made of when the lot is one. */
function specOf(lot: readonly Wanted[]): string {
  const [first] = lot as [Wanted];
  const source = first.arch === 'src';
  return [
    `Name: ${source ? first.name : 'lot'}`,
    `Version: ${first.version}`,
    `Release: ${first.release}`,
    'Summary: Packages of a list',
    'License: Public Domain',
    'AutoReqProv: no',
    '%description',
    `As a list names them: ${first.file}.`,
    ...(source ? [] : lot).flatMap((p) => [
      `%package -n ${p.name}`,
      `Version: ${p.version}`,
      `Release: ${p.release}`,
      ...(p.arch === 'noarch' ? ['BuildArch: noarch'] : []),
      'Summary: A package of a list',
      'AutoReqProv: no',
      `%description -n ${p.name}`,
      p.file,
    ]),
    '%prep',
    '%build',
    '%install',
    'cp -a %{_sourcedir}/. %{buildroot}',
    ...(source ? ['%files', fileIn(first)] : lot.flatMap((p) => [`%files -n ${p.name}`, fileIn(p)])),
    '',
  ].join('\n');
}

async function build(lot: readonly Wanted[], work: string, result: string): Promise<void> {
  const [first] = lot as [Wanted];
  const tree = join(work, 'tree');
  for (const p of lot) {
    mkdirSync(join(tree, fileIn(p), '..'), { recursive: true });
    // From 0.1 to 12 kB, and never two alike.
    const digest = createHash('sha256').update(p.file);
    const lines = 1 + ((digest.copy().digest()[0] as number) % 120);
    writeFileSync(
      join(tree, fileIn(p)),
      Array.from({ length: lines }, (_, n) => `${p.file} ${digest.copy().update(String(n)).digest('hex')}\n`).join(''),
    );
  }
  const spec = join(work, 'lot.spec');
  writeFileSync(spec, specOf(lot));
  const macros = {
    ...MACROS,
    _binary_payload: 'w1.gzdio',
    _topdir: join(work, 'build'),
    _sourcedir: tree,
    _rpmdir: result,
    _srcrpmdir: result,
    _rpmfilename: '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
  };
  const target = first.arch === 'noarch' || first.arch === 'src' ? 'x86_64' : first.arch;
  await runBeside(['rpmbuild', first.arch === 'src' ? '-bs' : '-bb', '--quiet', '--target', target, ...defines(macros), spec]);
}

async function sign(files: readonly string[], key: SigningKey, home: string): Promise<void> {
  const signing = { _gpg_name: key.fingerprint, _gpg_path: home, _gpg_digest_algo: 'sha256', __gpg: '/usr/bin/gpg' };
  await runBeside(['rpmsign', '--addsign', ...defines(signing), ...files]);
}
