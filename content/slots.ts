import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SyncLimits } from '../desired-state/definitions';
import { MirrorError } from '../desired-state/errors';
import type { Layout } from './layout';
import { Lock, lockHolder } from './lock';
import type { Say } from './progress';

export const DEFAULT_SLOTS = 4;
export const DEFAULT_SLOTS_PER_UPSTREAM = 2;

/** The right to sync, one of a few on this host. */
export interface Slots {
  /** How many syncs have one now, this one included: the bandwidth is theirs together. */
  active(): Promise<number>;
  release(): Promise<void>;
}

/** Whoever waits says so after this time, and looks this often. */
export const SAY_AFTER = 2000;
const LOOK_EVERY = 250;

/**
 * Waits until fewer than `slots` repositories are synced on this host, and fewer than `slotsPerUpstream` from this upstream, by whatever
 * unit or command. Kernel locks on files in the state directory: they go with their process. Those who wait are served in turn; somebody
 * who comes when one is free at that moment need not stand in line.
 */
export async function takeSlots(
  layout: Layout,
  limits: SyncLimits | undefined,
  upstreamHost: string,
  id: string,
  say: Say,
  signal?: AbortSignal,
): Promise<Slots> {
  const directory = layout.slots;
  const total = limits?.slots ?? DEFAULT_SLOTS;
  const perUpstream = limits?.slotsPerUpstream ?? DEFAULT_SLOTS_PER_UPSTREAM;
  // Always in this order, so that two syncs never wait for each other.
  const upstream = await takeOne(
    { directory, kind: `upstream-${fileName(upstreamHost)}`, count: perUpstream, id, say, signal },
    (running) => `${id} waits for a slot of ${upstreamHost} (${running})`,
  );
  try {
    const host = await takeOne(
      { directory, kind: 'host', count: total, id, say, signal },
      (running) => `${id} waits for a slot (${running})`,
    );
    return {
      active: async () => Math.max(1, (await holders(directory, 'host')).length),
      release: async () => {
        await host.release();
        await upstream.release();
      },
    };
  } catch (error) {
    await upstream.release();
    throw error;
  }
}

interface Wanted {
  readonly directory: string;
  readonly kind: string;
  readonly count: number;
  readonly id: string;
  readonly say: Say;
  readonly signal: AbortSignal | undefined;
}

async function takeOne(wanted: Wanted, message: (running: string) => string): Promise<Lock> {
  const free = await tryEach(wanted);
  if (free !== undefined) return free;
  const { directory, kind, id, say, signal } = wanted;
  const talk = new AbortController();
  const saying = sleep(SAY_AFTER, undefined, { signal: talk.signal })
    .then(async () => {
      const running = await holders(directory, kind);
      say(message(`${running.length} ${running.length === 1 ? 'sync is' : 'syncs are'} running: ${running.join(', ')}`));
    })
    .catch(() => undefined);
  let turn: Lock | undefined;
  try {
    // The kernel lets those who wait for this lock through one by one; whoever has it looks for a slot.
    turn = await Lock.take(join(directory, `${kind}.queue`), id, { waitSeconds: 7 * 86_400, ...(signal === undefined ? {} : { signal }) });
    for (;;) {
      const slot = await tryEach(wanted);
      if (slot !== undefined) return slot;
      await sleep(LOOK_EVERY);
    }
  } finally {
    talk.abort();
    await turn?.release();
    await saying;
  }
}

async function tryEach({ directory, kind, count, id, signal }: Wanted): Promise<Lock | undefined> {
  for (let i = 0; i < count; i++) {
    signal?.throwIfAborted();
    try {
      return await Lock.take(join(directory, `${kind}.${i}`), id);
    } catch (error) {
      if (!(error instanceof MirrorError) || error.code !== 'LOCKED') throw error;
    }
  }
  return undefined;
}

/** Who has slots of this kind: their ids. */
async function holders(directory: string, kind: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const rest = name.startsWith(`${kind}.`) ? name.slice(kind.length + 1) : '';
    if (!/^\d+$/.test(rest)) continue;
    const path = join(directory, name);
    if ((await lockHolder(path)) === 'alive') found.push(await holder(path));
  }
  return found;
}

async function holder(path: string): Promise<string> {
  try {
    return (JSON.parse(await readFile(path, 'utf8')) as { what: string }).what;
  } catch {
    return 'one that has just begun';
  }
}

/** Names of hosts contain nothing that a file name may not, once `:` of addresses and ports is gone. */
function fileName(host: string): string {
  return host
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '_')
    .slice(0, 200);
}
