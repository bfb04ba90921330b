/** Full disks: no bytes or inodes left on a tmpfs, and calls that the kernel answers with ENOSPC, EDQUOT, EIO or EROFS. */
import { statfsSync } from 'node:fs';
import { must } from '../host';
import type { Ground } from './ground';
import { endedAs, judgeNext, judgeStruck, type Outcome, type Round } from './judge';
import { clockAfter, setBack, stagesOf, type Stage } from './kills';
import type { View } from './mirror';
import { clockAt, type Blow } from './strike';
import { identityOf, type Call } from './trace';
import type { Ended } from './workshop';

export interface DiskOptions {
  readonly view: View;
  /** Of each kind, in each scenario. */
  readonly each: number;
  readonly report: (outcome: Outcome) => void;
}

const ROOMY = ['size=64m', 'nr_inodes=20000'] as const;
/** Calls that a disk answers with an error. */
const ANSWERED = new Set([
  'write',
  'writev',
  'pwrite64',
  'openat',
  'fsync',
  'fdatasync',
  'syncfs',
  'rename',
  'link',
  'linkat',
  'mkdir',
  'symlink',
  'ftruncate',
  'copy_file_range',
]);
const ERRORS = ['ENOSPC', 'EIO', 'EDQUOT', 'EROFS'] as const;

export async function fullDisks(ground: Ground, options: DiskOptions): Promise<void> {
  await ground.workshop.mount(ground.disk, '-t', 'tmpfs', '-o', ROOMY.join(), 'tmpfs');
  try {
    for (const stage of await stagesOf(ground, options.view)) {
      await shortages(stage, options);
      await answers(stage, options);
    }
  } finally {
    await ground.workshop.unmount(ground.disk);
  }
}

const resize = (ground: Ground, option: string): Promise<string> => must('mount', ['-o', `remount,${option}`, ground.disk]);

function used(disk: string): { bytes: number; inodes: number } {
  const { blocks, bfree, bsize, files, ffree } = statfsSync(disk);
  return { bytes: (blocks - bfree) * bsize, inodes: files - ffree };
}

/** Sizes from none left to just too little. */
async function shortages(stage: Stage, { view, each, report }: DiskOptions): Promise<void> {
  const { scene } = stage;
  const { ground } = scene;
  await setBack(stage);
  const before = used(ground.disk);
  await scene.mirror.sync(clockAt(stage.clock));
  const after = used(ground.disk);
  for (const what of ['bytes', 'inodes'] as const) {
    for (let step = 0; step < each; step++) {
      const started = Date.now();
      const round = await setBack(stage);
      const left = Math.floor(((after[what] - before[what]) * step) / each);
      const limit = before[what] + left;
      // A size of 0 would be none at all; a tmpfs counts whole pages.
      await resize(ground, what === 'bytes' ? `size=${Math.max(4096, limit)}` : `nr_inodes=${Math.max(1, limit)}`);
      const ended = await scene.mirror.sync(clockAt(stage.clock));
      const verdict = await judgeStruck(round, ended, 'store too');
      for (const option of ROOMY) await resize(ground, option);
      report(await outcome(stage, round, ended, verdict, { view, what: `${what}: ${left} left`, started, missed: false }));
    }
  }
}

async function answers(stage: Stage, { view, each, report }: DiskOptions): Promise<void> {
  const calls = stage.calls.filter((call) => ANSWERED.has(call.name));
  // Of each name some, from all over the run.
  const chosen = spread(calls, 2 * each);
  for (const [index, call] of chosen.entries()) {
    const error = ERRORS[index % ERRORS.length] ?? 'EIO';
    for (const aim of stage.striker.aims(call, stage.calls)) {
      const started = Date.now();
      const round = await setBack(stage);
      const blow: Blow = `error=${error}`;
      const { ended, hit } = await stage.striker.strike(call, aim, blow);
      const verdict = await judgeStruck(round, ended, 'store too');
      report(
        await outcome(stage, round, ended, verdict, {
          view,
          what: `${error} from ${identityOf(call)}`,
          started,
          missed: hit === undefined,
        }),
      );
      if (hit !== undefined) break;
    }
  }
}

async function outcome(
  stage: Stage,
  round: Round,
  ended: Ended,
  { after, failures }: { after: string; failures: readonly string[] },
  { view, what, started, missed }: { view: View; what: string; started: number; missed: boolean },
): Promise<Outcome> {
  const next = await judgeNext(round, clockAfter(stage));
  return {
    part: 'disk',
    view,
    what: `${stage.scenario}, ${what}`,
    after,
    ended: endedAs(ended),
    failures: [...failures, ...next],
    missed,
    seconds: (Date.now() - started) / 1000,
  };
}

/** So many calls at most: of each name its share, the first and the last among them; where they are too few for that, of some names. Pure. */
export function spread(calls: readonly Call[], most: number): Call[] {
  const all = [...new Set(calls.map(({ name }) => name))];
  const names = evenly(all, Math.min(all.length, most));
  const share = Math.max(1, Math.floor(most / Math.max(1, names.length)));
  return names.flatMap((name) => {
    const of = calls.filter((call) => call.name === name);
    return of.length <= share ? of : evenly(of, share);
  });
}

/** So many of a list, the first and the last among them. */
function evenly<T>(list: readonly T[], count: number): T[] {
  const step = count > 1 ? (list.length - 1) / (count - 1) : 0;
  return Array.from({ length: count }, (_, place) => list[Math.round(place * step)] as T);
}
