/** Brings about one fault, and judges what came of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CONFIRM_SECONDS, swap, type Fault, type Field, type Recovery, type Strike } from './fault';
import type { Samples } from './sampler';
import { disarm } from './traps';

/** What came of one fault. */
export interface Outcome extends Samples {
  readonly kind: string;
  readonly what: string;
  /** The generation that served before, after the strike, and after the next deploy. */
  readonly before: number;
  readonly struck: number;
  readonly after: number;
  readonly recovery: Recovery;
  /** How long the server took to come to rest by itself; 0 unless it was left alone. */
  readonly aloneSeconds: number;
  readonly seconds: number;
  readonly failures: readonly string[];
  readonly missed: boolean;
}

/** A timer's accuracy of a second, a start of mirror-host on a busy machine, the switch itself. */
const GRACE_SECONDS = 12;

/** How it was got over, by the phase that the strike left behind. Pure. */
export function recoveryOf(strike: Strike, settled: boolean, phase: string | undefined): Recovery {
  const { deploy } = strike;
  if (strike.reverted === true) return 'reverted by itself';
  if (deploy?.status === 0) return 'went on';
  if (phase !== undefined) return settled ? 'reverted by itself' : 'next deploy';
  if (deploy?.status !== 8) return 'nothing was changed';
  return /takes it back by itself/.test(deploy.text) ? 'reverted by itself' : 'taken back by the deploy';
}

/** Strikes, lets the server come to rest where nobody is to help, deploys again, and compares the server with what that deployed. */
export async function bringAbout(field: Field, fault: Fault): Promise<Outcome> {
  const { host, sampler } = field;
  const failures: string[] = [];
  const expect = (holds: boolean, text: string): void => void (holds || failures.push(text));
  const started = Date.now();
  await fault.prepare?.(field);
  const before = host.generation();
  sampler.begin();

  let strike: Strike = {};
  try {
    strike = await fault.strike(field);
  } catch (error) {
    failures.push(`the fault could not be brought about: ${error instanceof Error ? error.message : String(error)}`);
  }
  disarm(host);
  const phase = host.phase();
  const { deploy } = strike;
  if (deploy && /\n\s+at .*:\d+:\d+|defect:/.test(deploy.text)) failures.push(`a stack trace: ${deploy.text.slice(-600)}`);
  if (fault.says && deploy)
    expect(fault.says.test(deploy.text), `the deploy says nothing of ${String(fault.says)}: ${deploy.text.slice(-400)}`);

  let aloneSeconds = 0;
  let settled = phase === undefined;
  if (fault.alone === true && !settled) {
    const from = Date.now();
    settled = await host.rests(CONFIRM_SECONDS + GRACE_SECONDS + (fault.patience ?? 0));
    aloneSeconds = (Date.now() - from) / 1000;
    expect(settled, `still ${host.phase()} after ${aloneSeconds.toFixed(1)} s alone`);
  }
  const struck = host.generation();
  if (fault.ends === 'old') expect(struck === before, `generation ${struck} serves, not the one before (${before})`);
  if (fault.ends === 'new') expect(struck !== before, 'the new generation does not serve');

  const next = await field.there.apply();
  expect(next.status === 0, `the next deploy ended with ${next.status}: ${next.text.slice(-900)}`);
  const after = host.generation();
  expect(host.phase() === undefined, `the journal is still there after the next deploy`);
  const drift = await host.drift();
  expect(drift.length === 0, `the server deviates from what was deployed: ${drift.join('; ')}`);
  await sleep(30); // at least one more sample of what serves now
  const samples = await sampler.end();
  expect(samples.bad.length === 0, `${samples.bad.length} bad samples: ${[...new Set(samples.bad)].slice(0, 4).join('; ')}`);
  const odd = samples.generations.filter((n) => n < before || n > Math.max(after, before + 2));
  expect(odd.length === 0, `generations ${odd.join(', ')} answered`);
  expect(samples.generations.at(-1) !== undefined, 'the marker was never seen');
  swap(field);
  return {
    ...samples,
    kind: fault.kind,
    what: strike.where === undefined ? fault.what : `${fault.what}: ${strike.where}`,
    before,
    struck,
    after,
    recovery: recoveryOf(strike, settled, phase),
    aloneSeconds,
    seconds: (Date.now() - started) / 1000,
    failures,
    missed: strike.missed === true,
  };
}
