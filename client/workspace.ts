/** The output directory: what is there already, and what a run keeps for the next one in `.download-mirror/`. */
import { createHash } from 'node:crypto';
import { createReadStream, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, type Stats, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Checksum } from '../rpm-metadata/checksum';

/** How a file was proven, in the words of the report. */
export type Proof =
  'signed by the mirror' | 'recorded digest' | 'signed metadata' | 'package signature' | 'unsigned metadata' | 'first sight';

/** A file that was verified. Whoever changes it changes one of the first three. */
export interface Known {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ino: number;
  readonly sha256: string;
  readonly proof: Proof;
  /** What the lists said of where it is from; undefined: only its name. */
  readonly origin?: string;
  /** Of an archive that was made: the digest of its tar. */
  readonly tar?: string;
  /** Digests by other algorithms that it was compared with. */
  readonly others?: Readonly<Record<string, string>>;
}

/** What is noted of a file that was verified. */
export interface Verified {
  readonly sha256: string;
  readonly proof: Proof;
  readonly checksum: Checksum | undefined;
  readonly origin: string | undefined;
  readonly tar?: string | undefined;
}

const VERSION = 1;

export class Workspace {
  private readonly known: Map<string, Known>;
  private changed = false;
  private readonly directories = new Set<string>();
  private readonly turns = new Map<string, Promise<unknown>>();
  private readonly inUse = new Set<string>();

  private constructor(
    readonly output: string,
    private readonly own: string,
    private readonly locked: boolean,
  ) {
    this.known = readState(join(own, 'state.json'));
  }

  /**
   * Takes the output directory for this process. With `scratch` nothing is written there: what has to be kept for a moment goes to that
   * directory.
   *
   * @throws MirrorError `LOCKED` while another one works there
   */
  static open(output: string, scratch?: string): Workspace {
    if (scratch !== undefined) {
      const workspace = new Workspace(output, join(output, '.download-mirror'), false);
      return Object.assign(workspace, { temporary: scratch });
    }
    const own = join(output, '.download-mirror');
    mkdirSync(own, { recursive: true });
    lock(join(own, 'lock'));
    return new Workspace(output, own, true);
  }

  private readonly temporary: string | undefined = undefined;

  /** A directory of a run: `metadata`, `partial` or `keys`. */
  private(...parts: string[]): string {
    return join(this.temporary ?? this.own, ...parts);
  }

  /** Where metadata of earlier runs is. */
  cached(...parts: string[]): string {
    return join(this.own, 'metadata', ...parts);
  }

  /** Works on what is kept of one index, one after the other: several repositories may have the same address. */
  async inTurn<T>(index: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.turns.get(index) ?? Promise.resolve()).then(work, work);
    this.turns.set(index, turn);
    return turn;
  }

  /** Marks what this run still reads. */
  use(path: string): string {
    this.inUse.add(path);
    return path;
  }

  uses(path: string): boolean {
    return this.inUse.has(path);
  }

  /** Where a file of the output is while it is incomplete or not proven. */
  partial(path: string): string {
    return this.inDirectory(join(this.private('partial'), path));
  }

  /**
   * Whether the file is there as it was when it was verified, and it was verified as this. With `checksum` undefined whatever was verified will do.
   */
  has(path: string, checksum: Checksum | undefined): Known | undefined {
    const known = this.known.get(path);
    if (known === undefined) return undefined;
    const stat = lstat(join(this.output, path));
    if (!stat?.isFile() || stat.size !== known.size || stat.mtimeMs !== known.mtimeMs || stat.ino !== known.ino) return undefined;
    if (checksum === undefined) return known;
    const digest = checksum.algorithm === 'sha256' ? known.sha256 : known.others?.[checksum.algorithm];
    return digest === checksum.hex ? known : undefined;
  }

  /** Reads what is there, and says whether it is this file. */
  async isThere(path: string, checksum: Checksum, size: number | undefined): Promise<string | undefined> {
    const full = join(this.output, path);
    const stat = lstat(full);
    if (!stat?.isFile() || stat.size === 0 || (size !== undefined && stat.size !== size)) return undefined;
    const hash = createHash(checksum.algorithm);
    const sha256 = createHash('sha256');
    await pipeline(createReadStream(full), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        hash.update(chunk);
        sha256.update(chunk);
      }
    });
    return hash.digest('hex') === checksum.hex ? sha256.digest('hex') : undefined;
  }

  /** Moves a file that was verified to its place. */
  take(path: string, from: string, verified: Verified): void {
    const target = this.inDirectory(join(this.output, path));
    renameSync(from, target);
    this.note(path, verified);
  }

  /** Notes that the file there was verified. */
  note(path: string, { sha256, proof, checksum, origin, tar }: Verified): void {
    const { size, mtimeMs, ino } = lstatSync(join(this.output, path));
    const others = checksum === undefined || checksum.algorithm === 'sha256' ? {} : { others: { [checksum.algorithm]: checksum.hex } };
    const from = { ...(origin === undefined ? {} : { origin }), ...(tar === undefined ? {} : { tar }) };
    this.known.set(path, { size, mtimeMs, ino, sha256, proof, ...from, ...others });
    this.changed = true;
  }

  makeDirectory(path: string): void {
    mkdirSync(join(this.output, path), { recursive: true });
  }

  /** Keeps what is known for the next run. */
  save(): void {
    if (!this.changed || !this.locked) return;
    const file = join(this.own, 'state.json');
    writeFileSync(`${file}.new`, `${JSON.stringify({ version: VERSION, files: Object.fromEntries(this.known) })}\n`);
    renameSync(`${file}.new`, file);
    this.changed = false;
  }

  close(): void {
    this.save();
    if (this.locked) rmSync(join(this.own, 'lock'), { force: true });
  }

  private inDirectory(path: string): string {
    const directory = dirname(path);
    if (!this.directories.has(directory)) mkdirSync(directory, { recursive: true });
    this.directories.add(directory);
    return path;
  }
}

function lstat(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** What cannot be read is not known: the files are read again. */
function readState(file: string): Map<string, Known> {
  try {
    const { version, files } = JSON.parse(readFileSync(file, 'utf8')) as { version: unknown; files: Record<string, Known> };
    return version === VERSION ? new Map(Object.entries(files)) : new Map<string, Known>();
  } catch {
    return new Map();
  }
}

function lock(file: string): void {
  for (let tries = 0; tries < 2; tries++) {
    try {
      writeFileSync(file, `${process.pid}\n`, { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = Number(readFileSync(file, 'utf8'));
    if (isAlive(holder))
      throw new MirrorError({
        code: 'LOCKED',
        message: `process ${holder} downloads into this directory (${file})`,
        remedy: 'Wait for it, or give another directory by --output.',
        exitCode: ExitCode.locked,
      });
    // Its process was killed.
    rmSync(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
