/** `mirrorctl import`: its outcome for people, and as an exit code. */
import { ExitCode } from '../desired-state/errors';
import type { ImportOutcome } from './import';
import { shortened } from './lines';
import { size } from './progress';
import type { Problem } from './record';

/** So many files are named; `--json` names all. */
const MAX_NAMED = 50;

/** What was done, or would be, in one line; then what to know of it. */
export function importText(outcome: ImportOutcome): string {
  const { directory, dryRun, taken, takenBytes, seconds, problems } = outcome;
  const what =
    taken.length === 0
      ? 'nothing is new'
      : `${dryRun ? 'would take' : 'took'} ${files(taken.length)}, ${size(takenBytes)} (${counted(taken.map(({ by }) => MEANS[by]))})`;
  const rest = [
    ...(outcome.present === 0 ? [] : [`already here: ${outcome.present}`]),
    ...(outcome.again === 0 ? [] : [`there twice: ${outcome.again}`]),
    ...(Object.keys(outcome.passedOver).length === 0 ? [] : [`passed over: ${passedOver(outcome)}`]),
    ...(problems.length === 0 ? [] : [`not taken: ${problems.length}`]),
    `in ${seconds} s`,
  ];
  return [`${directory}: ${[what, ...rest].join('; ')}`, ...dryRunLines(outcome), ...copyLines(outcome), ...unsignedLines(outcome)].join(
    '\n',
  );
}

const MEANS = { link: 'hard-linked', reflink: 'reflinked', copy: 'copied', 'interrupted run': 'from an interrupted run' } as const;

/** Each file that was not taken and why, the remedy below those that share it. Empty where there is none. */
export function problemText(problems: readonly Problem[]): string {
  const byRemedy = new Map<string, Problem[]>();
  for (const problem of problems.slice(0, MAX_NAMED)) byRemedy.set(problem.remedy, [...(byRemedy.get(problem.remedy) ?? []), problem]);
  const lines = [...byRemedy].flatMap(([remedy, some]) => [...some.map(({ message }) => `  - ${message}`), `    ${remedy}`]);
  return (problems.length <= MAX_NAMED ? lines : [...lines, andMore(problems.length)]).join('\n');
}

/** What did not verify counts before what could not be read. */
export function importExitCode({ problems }: ImportOutcome): number {
  if (problems.some(({ exitCode }) => exitCode === ExitCode.untrusted)) return ExitCode.untrusted;
  return problems[0]?.exitCode ?? ExitCode.ok;
}

function dryRunLines({ dryRun, taken }: ImportOutcome): readonly string[] {
  if (!dryRun) return [];
  return shortened(
    taken.map(({ path, by }) => `  + ${path}${by === 'link' ? '' : ' (a copy)'}`),
    MAX_NAMED,
    '  - ',
  );
}

/** Why files take space a second time, where the operator can change it. */
function copyLines({ taken }: ImportOutcome): readonly string[] {
  const obstacles = taken.flatMap(({ by, obstacle }) => (by === 'copy' && obstacle !== undefined ? [obstacle] : []));
  if (obstacles.every((obstacle) => obstacle === 'on another file system')) return [];
  return [`  copies, since a hard link would not be safe: ${counted(obstacles)}`];
}

function unsignedLines({ unsigned }: ImportOutcome): readonly string[] {
  if (unsigned.length === 0) return [];
  return [`  ${unsigned.length} without a good signature by a pinned key: a repository of signed packages will not publish them`];
}

/** `3 copied, 2 reflinked`. */
function counted(words: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${count} ${word}`).join(', ');
}

/** `symbolic links 3, metadata 1`. */
function passedOver(outcome: ImportOutcome): string {
  return Object.entries(outcome.passedOver)
    .map(([why, count]) => `${why} ${count}`)
    .join(', ');
}

function files(count: number): string {
  return count === 1 ? '1 file' : `${count} files`;
}

function andMore(count: number): string {
  return `  - and ${count - MAX_NAMED} more (--json names all)`;
}
