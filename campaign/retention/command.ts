/** `npm run campaign -- retention`: SIGKILL at each call by which content leaves, comes back, is frozen or is repaired, and at random times. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode } from '../../desired-state/errors';
import { CampaignError } from '../errors';
import { ROOT } from '../host';
import { generator } from '../random';
import { requirePrograms } from '../sync/command';
import { makeGround, mirrorOf } from '../sync/ground';
import { endedAs } from '../sync/judge';
import type { Mirror } from '../sync/mirror';
import { sandboxed } from '../sync/sandbox';
import { clockAt, isOfChild, Striker } from '../sync/strike';
import { identityOf } from '../sync/trace';
import { Workshop } from '../sync/workshop';
import { type Case, type CaseName, CASES, Life } from './cases';
import { judgeKilled, judgeNext, type Reference, settle, stateOf } from './judge';
import { lineOf, merged, type RetentionOutcome, type RetentionResult, rowOf, tableOf, writeKillsPage } from './report';

export interface RetentionOptions {
  readonly short?: true;
  readonly only?: readonly CaseName[];
  readonly seed: number;
  readonly json?: true;
  readonly write?: true;
}

interface Amounts {
  /** Every so many calls. */
  readonly every: number;
  /** At random times, of each case. */
  readonly random: number;
}
const WHOLE: Amounts = { every: 1, random: 12 };
const SHORT: Amounts = { every: 25, random: 1 };

/** Of calls that repeat on one file so many are struck: the scrub writes its state after each of its 256 parts. */
const REPEATS = 3;

const RESULT = join(ROOT, 'campaign/results/retention.json');

/** Runs the campaign in a sandbox. Returns the exit code. */
export function retention(options: RetentionOptions): Promise<number> {
  return sandboxed(async (directory) => {
    await requirePrograms();
    const workshop = new Workshop(directory);
    const random = generator(options.seed);
    const ground = await makeGround(workshop, random, 4);
    const mirror = mirrorOf(ground, 'accumulate');
    const life = new Life(ground, mirror);
    const cases = (await life.cases()).filter(({ name }) => options.only === undefined || options.only.includes(name));
    const outcomes: RetentionOutcome[] = [];
    const rows: RetentionResult['rows'][number][] = [];
    const { every, random: kills } = options.short === true ? SHORT : WHOLE;
    const report = (outcome: RetentionOutcome): void => {
      outcomes.push(outcome);
      process.stdout.write(`${options.json === true ? JSON.stringify(outcome) : lineOf(outcome, outcomes.length)}\n`);
    };
    for (const one of cases) {
      const started = Date.now();
      const before = outcomes.length;
      const calls = await killsOf(one, { ground: { workshop, disk: ground.disk }, mirror, life, every, kills, random, report });
      const minutes = (Date.now() - started) / 60_000;
      rows.push(rowOf(one.name, new Date().toISOString().slice(0, 10), calls, outcomes.slice(before), minutes));
    }
    const failures = outcomes.filter((outcome) => outcome.failures.length > 0);
    const result: RetentionResult = { seed: options.seed, rows, failures };
    process.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : `\n${tableOf(rows)}\n`);
    if (options.write === true) {
      mkdirSync(dirname(RESULT), { recursive: true });
      const former = existsSync(RESULT) ? (JSON.parse(readFileSync(RESULT, 'utf8')) as RetentionResult) : undefined;
      writeFileSync(RESULT, `${JSON.stringify(former === undefined ? result : merged(former, result), null, 1)}\n`);
      writeKillsPage('retention');
    }
    return failures.length > 0 ? ExitCode.internal : ExitCode.ok;
  });
}

interface Field {
  readonly ground: { readonly workshop: Workshop; readonly disk: string };
  readonly mirror: Mirror;
  readonly life: Life;
  readonly every: number;
  readonly kills: number;
  readonly random: () => number;
  readonly report: (outcome: RetentionOutcome) => void;
}

/** Kills one command at its calls and at random times; returns how many calls there are. */
async function killsOf(one: Case, { ground, mirror, life, every, kills, random, report }: Field): Promise<number> {
  const { name, command, clock, undeclared } = one;
  const setBack = async (): Promise<void> => {
    await mirror.restore(name);
    life.declare(undeclared);
    life.release(name === 'release frozen');
  };
  await setBack();
  const before = await stateOf(mirror);
  const striker = new Striker(ground.workshop, mirror, ground.disk, clock, command);
  const { ended, calls } = await striker.record();
  if (ended.code !== 0) throw new CampaignError(`${name}: the recorded run ended with ${endedAs(ended)}: ${ended.stdout}${ended.stderr}`);
  await setBack();
  const started = Date.now();
  const undisturbed = await mirror.start({ command, env: clockAt(clock) }).done;
  const usual = Date.now() - started;
  if (undisturbed.code !== 0) throw new CampaignError(`${name}: an undisturbed run ended with ${endedAs(undisturbed)}`);
  const unsettled = await settle(mirror, clock);
  if (unsettled.length > 0) throw new CampaignError(unsettled.join());
  const reference: Reference = { before, after: await stateOf(mirror) };
  if (reference.after.problems.length > 0) throw new CampaignError(`${name}: ${reference.after.problems.join('; ')}`);

  const judged = async (
    what: string,
    kind: RetentionOutcome['kind'],
    run: () => Promise<{ ended: typeof ended; missed: boolean }>,
  ): Promise<void> => {
    await setBack();
    const { ended: struck, missed } = await run();
    const failures = await judgeKilled(mirror, one, reference, struck);
    failures.push(...(await judgeNext(mirror, one, reference)));
    report({ case: name, kind, what, ended: endedAs(struck), failures, missed });
  };
  const hits = new Set<string>();
  for (const call of calls.filter(({ onPath }, index) => onPath <= REPEATS && index % every === 0)) {
    for (const aim of striker.aims(call, calls)) {
      if (hits.has(identityOf(call))) break;
      await judged(identityOf(call), 'call', async () => {
        const { ended: struck, hit } = await striker.strike(call, aim, 'signal=SIGKILL', !isOfChild(call));
        if (hit !== undefined) hits.add(hit);
        return { ended: struck, missed: hit === undefined };
      });
    }
  }
  for (let kill = 0; kill < kills; kill++) {
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

export { CASES };
