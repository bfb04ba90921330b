/** Prepares the field: the lab, two synthesized states, traps, and recordings of what an undisturbed deploy does. */
import { CampaignError } from './errors';
import { States } from './deployment';
import { unconfirmed, type Recordings } from './faults/kill-host';
import { measureBytes } from './faults/operator';
import { CONFIRM_SECONDS, namesOfNext, swap, type Field } from './fault';
import { Host, lab, must } from './host';
import { Proxy } from './proxy';
import { generator } from './random';
import { Sampler } from './sampler';
import { disarm, layTraps, liftTraps, record, recorded, type HostCommand } from './traps';
import type { Call, Names } from './calls';

/** A field, and what takes it apart again. */
export interface Prepared {
  readonly field: Field;
  readonly recordings: Recordings;
  readonly close: () => Promise<void>;
}

export async function prepare(seed: number, short: boolean, say: (text: string) => void): Promise<Prepared> {
  const wasUp = (JSON.parse(await lab('status', '--json')) as { up: boolean }).up;
  if (!wasUp) say('starting the lab');
  await lab('up');
  const environment = {
    ...process.env,
    ...(JSON.parse(await must('scripts/lab', ['env', '--json'])) as Record<string, string>),
  };
  const host = new Host();
  await host.find();
  const states = new States(environment);
  const sampler = new Sampler(environment['MIRROR_ADDRESS'] ?? '', __filename);
  const proxy = new Proxy(environment['MIRROR_ADDRESS'] ?? '');
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    proxy.close();
    await sampler.stop();
    states.remove();
    if (!wasUp) return void (await lab('down'));
    disarm(host);
    await dismantle(host);
    await liftTraps(host);
  };
  try {
    await dismantle(host);
    const own = { MIRROR_STATE: `${states.directory}/terraform.tfstate` };
    const [a, b] = [await states.make('a', own), await states.make('b', own)];
    for (const state of [a, b]) await finish(state.startTerraform('init', '-input=false', '-no-color').ended);
    say('first deploys of the two states');
    await finish(a.apply());
    await layTraps(host);
    await finish(b.apply());
    await host.firstSyncsEnd();
    const random = generator(seed);
    const port = await proxy.listen();
    await finish(a.apply());
    const from = Date.now();
    await finish(b.apply());
    const field: Field = { host, states, sampler, proxy, port, here: b, there: a, applyMs: Date.now() - from, random };
    // So many generations are kept: from then on each confirmation removes one, which can be struck too.
    for (let number = host.nextGeneration(); !short && number < 11; number = host.nextGeneration()) {
      await finish(field.there.apply());
      swap(field);
    }
    say('recording what an undisturbed deploy does');
    const recordings = await recordAll(field);
    await measureBytes(field);
    return { field, recordings, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Whatever was deployed to the lab host before: another mirror is not for us to turn into ours. */
async function dismantle(host: Host): Promise<void> {
  if (!host.exists('/usr/local/sbin/mirror-host')) return;
  await host.run(
    "while systemctl list-units --plain --no-legend --state=activating,active 'mirror-sync*.service' | grep -q .; do sleep 0.2; done",
  );
  await host.do('/usr/bin/node /usr/local/sbin/mirror-host decommission --yes');
}

async function finish(ended: Promise<{ status: number; text: string }>): Promise<void> {
  const { status, text } = await ended;
  if (status !== 0) throw new CampaignError(`an undisturbed deploy ended with ${status}: ${text.slice(-2000)}`);
}

/** Records each command once on the way to either state: what happens is the same both ways, or a number would not name a call. */
async function recordAll(field: Field): Promise<Recordings> {
  const { host } = field;
  const ways = new Map<HostCommand, readonly Call[]>();
  const names = (): Names => namesOfNext(field);
  for (let way = 0; way < 2; way++) {
    const next = names();
    record(host, 'activate');
    record(host, 'confirm');
    await finish(field.there.apply());
    for (const command of ['activate', 'confirm'] as const) keep(ways, command, recorded(host, command, next));
    swap(field);
  }
  const next = names();
  record(host, 'revert');
  await unconfirmed(field);
  if (!(await host.rests(CONFIRM_SECONDS + 15))) throw new CampaignError('nothing reverts');
  keep(ways, 'revert', recorded(host, 'revert', next));
  record(host, 'receive');
  await finish(field.there.upgraded('recorded').apply());
  keep(ways, 'receive', recorded(host, 'receive', next));
  await finish(field.there.apply());
  swap(field);
  disarm(host);
  return Object.fromEntries(ways) as Recordings;
}

function keep(ways: Map<HostCommand, readonly Call[]>, command: HostCommand, calls: readonly Call[]): void {
  const text = (list: readonly Call[]): string[] => list.map((call) => `${call.name} ${call.path} ${call.index}`);
  if (calls.length === 0) throw new CampaignError(`nothing was recorded of ${command}`);
  const [one, other] = [text(ways.get(command) ?? calls), text(calls)];
  const different = one.findIndex((name, index) => name !== other[index]);
  if (different !== -1 || one.length !== other.length) {
    throw new CampaignError(
      `${command} takes other calls one way than the other, ${one.length} and ${other.length}: ${one[different]}, ${other[different]}`,
    );
  }
  ways.set(command, calls);
}
