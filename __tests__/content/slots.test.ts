import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Layout } from '../../content/layout';
import { Lock } from '../../content/lock';
import { type Slots, takeSlots } from '../../content/slots';

let state: string;
let layout: Layout;
let said: string[];
const taken: Slots[] = [];

const take = async (id: string, host: string, limits = {}, signal?: AbortSignal): Promise<Slots> => {
  const slots = await takeSlots(layout, limits, host, id, (line) => said.push(line), signal);
  taken.push(slots);
  return slots;
};
/** Whether it is still waiting after a moment. */
const waits = (promise: Promise<unknown>): Promise<boolean> => Promise.race([promise.then(() => false), sleep(700).then(() => true)]);

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'slots-'));
  layout = new Layout('/nowhere', state, '/nowhere');
  said = [];
});
afterEach(async () => {
  for (const slots of taken.splice(0)) await slots.release().catch(() => undefined);
  rmSync(state, { recursive: true });
});

test.each<[string, object, [string, string][], string]>([
  [
    'four on a host by default',
    {},
    [
      ['a', 'h1'],
      ['b', 'h2'],
      ['c', 'h3'],
      ['d', 'h4'],
    ],
    'e waits for a slot (4 syncs are running: a, b, c, d)',
  ],
  [
    'two from an upstream by default',
    {},
    [
      ['a', 'up.example'],
      ['b', 'up.example'],
    ],
    'e waits for a slot of up.example (2 syncs are running: a, b)',
  ],
  ['as declared', { slots: 1 }, [['a', 'h1']], 'e waits for a slot (1 sync is running: a)'],
  [
    'as declared for an upstream',
    { slotsPerUpstream: 1 },
    [['a', 'up.example']],
    'e waits for a slot of up.example (1 sync is running: a)',
  ],
])('%s', async (_name, limits, holders, message) => {
  for (const [id, host] of holders) await take(id, host, limits);
  expect(await taken[0]?.active()).toBe(holders.length);
  const waiting = take('e', holders[0]?.[1] === 'up.example' ? 'up.example' : 'other', limits);
  expect(await waits(waiting)).toBe(true);
  expect(said).toEqual([]);
  await sleep(2000);
  expect(said).toEqual([message]);
  await taken[0]?.release();
  await waiting;
});

test('another upstream is not held up, and a short wait is not worth a word', async () => {
  const limits = { slots: 3, slotsPerUpstream: 1 };
  const first = await take('a', 'one', limits);
  const waiting = take('b', 'one', limits);
  expect(await waits(waiting)).toBe(true);
  expect(await waits(take('c', 'two', limits))).toBe(false);
  await first.release();
  await waiting;
  expect(said).toEqual([]);
});

test('never more than the slots, and everybody has a turn', async () => {
  let running = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 9 }, async (_, i) => {
      const slots = await take(`r${i}`, `h${i % 4}`, { slots: 3, slotsPerUpstream: 2 });
      most = Math.max(most, ++running);
      await sleep(400);
      running--;
      await slots.release();
    }),
  );
  expect([running, most]).toEqual([0, 3]);
});

test('whoever waits can be told to stop', async () => {
  await take('a', 'one', { slots: 1 });
  const controller = new AbortController();
  const waiting = take('b', 'two', { slots: 1 }, controller.signal);
  const next = take('c', 'three', { slots: 1 }, controller.signal);
  expect(await waits(waiting)).toBe(true);
  controller.abort(new Error('enough'));
  const ends = await Promise.allSettled([waiting, next]);
  expect(ends.map((end) => (end as PromiseRejectedResult).reason as Error)).toEqual([new Error('enough'), new Error('enough')]);
  await taken[0]?.release();
  expect(await waits(take('d', 'two', { slots: 1 }))).toBe(false);
});

test('the slot of a process that was killed is free', async () => {
  mkdirSync(layout.slots, { recursive: true });
  const holder = spawn('flock', ['-n', join(layout.slots, 'host.0'), 'sleep', '60'], { detached: true, stdio: 'ignore' });
  await sleep(300);
  const waiting = take('a', 'one', { slots: 1 });
  expect(await waits(waiting)).toBe(true);
  process.kill(-(holder.pid as number), 'SIGKILL');
  expect(await waits(waiting)).toBe(false);
});

describe('a lock with a wait', () => {
  const path = (): string => join(state, 'epel-7.lock');

  test('is had when the holder ends', async () => {
    const first = await Lock.take(path(), 'epel-7');
    const why: string[] = [];
    const second = Lock.take(path(), 'epel-7', { waitSeconds: 30, onWait: (text) => why.push(text) });
    expect(await waits(second)).toBe(true);
    expect(why).toEqual([expect.stringMatching(/^epel-7 is locked by process \d+ \(mirrorctl .* since 2/)]);
    await first.release();
    await (await second).release();
  });

  test('ends with the name of the holder', async () => {
    const first = await Lock.take(path(), 'epel-7');
    await expect(Lock.take(path(), 'epel-7', { waitSeconds: 1 })).rejects.toMatchObject({ code: 'LOCKED', exitCode: 4 });
    await first.release();
  });

  test('ends with its signal', async () => {
    const first = await Lock.take(path(), 'epel-7');
    const signal = AbortSignal.timeout(200);
    await expect(Lock.take(path(), 'epel-7', { waitSeconds: 60, signal })).rejects.toThrow('timeout');
    await first.release();
  });
});
