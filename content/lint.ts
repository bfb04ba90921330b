/** `mirrorctl lint`: somebody's repositories against the scheme (desired-state/mos-scheme.ts), from the outermost folder in. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { LINT_RULES, type LintCode, type Severity } from '../desired-state/lint-rules';
import {
  type Codename,
  isComponent,
  isDistribution,
  isTree,
  keyFileName,
  parseCodename,
  SNAPSHOTS,
  SOURCE,
} from '../desired-state/mos-scheme';
import { readPublicKeys } from '../desired-state/openpgp-key';
import { COMPONENTS } from '../desired-state/render/repo-file';
import { buildKeyRing, type KeyRing } from '../signatures/pinned-keys';
import { type Entry, type LintSource, openSource } from './lint-source';
import { lintSnapshots } from './lint-snapshots';
import { lintTree } from './lint-tree';

export interface Finding {
  readonly severity: Severity;
  readonly code: LintCode;
  /** Below what was named; `.` is that itself. */
  readonly path: string;
  readonly message: string;
  readonly remedy: string;
}

/** What was looked at. */
export type Level = 'prefix' | 'distribution' | 'codename' | 'component' | 'tree';

export interface LintOutcome {
  readonly where: string;
  /** Absent where nothing was found. */
  readonly level?: Level;
  readonly deep: boolean;
  /** Trees and packages that were looked at. */
  readonly trees: number;
  readonly packages: number;
  readonly errors: number;
  readonly warnings: number;
  /** The first ten thousand. */
  readonly findings: readonly Finding[];
}

export interface LintOptions {
  /** Reads every package: checksums, signatures, headers. */
  readonly deep: boolean;
  /** Says how far it is. */
  readonly say: (text: string) => void;
}

/** A repository may be wrong in every package. */
const MAX_FINDINGS = 10_000;
const MAX_KEY_BYTES = 4 * 1024 * 1024;

/** One run: where it looks, and what it found. */
export class Lint {
  readonly findings: Finding[] = [];
  readonly counts = { error: 0, warning: 0, trees: 0, packages: 0 };
  /** By the text of the key file: components share one. */
  readonly rings = new Map<string, KeyRing>();

  constructor(
    readonly source: LintSource,
    readonly options: LintOptions,
    /** A directory of its own. */
    readonly scratch: string,
  ) {}

  /** Notes what is wrong at `path`; `message` begins with what is there. */
  add(code: LintCode, path: string, message: string): void {
    const { severity, remedy } = LINT_RULES[code];
    this.counts[severity]++;
    if (this.findings.length < MAX_FINDINGS) this.findings.push({ severity, code, path, message, remedy });
  }
}

/** Looks at a directory or URL. Throws a MirrorError where it cannot be read at all. */
export async function lint(where: string, options: LintOptions): Promise<LintOutcome> {
  const scratch = await mkdtemp(join(tmpdir(), 'mirror-lint-'));
  try {
    const source = await openSource(where, scratch);
    try {
      const run = new Lint(source, options, scratch);
      const level = await lintPlace(run);
      const { error, warning, trees, packages } = run.counts;
      return {
        where,
        ...(level === undefined ? {} : { level }),
        deep: options.deep,
        trees,
        packages,
        errors: error,
        warnings: warning,
        findings: run.findings,
      };
    } finally {
      await source.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

export function lintExitCode({ errors }: LintOutcome): ExitCode {
  return errors > 0 ? ExitCode.invalid : ExitCode.ok;
}

/** Finds out what was named, and looks at it. */
async function lintPlace(run: Lint): Promise<Level | undefined> {
  const { segments } = run.source;
  const own = segments.at(-1) ?? '';
  const listed = await run.source.list('.');
  const entries = listed ?? (await probed(run));
  if (listed === undefined) run.add('LISTING_MISSING', '.', 'the server lists no files here');
  const has = (test: (name: string) => boolean): boolean => foldersOf(entries).some(test);
  const codenameAt = (index: number): Codename | undefined => parseCodename(segments.at(index) ?? '');
  if (has((name) => name === 'repodata')) {
    const tree = isTree(own) ? own : 'x86_64';
    await lintTree(run, '.', tree, undefined);
    return 'tree';
  }
  if (has(isTree)) {
    await lintComponent(run, '.', codenameAt(-2), entries);
    return 'component';
  }
  if (has((name) => (COMPONENTS as readonly string[]).includes(name)) || codenameAt(-1) !== undefined) {
    await lintCodename(run, '.', codenameAt(-1), entries);
    return 'codename';
  }
  if (isDistribution(own) || has((name) => parseCodename(name) !== undefined)) {
    await lintDistribution(run, '.', own, entries);
    return 'distribution';
  }
  if (has(isDistribution)) {
    await lintPrefix(run, entries);
    return 'prefix';
  }
  run.add('NOTHING_FOUND', '.', `${foldersOf(entries).length === 0 ? 'there are no folders' : `there are the folders ${foldersOf(entries).slice(0, 8).join(', ')}`}`); // prettier-ignore
  return undefined;
}

/** What can be asked for by name where nobody lists it. */
async function probed(run: Lint): Promise<readonly Entry[]> {
  const index = 'repodata/repomd.xml';
  const wanted: readonly (readonly [string, string])[] = [
    ['repodata', index],
    ...['x86_64', SOURCE].map((tree) => [tree, `${tree}/${index}`] as const),
    ...COMPONENTS.map((component) => [component, `${component}/x86_64/${index}`] as const),
  ];
  const found: Entry[] = [];
  for (const [name, path] of wanted) if ((await run.source.size(path)) !== undefined) found.push({ name, kind: 'folder' });
  return found;
}

async function lintPrefix(run: Lint, entries: readonly Entry[]): Promise<void> {
  for (const name of foldersOf(entries)) {
    if (isDistribution(name)) await lintDistribution(run, name, name);
    else run.add('DISTRIBUTION_UNKNOWN', name, `${JSON.stringify(name)} is no known distribution`);
  }
}

async function lintDistribution(run: Lint, path: string, distribution: string, known?: readonly Entry[]): Promise<void> {
  for (const name of foldersOf(known ?? (await listed(run, path)))) {
    const codename = parseCodename(name);
    const place = below(path, name);
    if (codename === undefined) run.add('CODENAME_MALFORMED', place, `${JSON.stringify(name)} is no codename`);
    else {
      if (isDistribution(distribution) && codename.distribution !== distribution)
        run.add('CODENAME_MISPLACED', place, `${name} is for ${codename.distribution}, and lies in ${distribution}`);
      await lintCodename(run, place, codename);
    }
  }
}

async function lintCodename(run: Lint, path: string, codename: Codename | undefined, known?: readonly Entry[]): Promise<void> {
  const names = foldersOf(known ?? (await listed(run, path)));
  const components = names.filter((name) => name !== SNAPSHOTS);
  for (const name of components) {
    if (isComponent(name)) await lintComponent(run, below(path, name), codename);
    else run.add('COMPONENT_MALFORMED', below(path, name), `${JSON.stringify(name)} cannot be the name of a component`);
  }
  for (const name of COMPONENTS)
    if (!names.includes(name)) run.add('COMPONENT_MISSING', below(path, name), `there is no component ${name}`);
  if (names.includes(SNAPSHOTS)) await lintSnapshots(run, below(path, SNAPSHOTS), components);
}

async function lintComponent(run: Lint, path: string, codename: Codename | undefined, known?: readonly Entry[]): Promise<void> {
  const entries = known ?? (await listed(run, path));
  const ring = await keysOf(run, path, codename, entries);
  const folders = foldersOf(entries);
  for (const name of folders) {
    if (isTree(name)) await lintTree(run, below(path, name), name, ring);
    else run.add('TREE_UNKNOWN', below(path, name), `${JSON.stringify(name)} is neither an architecture nor ${SOURCE}`);
  }
  if (!folders.some((name) => name !== SOURCE && isTree(name))) run.add('TREE_MISSING', path, 'there is no tree of an architecture');
  if (!folders.includes(SOURCE)) run.add('SOURCE_MISSING', below(path, SOURCE), `there is no ${SOURCE}`);
}

/** The component's keys; undefined where they cannot be used, which is a finding. */
async function keysOf(run: Lint, path: string, codename: Codename | undefined, entries: readonly Entry[]): Promise<KeyRing | undefined> {
  const files = entries.filter(({ kind }) => kind !== 'folder').map(({ name }) => name);
  const named = files.filter((name) => /^RPM-GPG-KEY-/.test(name));
  const right = codename === undefined ? named.find((name) => /^RPM-GPG-KEY-(mos\d|starlingx$)/.test(name)) : keyFileName(codename.release);
  for (const name of files) {
    if (name === right) continue;
    if (named.includes(name)) run.add('KEY_MISNAMED', below(path, name), `the key file should be ${right ?? 'RPM-GPG-KEY-mos<release>'}`);
    else run.add('STRAY_FILE', below(path, name), `${JSON.stringify(name)} is nothing of the scheme`);
  }
  const keyFile = right ?? named[0];
  const place = below(path, keyFile ?? 'RPM-GPG-KEY-mos<release>');
  const ring = keyFile === undefined ? undefined : await ringOf(run, place);
  if (ring === 'absent' || keyFile === undefined) run.add('KEY_MISSING', place, 'there is no such key file');
  return ring === 'absent' ? undefined : ring;
}

async function ringOf(run: Lint, path: string): Promise<KeyRing | 'absent' | undefined> {
  try {
    const ring = await run.source.read(path, MAX_KEY_BYTES, async (file) => {
      const text = await readFile(file, 'latin1');
      const known = run.rings.get(text);
      if (known !== undefined) return known;
      const pinned = readPublicKeys(text, path).map(({ fingerprint }) => ({ path: file, fingerprint }));
      const ring = await buildKeyRing(pinned, await mkdtemp(join(run.scratch, 'keys-')));
      run.rings.set(text, ring);
      return ring;
    });
    return ring ?? 'absent';
  } catch (error) {
    if (!(error instanceof MirrorError) || error.exitCode === ExitCode.environment || error.exitCode === ExitCode.unreachable) throw error;
    run.add('KEY_UNUSABLE', path, error.message);
    return undefined;
  }
}

/** What a folder below the first holds: where the server lists nothing, what the scheme says by name. */
async function listed(run: Lint, path: string): Promise<readonly Entry[]> {
  const found = await run.source.list(path);
  if (found !== undefined) return found;
  const trees: Entry[] = [];
  for (const name of ['x86_64', SOURCE])
    if ((await run.source.size(`${path}/${name}/repodata/repomd.xml`)) !== undefined) trees.push({ name, kind: 'folder' });
  return trees;
}

export function foldersOf(entries: readonly Entry[]): readonly string[] {
  return entries.filter(({ kind }) => kind === 'folder').map(({ name }) => name);
}

export function below(folder: string, name: string): string {
  if (folder === '.' || name === '.') return folder === '.' ? name : folder;
  return `${folder}/${name}`;
}
