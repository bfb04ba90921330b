import { Progress } from './progress';
import { requireRoom } from './storage';
import type { SyncContext } from './sync';

/** What one sync fetches: asked room for, shown while it comes, counted. Its methods are handed on as they are. */
export class Fetching {
  private progress: Progress | undefined;

  /** @param fetched what came; counted on where there was something before */
  constructor(
    private readonly context: Pick<SyncContext, 'layout' | 'server' | 'say'>,
    private readonly id: string,
    readonly fetched: { files: number; bytes: number } = { files: 0, bytes: 0 },
  ) {}

  /**
   * Called once, before anything is fetched. Throws where there is no room.
   *
   * @param text what is said of it, after the id
   */
  async announce(files: number, bytes: number, text: string | undefined): Promise<void> {
    const { layout, server, say } = this.context;
    await requireRoom(layout, server, this.id, { bytes, files });
    if (text !== undefined) say(`${this.id}: ${text}`);
    this.progress = new Progress(this.id, files, bytes, say);
  }

  readonly onBytes = (count: number): void => {
    this.fetched.bytes += count;
    this.progress?.addBytes(count);
  };

  readonly onFile = (): void => {
    this.fetched.files++;
    this.progress?.fileDone();
  };

  stop(): void {
    this.progress?.stop();
  }
}
