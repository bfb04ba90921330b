/** What the campaigns over retention and over publishing share: SIGKILL at each call by which a command changes something, and at random times. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode } from '../desired-state/errors';
import { CampaignError } from './errors';
import { ROOT } from './host';
import { generator } from './random';
import { lineOf, merged, type RetentionOutcome, type RetentionResult, rowOf, tableOf, writeKillsPage } from './retention/report';
import { requirePrograms } from './sync/command';
import { type Ground, makeGround, mirrorOf } from './sync/ground';
import { endedAs } from './sync/judge';
import type { Mirror } from './sync/mirror';
import { sandboxed } from './sync/sandbox';
import { clockAt, isOfChild, Striker } from './sync/strike';
import { identityOf } from './sync/trace';
import { type Ended, Workshop } from './sync/workshop';

type Name = RetentionOutcome['case'];

export interface KillOptions<N extends Name> {
  readonly short?: true;
  readonly only?: readonly N[];
  readonly seed: number;
  readonly json?: true;
  readonly write?: true;
}

/** What a case begins with, and what an undisturbed run of it leaves. */
export interface Reference<S> {
  readonly before: S;
  readonly after: S;
}

/** A command that is killed, and how what it leaves is judged. */
export interface KillCase<S extends { readonly problems: readonly string[] }> {
  readonly name: Name;
  readonly command: readonly string[];
  readonly clock: Date;
  /** Makes what it begins with. */
  readonly setBack: () => Promise<void>;
  readonly state: () => Promise<S>;
  /** Does what an undisturbed run leaves to others; returns what went wrong. */
  readonly settle?: () => Promise<readonly string[]>;
  /** Right after a kill. Returns what is wrong. */
  readonly judgeKilled: (reference: Reference<S>, struck: Ended) => Promise<readonly string[]>;
  /** Runs the same command again. Returns what is wrong then. */
  readonly judgeNext: (reference: Reference<S>) => Promise<readonly string[]>;
}

interface Amounts {
  /** Every so many calls. */
  readonly every: number;
  /** At random times, of each case. */
  readonly random: number;
}
const WHOLE: Amounts = { every: 1, random: 12 };
const SHORT: Amounts = { every: 25, random: 1 };

/** Of calls that repeat on one file so many are struck: a scrub writes its state after each of its 256 parts. */
const REPEATS = 3;

/** Runs a campaign in a sandbox, on a mirror with a repository that accumulates. Returns the exit code. */
export function killCampaign<N extends Name, S extends { readonly problems: readonly string[] }>(
  campaign: 'retention' | 'publish',
  options: KillOptions<N>,
  casesOf: (ground: Ground, mirror: Mirror) => Promise<readonly (KillCase<S> & { readonly name: N })[]>,
): Promise<number> {
  return sandboxed(async (directory) => {
    await requirePrograms();
    const workshop = new Workshop(directory);
    const random = generator(options.seed);
    const ground = await makeGround(workshop, random, 4);
    const mirror = mirrorOf(ground, 'accumulate');
    const cases = (await casesOf(ground, mirror)).filter(({ name }) => options.only === undefined || options.only.includes(name));
    const outcomes: RetentionOutcome[] = [];
    const rows: RetentionResult['rows'][number][] = [];
    const amounts = options.short === true ? SHORT : WHOLE;
    const report = (outcome: RetentionOutcome): void => {
      outcomes.push(outcome);
      process.stdout.write(`${options.json === true ? JSON.stringify(outcome) : lineOf(outcome, outcomes.length)}\n`);
    };
    for (const one of cases) {
      const started = Date.now();
      const before = outcomes.length;
      const calls = await killsOf(one, { mirror, workshop, disk: ground.disk, amounts, random, report });
      const minutes = (Date.now() - started) / 60_000;
      rows.push(rowOf(one.name, new Date().toISOString().slice(0, 10), calls, outcomes.slice(before), minutes));
    }
    const failures = outcomes.filter((outcome) => outcome.failures.length > 0);
    const result: RetentionResult = { seed: options.seed, rows, failures };
    process.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : `\n${tableOf(rows)}\n`);
    if (options.write === true) {
      const file = join(ROOT, 'campaign/results', `${campaign}.json`);
      mkdirSync(dirname(file), { recursive: true });
      const former = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as RetentionResult) : undefined;
      writeFileSync(file, `${JSON.stringify(former === undefined ? result : merged(former, result), null, 1)}\n`);
      writeKillsPage(campaign);
    }
    return failures.length > 0 ? ExitCode.internal : ExitCode.ok;
  });
}

interface Field {
  readonly mirror: Mirror;
  readonly workshop: Workshop;
  readonly disk: string;
  readonly amounts: Amounts;
  readonly random: () => number;
  readonly report: (outcome: RetentionOutcome) => void;
}

/** Kills one command at its calls and at random times; returns how many calls there are. */
async function killsOf<S extends { readonly problems: readonly string[] }>(
  one: KillCase<S>,
  { mirror, workshop, disk, amounts, random, report }: Field,
): Promise<number> {
  const { name, command, clock } = one;
  await one.setBack();
  const before = await one.state();
  const striker = new Striker(workshop, mirror, disk, clock, command);
  const { ended, calls } = await striker.record();
  if (ended.code !== 0) throw new CampaignError(`${name}: the recorded run ended with ${endedAs(ended)}: ${ended.stdout}${ended.stderr}`);
  await one.setBack();
  const started = Date.now();
  const undisturbed = await mirror.start({ command, env: clockAt(clock) }).done;
  const usual = Date.now() - started;
  if (undisturbed.code !== 0) throw new CampaignError(`${name}: an undisturbed run ended with ${endedAs(undisturbed)}`);
  const unsettled = (await one.settle?.()) ?? [];
  if (unsettled.length > 0) throw new CampaignError(unsettled.join());
  const reference: Reference<S> = { before, after: await one.state() };
  if (reference.after.problems.length > 0) throw new CampaignError(`${name}: ${reference.after.problems.join('; ')}`);

  const judged = async (
    what: string,
    kind: RetentionOutcome['kind'],
    run: () => Promise<{ ended: Ended; missed: boolean }>,
  ): Promise<void> => {
    await one.setBack();
    const { ended: struck, missed } = await run();
    const failures = [...(await one.judgeKilled(reference, struck)), ...(await one.judgeNext(reference))];
    report({ case: name, kind, what, ended: endedAs(struck), failures, missed });
  };
  const hits = new Set<string>();
  for (const call of calls.filter(({ onPath }, index) => onPath <= REPEATS && index % amounts.every === 0)) {
    for (const aim of striker.aims(call, calls)) {
      if (hits.has(identityOf(call))) break;
      await judged(identityOf(call), 'call', async () => {
        const { ended: struck, hit } = await striker.strike(call, aim, 'signal=SIGKILL', !isOfChild(call));
        if (hit !== undefined) hits.add(hit);
        return { ended: struck, missed: hit === undefined };
      });
    }
  }
  for (let kill = 0; kill < amounts.random; kill++) {
    const after = random() * usual;
    await judged(`after ${Math.round(after)} of about ${usual} ms`, 'random', async () => {
      const running = mirror.start({ command, env: clockAt(clock) });
      await Promise.race([sleep(after), running.done]);
      running.kill();
      return { ended: await running.done, missed: false };
    });
  }
  return calls.length;
}
