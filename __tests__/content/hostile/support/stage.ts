import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from './engine';
import { type Ended, Field } from './field';
import type { Row } from './row';
import { HostileServer } from './server';
import { NEWER, pathOf, Workshop } from './workshop';

const MOST_MEBIBYTES = 512;
const MOST_MILLISECONDS = 60_000;

/** How a row ended, and what was wrong with that: nothing, when it was survived. */
export interface Verdict {
  readonly complaints: readonly string[];
  readonly ended: Ended | undefined;
}

/** Brings rows about, one after the other. */
export class Stage {
  private readonly healthy = new Map<string, string>();
  private count = 0;

  private constructor(
    readonly workshop: Workshop,
    private readonly engine: Engine,
    private readonly server: HostileServer,
  ) {}

  /** `engine` is whole: it makes what is published before a row. */
  static async open(engine: Engine): Promise<Stage> {
    const workshop = new Workshop();
    return new Stage(workshop, engine, await HostileServer.start(workshop.before));
  }

  async close(): Promise<void> {
    await this.server.stop();
    this.workshop.remove();
  }

  /** Runs a row by an engine that may lack a guard. */
  async bringAbout(row: Row, engine: Engine = this.engine): Promise<Verdict> {
    const field = await this.field(row);
    try {
      const before = field.served();
      field.offer(this.workshop.after);
      await row.hostile(field);
      return await attempt(row, engine, field, before);
    } finally {
      await field.end();
    }
  }

  /** A mirror that has the healthy repository. */
  private async field(row: Row): Promise<Field> {
    const key = `${row.view ?? 'verbatim'}-${row.trust ?? 'digests'}`;
    const ground = join(this.workshop.directory, `ground-${++this.count}`);
    const known = this.healthy.get(key);
    if (known === undefined) {
      const field = new Field(this.workshop, this.server, ground, row);
      field.offer(this.workshop.before);
      const ended = await field.sync(this.engine, {});
      if (ended.exitCode !== 0) throw new Error(`the healthy upstream is refused: ${ended.text}`);
      const kept = join(this.workshop.directory, `healthy-${key}`);
      execFileSync('cp', ['-a', field.mirror, kept]);
      await field.end();
      this.healthy.set(key, kept);
    }
    mkdirSync(join(ground, 'x/y/z'), { recursive: true });
    execFileSync('cp', ['-a', this.healthy.get(key) as string, join(ground, 'x/y/z/mirror')]);
    return new Field(this.workshop, this.server, ground, row);
  }
}

async function attempt(row: Row, engine: Engine, field: Field, before: string): Promise<Verdict> {
  try {
    const ended = await field.sync(engine, row);
    return { complaints: [...judged(row, ended, field, before), ...((await row.also?.(field)) ?? [])], ended };
  } catch (error) {
    // Without its guard an engine may do anything.
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { complaints: [`the sync threw: ${why}`], ended: undefined };
  }
}

function judged(row: Row, ended: Ended, field: Field, before: string): readonly string[] {
  const { ends = 'refused' } = row;
  const { text, exitCode, milliseconds, mebibytes } = ended;
  const found: string[] = [];
  const want = (holds: boolean, what: string): void => void (holds || found.push(what));
  want(ends === 'survived' ? exitCode === 0 : exitCode === (row.exitCode ?? 6), `it ended with ${exitCode}: ${text}`);
  want(!/^\s+at .*:\d+|this is a defect|This is a defect/m.test(text), `it shows a defect: ${text}`);
  for (const words of [row.says ?? []].flat()) want(words.test(text), `it does not say ${words.source}: ${text}`);
  if (row.waiver !== undefined) want(text.includes(`Waiver.${row.waiver}(reason)`), `it does not name the waiver ${row.waiver}: ${text}`);
  want(milliseconds <= (row.within ?? MOST_MILLISECONDS), `it took ${milliseconds} ms`);
  want(mebibytes === undefined || mebibytes <= MOST_MEBIBYTES, `it had ${mebibytes} MiB`);
  if (row.program !== undefined) want(mebibytes !== undefined, 'its memory was not measured');
  if (ends === 'refused') {
    want(field.served() === before, 'what is published changed');
    want(field.published(pathOf(NEWER)) === undefined, 'something of it was published');
    // Reason in the first line, remedy in the next one.
    want(/: failed: .+\n {2}[A-Z].+\./.test(text), `it has no reason with a remedy: ${text}`);
  } else want(field.published('repodata/repomd.xml') !== undefined && field.served() !== before, 'nothing was published');
  if (ends === 'degraded') want(/: degraded: .+\n {2}[A-Z].+\./.test(text), `it has no reason with a remedy: ${text}`);
  return [...found, ...field.leftovers()];
}

/** Whether rows of subjects that need it can run here. */
export function hasFaketime(): boolean {
  return existsSync('/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1');
}
