import { usingStore } from './lock';
import { takeSlots } from './slots';
import type { SyncContext } from './sync';

/** Runs `work` with a slot of this host and one of the upstream at `url`, and with their part of the bandwidth. */
export async function withSlots<T>(
  { layout, server, share, say }: Pick<SyncContext, 'layout' | 'server' | 'share' | 'say'>,
  id: string,
  url: string,
  work: () => Promise<T>,
): Promise<T> {
  const slots = await takeSlots(layout, server.sync, new URL(url).host, id, say);
  try {
    await share.join(slots);
    return await usingStore(layout, work);
  } finally {
    share.leave(slots);
    await slots.release();
  }
}
