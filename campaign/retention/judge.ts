/** Judges a storage root after a kill, and after the runs that follow it, without any code of the mirror. */
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Reference } from '../kills';
import { filesBelow, readTree, storeProblems, type Tree } from '../sync/checker';
import { endedAs, isTrace } from '../sync/judge';
import { ID, type Mirror } from '../sync/mirror';
import { sha256 } from '../sync/packages';
import { clockAt } from '../sync/strike';
import type { Ended } from '../sync/workshop';
import type { Case } from './cases';

/** What is on disk and matters. */
export interface State {
  /** The packages that are published, by digest; undefined where nothing is. */
  readonly published: string | undefined;
  /** Snapshots in service: name without what differs from run to run → its files with digests. */
  readonly snapshots: ReadonlyMap<string, string>;
  /** Frozen releases: path → digest, links followed. */
  readonly release: string | undefined;
  /** Digests of all packages that are anywhere below the storage root. */
  readonly packages: ReadonlySet<string>;
  /** Everything below the storage root: path → digest of what does not tell the time. */
  readonly everything: ReadonlyMap<string, string>;
  /** Items in the ledger, with their stage. */
  readonly ledger: string;
  readonly problems: readonly string[];
}

/** A path without what differs from run to run. Pure. */
export const withoutTime = (path: string): string =>
  path
    .replace(/(quarantine\/\d+\/sha256-[0-9a-f]+)\.\d+$/, '$1.<inode>')
    .replace(/\d{8}T\d{6}Z/g, '<time>')
    .replace(/-[0-9a-f]{12}(?=[./]|$)/g, '-<hex>');
/** Of these the bytes tell when they were made. */
const TELLS_TIME = /repomd\.xml|records\/|retention\.json$|\/gone$|release\.json$|manifest\.txt$|sentinel/;

export async function stateOf(mirror: Mirror): Promise<State> {
  const problems: string[] = [];
  const tree: Tree | undefined = await readTree(mirror.tree, mirror.signer);
  problems.push(...(tree?.problems ?? []));
  const digests = new Map<number, string>();
  const digestOf = (path: string): string => {
    const { ino } = lstatSync(path);
    const digest = digests.get(ino) ?? sha256(readFileSync(path));
    digests.set(ino, digest);
    return digest;
  };
  const contents = (directory: string): string =>
    filesBelow(directory)
      .map((path) => `${path} ${digestOf(join(directory, path))}`)
      .join('\n');
  const snapshots = new Map<string, string>();
  const folder = join(mirror.root, 'repositories', ID, 'snapshots');
  if (existsSync(folder))
    for (const name of readdirSync(folder)) if (!name.startsWith('.')) snapshots.set(name, contents(join(folder, name)));
  const release = await releaseOf(mirror, digestOf, problems);
  const packages = new Set<string>();
  const everything = new Map<string, string>();
  for (const path of filesBelow(mirror.root)) {
    const digest = digestOf(join(mirror.root, path));
    if (path.endsWith('.rpm')) packages.add(digest);
    everything.set(withoutTime(path), TELLS_TIME.test(path) ? '' : digest);
  }
  return {
    published: tree?.packages
      .map((one) => one.sha256)
      .sort()
      .join(),
    snapshots,
    release,
    packages,
    everything,
    ledger: ledgerOf(mirror),
    problems,
  };
}

/** A release that is served is whole: each of its links leads to a tree that is there, and its pins to a repository. */
async function releaseOf(mirror: Mirror, digestOf: (path: string) => string, problems: string[]): Promise<string | undefined> {
  const directory = join(mirror.root, 'releases/r1');
  if (!existsSync(directory)) return undefined;
  const lines: string[] = [];
  const walk = (at: string): void => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const path = join(at, entry.name);
      if (entry.name === 'pins') continue;
      if (entry.isSymbolicLink() && !existsSync(path)) problems.push(`${path} leads to ${readlinkSync(path)}, which is not there`);
      else if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) lines.push(`${relative(directory, path)} ${TELLS_TIME.test(path) ? '' : digestOf(path)}`);
      else for (const file of filesBelow(`${path}/`)) lines.push(`${relative(directory, path)}/${file} ${digestOf(join(path, file))}`);
    }
  };
  walk(directory);
  if (!existsSync(join(directory, 'release.json')) || !existsSync(join(directory, 'manifest.txt')))
    problems.push('half of a release is served');
  // They may come after it, and are then there as a whole.
  const pins = join(directory, 'pins');
  if (existsSync(pins)) problems.push(...((await readTree(pins, mirror.signer))?.problems ?? []));
  return lines.sort().join('\n');
}

function ledgerOf(mirror: Mirror): string {
  const path = join(mirror.state, 'retention.json');
  if (!existsSync(path)) return '';
  const { entries } = JSON.parse(readFileSync(path, 'utf8')) as { entries: Record<string, { stage: string; by: string }> };
  return Object.entries(entries)
    .map(([key, { stage, by }]) => `${withoutTime(key)} ${stage} ${by}`)
    .sort()
    .join('\n');
}

/** Right after a kill: what is served is whole, old or new, and nothing that has to be kept is lost. */
export async function judgeKilled(mirror: Mirror, { name }: Case, { before, after }: Reference<State>, ended: Ended): Promise<string[]> {
  const failures: string[] = [];
  if (ended.signal === null && isTrace(`${ended.stdout}\n${ended.stderr}`))
    failures.push(`an error for developers: ${ended.stderr.slice(-500)}`);
  const now = await stateOf(mirror);
  // Wrong bytes are served until they are repaired: that is what the command is for.
  if (!name.startsWith('repaired')) failures.push(...now.problems, ...storeProblems(mirror.root));
  if (now.published !== before.published && now.published !== after.published) failures.push('what is published is neither old nor new');
  for (const [snapshot, files] of now.snapshots) {
    const [old, fresh] = [before.snapshots.get(snapshot), after.snapshots.get(snapshot)];
    // What is repaired from upstream is not served meanwhile.
    const known = new Set([...(old ?? '').split('\n'), ...(fresh ?? '').split('\n')]);
    const isBetween = name.startsWith('repaired') && files.split('\n').every((line) => known.has(line));
    if (old === undefined && fresh === undefined) continue;
    if (files !== old && files !== fresh && !isBetween) failures.push(`the snapshot ${snapshot} is neither old nor new`);
  }
  if (now.release !== undefined && now.release !== before.release && now.release !== after.release)
    failures.push('the release that is served is neither old nor new');
  for (const digest of before.packages)
    if (after.packages.has(digest) && !now.packages.has(digest)) failures.push(`lost: the package ${digest}`);
  return failures;
}

/** Runs the command again, and retention after it: what is there then is what is there without a kill. */
export async function judgeNext(mirror: Mirror, { command, clock, done }: Case, { after }: Reference<State>): Promise<string[]> {
  const failures: string[] = [];
  const again = await mirror.start({ command, env: clockAt(clock) }).done;
  if (again.code !== 0 && done?.test(again.stderr) !== true)
    failures.push(`the next run ended with ${endedAs(again)}: ${again.stderr.trim().slice(-500)}`);
  failures.push(...(await settle(mirror, clock)));
  const now = await stateOf(mirror);
  failures.push(...now.problems, ...storeProblems(mirror.root), ...differences(after, now));
  if (now.release !== undefined) {
    const verified = await mirror.start({ command: ['release', 'verify'], env: clockAt(clock) }).done;
    if (verified.code !== 0) failures.push(`release verify: ${verified.stdout}${verified.stderr}`);
  }
  return failures;
}

/** A run of retention at the same time: it has nothing to do but what was interrupted. */
export async function settle(mirror: Mirror, clock: Date): Promise<string[]> {
  const ended = await mirror.start({ command: ['retention', 'apply', '--json'], env: clockAt(clock) }).done;
  return ended.code === 0 ? [] : [`retention apply ended with ${endedAs(ended)}: ${ended.stderr.trim().slice(-500)}`];
}

/** What is not as an undisturbed command leaves it. Pure. */
export function differences(wanted: State, found: State): string[] {
  const failures: string[] = [];
  if (found.published !== wanted.published) failures.push('other packages are published than without the kill');
  if (found.ledger !== wanted.ledger)
    failures.push(`the ledger is not the one without the kill: ${found.ledger} instead of ${wanted.ledger}`);
  const missing = [...wanted.everything].filter(([path, digest]) => found.everything.get(path) !== digest).map(([path]) => path);
  const more = [...found.everything.keys()].filter((path) => !wanted.everything.has(path));
  if (missing.length > 0) failures.push(`not as without the kill: ${missing.slice(0, 5).join(', ')}`);
  if (more.length > 0) failures.push(`left behind: ${more.slice(0, 5).join(', ')}`);
  return failures;
}
