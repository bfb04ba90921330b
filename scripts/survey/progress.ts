import { size } from './units';

/** Milliseconds between two lines: short runs say nothing. */
const EVERY = 3000;

/** Says on standard error how far a long run is. */
export class Progress {
  private readonly under = new Map<string, number>();
  private done = 0;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly ids: readonly string[],
    private readonly say: (line: string) => void,
  ) {
    this.timer = setInterval(() => this.say(this.line()), EVERY);
  }

  begin(id: string): void {
    this.under.set(id, 0);
  }

  bytes(id: string, count: number): void {
    this.under.set(id, (this.under.get(id) ?? 0) + count);
  }

  end(id: string): void {
    this.under.delete(id);
    this.done++;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  line(): string {
    const now = [...this.under].map(([id, bytes]) => (bytes > 0 ? `${id} (${size(bytes)} of its package list)` : id));
    return `looked at ${this.done} of ${this.ids.length}; now at ${now.join(', ') || 'the end'}`;
  }
}
