/** `npm run campaign -- sync`: crashes, power losses and full disks over sync and publish, while clients poll. */
import { existsSync } from 'node:fs';
import { ExitCode } from '../../desired-state/errors';
import { CampaignError } from '../errors';
import { start } from '../host';
import { generator } from '../random';
import { fullDisks } from './disk';
import { makeGround, type Ground } from './ground';
import { PARTS, type Outcome, type Part } from './judge';
import { kills, type Coverage } from './kills';
import { MIRRORCTL, VIEWS, type View } from './mirror';
import { writeSyncResult } from './page';
import { polling, pollingReposync, type Polled } from './polling';
import { powerLosses } from './power';
import { randomKills } from './random';
import { coverageTable, line, pollingTable, rowOf, table, type Row, type SyncResult } from './report';
import { sandboxed } from './sandbox';
import { FAKETIME } from './strike';
import { Workshop } from './workshop';

export interface SyncOptions {
  readonly short?: true;
  readonly only?: readonly Part[];
  readonly seed: number;
  readonly json?: true;
  readonly write?: true;
}

/** How much is done, of each view. */
interface Amounts {
  readonly killEvery: number;
  readonly randomKills: number;
  readonly powerLosses: number;
  readonly diskEach: number;
  readonly publishes: number;
  readonly requests: number;
  readonly reposyncPublishes: number;
}

const WHOLE: Amounts = {
  killEvery: 1,
  randomKills: 200,
  powerLosses: 102,
  diskEach: 16,
  publishes: 1000,
  requests: 100_000,
  reposyncPublishes: 100,
};
const SHORT: Amounts = { killEvery: 70, randomKills: 4, powerLosses: 2, diskEach: 2, publishes: 8, requests: 800, reposyncPublishes: 2 };

interface Found {
  readonly coverage?: readonly Coverage[];
  readonly polled?: readonly Polled[];
  readonly seen?: Row['seen'];
}

/** So many states of upstream one part needs at most. */
function statesOf({ publishes, randomKills: rounds, powerLosses: losses }: Amounts, only: readonly Part[] | undefined): number {
  return Math.max(only === undefined || only.includes('polling') ? publishes : 0, rounds + 4, losses + 4);
}

type Print = (text: string) => void;

async function runPart(
  part: Part,
  ground: Ground,
  view: View,
  amounts: Amounts,
  report: (outcome: Outcome) => void,
  say: Print,
): Promise<Found> {
  switch (part) {
    case 'kills':
      return kills(ground, { view, every: amounts.killEvery, report, say });
    case 'random':
      return { seen: await randomKills(ground, { view, kills: amounts.randomKills, report }) };
    case 'power':
      await powerLosses(ground, { view, losses: amounts.powerLosses, report });
      return {};
    case 'disk':
      await fullDisks(ground, { view, each: amounts.diskEach, report });
      return {};
    case 'polling': {
      const ours = await polling(ground, { view, publishes: amounts.publishes, requests: amounts.requests, report, say });
      // Users have one view today: it is compared with once.
      if (view !== VIEWS[0]) return { polled: [ours], seen: ours.seen };
      const requests = Math.ceil((amounts.requests * amounts.reposyncPublishes) / amounts.publishes);
      return { polled: [ours, await pollingReposync(ground, { publishes: amounts.reposyncPublishes, requests, say })], seen: ours.seen };
    }
  }
}

/** Runs the campaign in a sandbox. Returns the exit code. */
export function sync(options: SyncOptions): Promise<number> {
  return sandboxed(async (directory) => {
    const say: Print = (text) => void process.stderr.write(`${text}\n`);
    const print: Print = (text) => void (options.json === true || process.stdout.write(`${text}\n`));
    const document = (value: unknown): void => void (options.json === true && process.stdout.write(`${JSON.stringify(value)}\n`));
    await requirePrograms();
    const amounts = options.short === true ? SHORT : WHOLE;
    const ground = await makeGround(new Workshop(directory), generator(options.seed), statesOf(amounts, options.only));
    const result = { seed: options.seed, rows: [] as Row[], coverage: [] as Coverage[], polled: [] as Polled[], failures: [] as Outcome[] };
    let number = 0;
    for (const view of VIEWS) {
      for (const part of PARTS.filter((one) => options.only === undefined || options.only.includes(one))) {
        const started = Date.now();
        const outcomes: Outcome[] = [];
        say(`${part}, ${view}`);
        const found = await runPart(
          part,
          ground,
          view,
          amounts,
          (outcome) => {
            outcomes.push(outcome);
            number++;
            document(outcome);
            if (part !== 'polling' || outcome.failures.length > 0) print(line(outcome, number));
          },
          say,
        );
        result.coverage.push(...(found.coverage ?? []));
        result.polled.push(...(found.polled ?? []));
        result.failures.push(...outcomes.filter(({ failures }) => failures.length > 0));
        const date = new Date().toISOString().slice(0, 10);
        result.rows.push(rowOf(part, view, date, outcomes, (Date.now() - started) / 60_000, found.seen));
      }
    }
    conclude(result, options, print, document);
    return result.failures.length > 0 ? ExitCode.internal : ExitCode.ok;
  });
}

function conclude(result: SyncResult, options: SyncOptions, print: Print, document: (value: unknown) => void): void {
  print(`\n${table(result.rows)}\n`);
  if (result.coverage.length > 0) print(`${coverageTable(result.coverage)}\n`);
  if (result.polled.length > 0) print(`${pollingTable(result.polled)}\n`);
  const faults = result.rows.reduce((sum, row) => sum + row.faults, 0);
  print(
    `${faults} faults and publishes, seed ${options.seed}; ${result.failures.length === 0 ? 'every one survived' : `${result.failures.length} failed`}`,
  );
  document(result);
  if (options.write === true) writeSyncResult(result);
}

const PROGRAMS = [
  'strace',
  'xfs_io',
  'mkfs.xfs',
  'mkfs.ext4',
  'losetup',
  'nginx',
  'rpmbuild',
  'rpmsign',
  'rpmkeys',
  'createrepo_c',
  'gpg',
  'gpgv',
  'dnf',
];

export async function requirePrograms(): Promise<void> {
  const { text } = await start('sh', ['-c', `for name in ${PROGRAMS.join(' ')}; do command -v $name >/dev/null || echo $name; done`]).ended;
  const missing = [
    ...text.split('\n').filter(Boolean),
    ...(existsSync(FAKETIME) ? [] : ['libfaketime']),
    ...(existsSync(MIRRORCTL) ? [] : [MIRRORCTL]),
  ];
  if (missing.length === 0) return;
  throw new CampaignError(
    `${missing.join(', ')} cannot be found. Install what the lab needs: . scripts/lib/prerequisites.sh && mirror_debian_packages "\${MIRROR_LAB_PACKAGES[@]}"`,
  );
}
