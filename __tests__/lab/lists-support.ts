/** The real lists of StarlingX, where they lie beside the project; what the tests take from them, and the tool that takes them from the mirror. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import { INSTALLER, type ListSet } from '../../lab/list-set';
import { type Finished, lab, ROOT, run } from './support';

const REAL = join(ROOT, '..', 'shared/data/starlingx');
export const LIST_SET = join(REAL, 'r-stx.3.0');
const REPLAYS = join(REAL, 'replays');

/** `describe`, or a skip that says what is missing. */
export const describeWithLists = (name: string, tests: () => void): void =>
  (existsSync(LIST_SET) ? describe : describe.skip)(
    existsSync(LIST_SET) ? name : `${name} (skipped: needs ../shared/data/starlingx)`,
    tests,
  );

/** A real change of lists. */
export interface Replay {
  /** The commit that it was. */
  readonly name: string;
  readonly diff: string;
  /** Per file of the change: its path, and what is known of it before and after, from the lines that the diff shows. */
  readonly files: readonly { readonly path: string; readonly layer: string; readonly before: string; readonly after: string }[];
}

export function replays(): readonly Replay[] {
  if (!existsSync(REPLAYS)) return [];
  return readdirSync(REPLAYS)
    .sort()
    .map((file) => replayOf(file.replace('.diff', ''), readFileSync(join(REPLAYS, file), 'utf8')));
}

function replayOf(name: string, diff: string): Replay {
  const files = diff
    .split(/^diff --git /m)
    .slice(1)
    .map((part) => {
      const path = /^\+\+\+ b\/(.+)$/m.exec(part)?.[1] as string;
      const lines = part.slice(part.indexOf('\n@@')).split('\n').filter((line) => /^[ +-]/.test(line)); // prettier-ignore
      const image = (left: string): string =>
        lines
          .filter((line) => line[0] === ' ' || line[0] === left)
          .map((line) => `${line.slice(1)}\n`)
          .join('');
      return { path, layer: path.split('/').at(-2) as string, before: image('-'), after: image('+') };
    });
  return { name, diff, files };
}

/** The packages that a list asks for. */
export const packagesOf = (list: string): string[] => list.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

// ---- The list set r/stx.3.0: what of it must be where --------------------------------------------------------------------------------

/** Sections of `yum.repos.d` that have packages of the lists, as main.ts would declare them; fetched from where the lab has them. */
export function declaredRepositories(set: ListSet, keys: string): string {
  const used = [...new Set(set.packages.flatMap((p) => p.at))].filter((url) => set.repositories.has(url));
  return used
    .map(
      (url, index) => `new RpmRepository(server, 'listed-${index}', {
  publishedAs: '${url}',
  fetchFrom: ['${url.replace('http:', 'https:')}'],
  trust: Trust.signedPackages([PublicKey.fromFile('${join(keys, set.repositories.get(url) as string)}')]),
  view: View.ACCUMULATE,
});`,
    )
    .join('\n');
}

/** Where the tool puts a file of a list, below its output directory. */
const placeOfPackage = (file: string): string =>
  file.endsWith('.src.rpm') ? `Source/${file}` : `Binary/${/\.([^.]+)\.rpm$/.exec(file)?.[1]}/${file}`;
const placeOfTarball = (file: string, script: boolean): string =>
  `downloads/${script ? 'originals/' : file.startsWith('pupp') ? 'puppet/' : ''}${file}`;

/** Path below the output → SHA-256 of what upstreams have there: of most, one. Archives that are made of a repository have no bytes upstream: none. */
export function expectedOf(set: ListSet, www: string): Map<string, readonly string[]> {
  const digest = (url: string): string[] => {
    const { hostname, pathname } = new URL(url);
    return [sha256(readFileSync(join(www, hostname, decodeURIComponent(pathname))))];
  };
  // A few packages of the real names are in repositories of main.ts, too, as other bytes.
  const packages = new Map<string, string[]>();
  for (const path of readdirSync(www, { recursive: true }) as string[])
    if (path.endsWith('.rpm'))
      packages.set(basename(path), [...(packages.get(basename(path)) ?? []), sha256(readFileSync(join(www, path)))]);
  return new Map([
    ...set.packages.map(({ file }): [string, readonly string[]] => [placeOfPackage(file), packages.get(file) ?? []]),
    ...set.tarballs.map(({ file, url, ref, script }): [string, readonly string[]] => [
      placeOfTarball(file, script),
      ref === undefined ? digest(url) : [],
    ]),
    ...set.installer
      .filter((url) => url.startsWith(INSTALLER))
      .map((url): [string, readonly string[]] => [`Binary/${url.slice(INSTALLER.length)}`, digest(url)]),
  ]);
}

/** What the tool writes beside the files: digests of what nothing else vouched for. */
const FIRST_SIGHT = 'first-sight.sha256';

/** What an output directory has too much, too little or otherwise, in words; empty when it is byte for byte what is expected. */
export function differences(output: string, expected: ReadonlyMap<string, readonly string[]>): string[] {
  const found = (existsSync(output) ? readdirSync(output, { recursive: true, withFileTypes: true }) : [])
    .filter((entry) => entry.isFile())
    .map((entry) => relative(output, join(entry.parentPath, entry.name)))
    .filter((path) => path !== FIRST_SIGHT && !path.split('/').some((part) => part.startsWith('.')));
  const wrong = found.filter((path) => {
    const digests = expected.get(path) ?? [];
    return digests.length > 0 && !digests.includes(sha256(readFileSync(join(output, path))));
  });
  return [
    ...[...expected.keys()].filter((path) => !found.includes(path)).map((path) => `missing ${path}`),
    ...found.filter((path) => !expected.has(path)).map((path) => `unexpected ${path}`),
    ...wrong.map((path) => `other bytes in ${path}`),
  ].sort();
}

// ---- A developer on the client host ---------------------------------------------------------------------------------------------------

/** Runs a command on the client host as somebody with this home would; programs trust the lab's authority as a real one. */
export function developer(home: string, cwd: string, command: readonly string[]): Finished {
  const { certificateAuthority } = JSON.parse(lab('status', '--json')) as { certificateAuthority: string };
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    NODE_EXTRA_CA_CERTS: certificateAuthority,
    SSL_CERT_FILE: certificateAuthority,
    GIT_SSL_CAINFO: certificateAuthority,
  };
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return run(process.execPath, ['dist/lab.cjs', 'ssh', 'client', 'env', '-i', '-C', cwd, ...variables, ...command]); // prettier-ignore
}
