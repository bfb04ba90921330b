/** Judges a component after a kill, and after the same command has run again, without any code of the mirror. */
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Reference } from '../kills';
import { withoutTime } from '../retention/judge';
import { filesBelow, readTree, storeProblems } from '../sync/checker';
import { endedAs, isTrace } from '../sync/judge';
import type { Mirror } from '../sync/mirror';
import { clockAt } from '../sync/strike';
import type { Ended } from '../sync/workshop';
import { CODENAME, COMPONENT, type PublishCase } from './cases';

/** What clients find. */
export interface State {
  /** Of each tree its packages by digest, and the types of its other metadata. */
  readonly published: string;
  /** Below the storage root, without what differs from run to run. */
  readonly files: ReadonlySet<string>;
  readonly problems: readonly string[];
}

export async function stateOf(mirror: Mirror): Promise<State> {
  const problems: string[] = storeProblems(mirror.root);
  const current = join(mirror.root, 'repositories', COMPONENT, 'current');
  const published: string[] = [];
  for (const name of ['x86_64', 'Source']) {
    const tree = await readTree(join(current, name), mirror.signer);
    if (tree === undefined) problems.push(`${name} is missing`);
    problems.push(...(tree?.problems ?? []).map((problem) => `${name}: ${problem}`));
    const groups = [...(tree?.files.keys() ?? [])].filter((path) => path.includes('comps')).length;
    const digests = (tree?.packages ?? []).map((one) => one.sha256).sort();
    published.push(`${name} ${digests.join()} ${groups} files of groups`);
  }
  return { published: published.join('\n'), files: new Set(filesBelow(mirror.root).map(withoutTime)), problems };
}

/** Right after a kill: what is served is whole, and old or new. */
export async function judgeKilled(mirror: Mirror, { before, after }: Reference<State>, ended: Ended): Promise<string[]> {
  const failures: string[] = [];
  if (ended.signal === null && isTrace(`${ended.stdout}\n${ended.stderr}`))
    failures.push(`an error for developers: ${ended.stderr.slice(-500)}`);
  const now = await stateOf(mirror);
  failures.push(...now.problems);
  if (now.published !== before.published && now.published !== after.published) failures.push('what is published is neither old nor new');
  return failures;
}

/** The same command again: then everything is there, nothing is left behind, and the public names lead to what is published. */
export async function judgeNext(mirror: Mirror, { command, clock }: PublishCase, { after }: Reference<State>): Promise<string[]> {
  const failures: string[] = [];
  const again = await mirror.start({ command, env: clockAt(clock) }).done;
  if (again.code !== 0) failures.push(`the next run ended with ${endedAs(again)}: ${again.stderr.trim().slice(-500)}`);
  const now = await stateOf(mirror);
  failures.push(...now.problems);
  if (now.published !== after.published) failures.push('other packages are published than without the kill');
  const left = [...now.files].filter((path) => /(^|\/)\.new-|\.incoming\/|\.new$|\.copy$/.test(path));
  if (left.length > 0) failures.push(`left behind: ${left.slice(0, 5).join(', ')}`);
  const missing = [...after.files].filter((path) => !now.files.has(path));
  if (missing.length > 0) failures.push(`not as without the kill: ${missing.slice(0, 5).join(', ')}`);
  failures.push(...publicProblems(mirror));
  return failures;
}

function publicProblems(mirror: Mirror): string[] {
  const directory = join(mirror.root, 'public-snapshots', CODENAME);
  const latest = join(directory, 'updates-latest');
  if (!existsSync(latest)) return [`${latest} leads nowhere`];
  const name = readlinkSync(latest);
  const snapshot = basename(readlinkSync(join(directory, name)));
  const current = basename(readlinkSync(join(mirror.root, 'repositories', COMPONENT, 'current')));
  const text = readFileSync(`${latest}.target.txt`, 'utf8');
  return [
    ...(snapshot === current ? [] : [`updates-latest leads to ${snapshot}, and ${current} is published`]),
    ...(text === `${name}\n` ? [] : [`updates-latest.target.txt says ${JSON.stringify(text)}, and the link leads to ${name}`]),
  ];
}
