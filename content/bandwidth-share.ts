import type { Bandwidth } from '../downloads/bandwidth';
import type { Slots } from './slots';

/** How often is looked who else syncs. */
const LOOK_EVERY = 5000;

/** Gives this process its part of the bandwidth: as many parts as it has slots, of all that are taken on this host. */
export class BandwidthShare {
  private readonly own = new Set<Slots>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly bandwidth: Bandwidth) {}

  async join(slots: Slots): Promise<void> {
    if (!this.bandwidth.limited) return;
    this.own.add(slots);
    this.timer ??= setInterval(() => void this.look(), LOOK_EVERY).unref();
    await this.look();
  }

  /** Bytes a second of one sync, for what does not come over our own connections; undefined for no limit. */
  get ofOne(): number | undefined {
    const { rate } = this.bandwidth;
    return rate === undefined ? undefined : rate / Math.max(1, this.own.size);
  }

  /** Notes that these bytes came another way: then less comes over our connections. */
  took(bytes: number): void {
    this.bandwidth.take(bytes);
  }

  leave(slots: Slots): void {
    this.own.delete(slots);
    if (this.own.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async look(): Promise<void> {
    const [first] = this.own;
    if (first !== undefined) this.bandwidth.divideBy((await first.active()) / Math.max(1, this.own.size));
  }
}
