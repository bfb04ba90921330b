/** Bytes that may come at once without a wait: a tenth of a second's, at least one packet of the network. */
const BURST_SECONDS = 0.1;
const LEAST_BURST = 16 * 1024;

/**
 * A token bucket that all connections of a process drink from. Whoever has received bytes is told how long to wait before it takes more, so
 * the sender is slowed down by TCP.
 */
export class Bandwidth {
  private share = 1;
  /** When the bucket is empty of debts: later than now when more came than was due. Milliseconds. */
  private paidUntil = 0;

  constructor(
    /** Bytes a second; undefined for no limit. */
    private readonly total: number | undefined,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get limited(): boolean {
    return this.total !== undefined;
  }

  /** Bytes a second of this process; undefined for no limit. */
  get rate(): number | undefined {
    return this.total === undefined ? undefined : this.total / this.share;
  }

  /** So many processes, this one included, have the bandwidth together. */
  divideBy(users: number): void {
    this.share = Math.max(1, users);
  }

  /** Notes that these bytes came. Milliseconds to wait before more is taken. */
  take(bytes: number): number {
    const { rate } = this;
    if (rate === undefined) return 0;
    const burst = (Math.max(LEAST_BURST, rate * BURST_SECONDS) / rate) * 1000;
    const now = this.now();
    this.paidUntil = Math.max(this.paidUntil, now - burst) + (bytes / rate) * 1000;
    return Math.max(0, this.paidUntil - now);
  }
}
