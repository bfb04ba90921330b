/** Judges the mirror after a fault, and after the run that follows it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { contentOf, readTree, RpmKeys, shapesOf, storeProblems, type Expected, type Tree } from './checker';
import type { Mirror, View } from './mirror';
import { sha256 } from './packages';
import type { Ended } from './workshop';

export const PARTS = ['kills', 'random', 'power', 'disk', 'polling'] as const;
export type Part = (typeof PARTS)[number];

/** What came of one fault. */
export interface Outcome {
  readonly part: Part;
  readonly view: View;
  /** What struck, and where. */
  readonly what: string;
  /** What was published after the fault: the label of a content, or `nothing`. */
  readonly after: string;
  /** How the run that was struck ended: an exit code or a signal. */
  readonly ended: string;
  readonly failures: readonly string[];
  /** The fault did not happen: nothing was tried, and nothing counts. */
  readonly missed: boolean;
  readonly seconds: number;
}

/** What a round may end with. */
export interface Round {
  readonly mirror: Mirror;
  readonly rpm: RpmKeys;
  /** Undefined where nothing was published before. */
  readonly old: Expected | undefined;
  readonly next: Expected;
  /** Everything that clients may still ask for, from before the fault: path → SHA-256. */
  readonly keep: ReadonlyMap<string, string>;
  /** Shapes of the files that undisturbed runs leave. */
  readonly shapes: ReadonlySet<string>;
}

export const endedAs = ({ code, signal }: Ended): string => signal ?? String(code);

/** True for an output that only a developer can read. */
export const isTrace = (text: string): boolean => /\n\s+at .*:\d+:\d+|this is a defect|"code": ?"INTERNAL"/.test(text);

/** What is wrong with how a run ended that nobody killed: 0, or an error that names its remedy. Pure. */
export function endProblems(ended: Ended): string[] {
  const { code, signal, stdout, stderr } = ended;
  const text = `${stdout}\n${stderr}`;
  if (signal !== null) return [`ended by ${signal}`];
  if (code === 0) return [];
  if (isTrace(text)) return [`an error for developers: ${text.trim().slice(-700)}`];
  return /"remedy": ?"[^"]{8,}/.test(text) || /^mirrorctl: .+\n {2}\S/m.test(stderr)
    ? []
    : [`an error without a remedy: ${text.trim().slice(-700)}`];
}

/** What came of a run that was struck: how it ended, and what is published then. */
export async function judgeStruck(
  round: Round,
  ended: Ended,
  bytes: 'store too' | 'published only',
): Promise<{ after: string; failures: string[] }> {
  const { after, failures } = await judgeNow(round, bytes);
  if (ended.signal === null) failures.unshift(...endProblems(ended));
  if (ended.code === 0 && after !== round.next.label) failures.unshift(`it ended well, and ${after} is published`);
  return { after: after.split(' ')[0] ?? after, failures };
}

/** Old or new, whole, and readable. `bytes`: whether each file of the store must be right at once; after a power loss the next run sees to it. */
async function judgeNow(round: Round, bytes: 'store too' | 'published only'): Promise<{ after: string; failures: string[] }> {
  const { mirror } = round;
  const failures: string[] = [];
  const tree = await readTree(mirror.tree, mirror.signer);
  const after = await judgeTree(round, tree, [round.next, ...(round.old === undefined ? ['nothing' as const] : [round.old])], failures);
  if (bytes === 'store too') failures.push(...storeProblems(mirror.root));
  try {
    await mirror.status();
  } catch (error) {
    failures.push(String(error));
  }
  return { after, failures };
}

/** Runs a sync to its end: it converges to what upstream has, leaves nothing lying about, and nothing that was served is lost. */
export async function judgeNext(round: Round, env: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const { mirror, shapes } = round;
  const failures: string[] = [];
  const ended = await mirror.sync(env);
  if (ended.code !== 0) failures.push(`the next run ended with ${endedAs(ended)}: ${`${ended.stdout}${ended.stderr}`.trim().slice(-700)}`);
  await judgeTree(round, await readTree(mirror.tree, mirror.signer), [round.next], failures);
  failures.push(...storeProblems(mirror.root).map((problem) => `after the next run: ${problem}`));
  const left = [...shapesOf(mirror.root, mirror.state)].filter((shape) => !shapes.has(shape));
  if (left.length > 0) failures.push(`left behind after the next run: ${left.slice(0, 5).join(', ')}`);
  // A run that signs removes what killed ones left in memory.
  const keys = ended.stdout.includes('"published"') ? readdirSync('/dev/shm').filter((name) => !name.includes('faketime')) : [];
  if (keys.length > 0) failures.push(`signing keys are left in memory: ${keys.join(', ')}`);
  const status = await mirror.status().catch((error: unknown) => ({ result: String(error) }));
  if (status.result !== 'published' && status.result !== 'unchanged') failures.push(`the status after the next run is ${status.result}`);
  return failures;
}

async function judgeTree(
  round: Round,
  tree: Tree | undefined,
  allowed: readonly (Expected | 'nothing')[],
  failures: string[],
): Promise<string> {
  const { mirror, rpm, keep } = round;
  if (tree === undefined) {
    if (!allowed.includes('nothing')) failures.push('nothing is published');
    return 'nothing';
  }
  failures.push(...tree.problems);
  const contents = allowed.filter((one) => one !== 'nothing');
  const content = contentOf(tree, contents);
  if (content === undefined) failures.push(`what is published is not ${contents.map(({ label }) => label).join(', nor ')}`);
  const present = tree.packages.map(({ path }) => join(mirror.tree, path)).filter((path) => existsSync(path));
  failures.push(...(await rpm.problems(present)));
  for (const [path, digest] of keep) {
    const file = join(mirror.tree, path);
    if (!existsSync(file)) failures.push(`lost: ${path}`);
    else if (sha256(readFileSync(file)) !== digest) failures.push(`other bytes than before: ${path}`);
  }
  return content ?? 'mix';
}
