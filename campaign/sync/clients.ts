/**
 * Clients that poll a repository as dnf does: the index, its signature, the metadata that it names, and packages that the metadata names,
 * each compared with its checksum. Some work with metadata that they fetched long ago.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { start } from '../host';
import { opened, readIndex, readPackages, type Listed } from './checker';
import { sha256, type Key } from './packages';

/** What clients saw. */
export interface Sightings {
  requests: number;
  /** Fetches of an index with its signature and some of what it names. */
  looks: number;
  /** Requests that worked with metadata of this age: hours, up to → how many. */
  readonly ages: Record<string, number>;
  /** Answers other than 200; and how many of them to a client that had fetched the index just before. */
  notFound: number;
  notFoundFresh: number;
  /** Bytes that are not those of the checksum. */
  checksumErrors: number;
  /** Indexes that are not whole, or connections that broke. */
  broken: number;
  /** Looks whose signature was that of another index. */
  mismatches: number;
  /** How long each lasted for the client that asked again at once, in milliseconds. */
  readonly mismatchMs: number[];
  /** From the answer with the index to the one with the signature: all of them, and how many. */
  gapMs: number;
  /** The first of what was wrong. */
  readonly examples: string[];
}

/** Fetched metadata, which a client keeps. */
interface Kept {
  /** When it was fetched, on the clock of the mirror, in seconds. */
  readonly at: number;
  readonly metadata: readonly Listed[];
  readonly packages: readonly Listed[];
}

export interface ClientOptions {
  /** Base URL of the repository. */
  readonly url: string;
  readonly signer: Key;
  /** False where the repository has no signatures. */
  readonly signed: boolean;
  /** A directory for questions to gpgv. */
  readonly directory: string;
  /** The mirror's clock, in seconds. */
  readonly now: () => number;
  /** Nothing older is worked with. */
  readonly maxAgeSeconds: number;
  readonly random: () => number;
  readonly clients: number;
  /** Milliseconds between two looks of one client. */
  readonly pauseMs: number;
}

const AGES = [1, 24, 48, 49] as const;
const MAX_EXAMPLES = 20;

export class Clients {
  readonly seen: Sightings = {
    requests: 0, looks: 0, ages: {}, notFound: 0, notFoundFresh: 0, checksumErrors: 0, broken: 0, mismatches: 0, mismatchMs: [], gapMs: 0, examples: [],
  }; // prettier-ignore
  private readonly agent = new Agent({ keepAlive: true });
  private readonly kept = new Map<string, Kept>();
  private readonly verdicts = new Map<string, Promise<boolean>>();
  private readonly packagesOf = new Map<string, Listed[]>();
  private loops: Promise<void>[] = [];
  private running = false;

  constructor(private readonly options: ClientOptions) {
    mkdirSync(options.directory, { recursive: true });
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.loops = Array.from({ length: this.options.clients }, () => this.loop());
  }

  /** Lets what is under way come to its end. */
  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.loops);
    this.loops = [];
  }

  async close(): Promise<void> {
    await this.stop();
    this.agent.destroy();
  }

  /** Nothing that was fetched until now is worked with from here on: the mirror was set back. */
  forget(): void {
    this.kept.clear();
  }

  private async loop(): Promise<void> {
    while (this.running) {
      try {
        await this.look();
      } catch (error) {
        this.seen.broken++;
        this.note(String(error));
      }
      if (this.running) await sleep(this.options.pauseMs * (0.5 + this.options.random()));
    }
  }

  private async look(): Promise<void> {
    const { seen } = this;
    const { now } = this.options;
    const at = now();
    const repomd = await this.fetch('repodata/repomd.xml');
    if (repomd === undefined) return;
    const from = performance.now();
    seen.looks++;
    if (this.options.signed) await this.signature(repomd, from);
    const { metadata } = readIndex(repomd);
    const bodies = new Map<string, Buffer | undefined>();
    for (const one of metadata) bodies.set(one.type, await this.verified(one, 0));
    const primary = bodies.get('primary');
    if (primary === undefined) return;
    const digest = sha256(repomd);
    const packages = this.packagesOf.get(digest) ?? readPackages(opened(primary));
    this.packagesOf.set(digest, packages);
    for (let n = 0; n < 2; n++) await this.some(packages, 0);
    // Kept with the time of the last look at it: so it is as young as a client can have it.
    this.kept.set(digest, { at, metadata, packages });
    await this.old();
  }

  /** A client that goes on with what it fetched long ago: of any age, the oldest included. */
  private async old(): Promise<void> {
    const { now, maxAgeSeconds, random } = this.options;
    for (const [digest, { at }] of this.kept) if (at < now() - maxAgeSeconds) this.kept.delete(digest);
    const all = [...this.kept.values()];
    const one = random() < 0.4 ? all[0] : all[Math.floor(random() * all.length)];
    if (one === undefined) return;
    const age = (now() - one.at) / 3600;
    await this.some(one.metadata, age);
    for (let n = 0; n < 2; n++) await this.some(one.packages, age);
  }

  private async some(files: readonly Listed[], age: number): Promise<void> {
    const file = files[Math.floor(this.options.random() * files.length)];
    if (file !== undefined) await this.verified(file, age);
  }

  private async verified(file: Listed, age: number): Promise<Buffer | undefined> {
    const { seen } = this;
    const until = AGES.find((hours) => age <= hours) ?? Infinity;
    seen.ages[String(until)] = (seen.ages[String(until)] ?? 0) + 1;
    const body = await this.fetch(file.path, age);
    if (body === undefined || (body.length === file.size && sha256(body) === file.sha256)) return body;
    seen.checksumErrors++;
    this.note(`${file.path}: ${body.length} bytes with another checksum, ${file.size} are listed`);
    return undefined;
  }

  /** Fetches the signature; where it is that of another index, starts again, as dnf does, until both are one. */
  private async signature(repomd: Buffer, from: number): Promise<void> {
    const { seen } = this;
    const signature = await this.fetch('repodata/repomd.xml.asc');
    seen.gapMs += performance.now() - from;
    if (signature === undefined) return;
    // What gpgv takes is no part of the window.
    let asked = performance.now();
    if (await this.isGood(repomd, signature)) return;
    seen.mismatches++;
    let verifying = performance.now() - asked;
    for (let attempt = 0; attempt < 50; attempt++) {
      const again = await this.fetch('repodata/repomd.xml');
      const its = await this.fetch('repodata/repomd.xml.asc');
      asked = performance.now();
      if (again !== undefined && its !== undefined && (await this.isGood(again, its))) {
        seen.mismatchMs.push(asked - from - verifying);
        return;
      }
      verifying += performance.now() - asked;
    }
    this.note('the signature does not come to match');
    seen.broken++;
  }

  /** Each pair is shown to gpgv once. */
  private isGood(repomd: Buffer, signature: Buffer): Promise<boolean> {
    const name = `${sha256(repomd).slice(0, 20)}-${sha256(signature).slice(0, 20)}`;
    const known = this.verdicts.get(name);
    if (known !== undefined) return known;
    const path = join(this.options.directory, name);
    writeFileSync(path, repomd);
    writeFileSync(`${path}.asc`, signature);
    // What the mirror signs with a clock that is ahead is signed in the future.
    const { ring } = this.options.signer;
    const asked = start('gpgv', ['--ignore-time-conflict', '--keyring', ring, `${path}.asc`, path]).ended.then(
      ({ status }) => status === 0,
    );
    this.verdicts.set(name, asked);
    return asked;
  }

  private async fetch(path: string, age = 0): Promise<Buffer | undefined> {
    const { seen } = this;
    seen.requests++;
    const { status, body } = await this.request(this.options.url + path);
    if (status === 200) return body;
    seen.notFound++;
    if (age === 0) seen.notFoundFresh++;
    this.note(`${status} for ${path}${age > 0 ? ` of metadata that is ${age.toFixed(1)} hours old` : ''}`);
    return undefined;
  }

  private async request(url: string): Promise<{ status: number; body: Buffer }> {
    try {
      return await this.requestOnce(url);
    } catch (error) {
      // nginx closes a connection that was idle for long: every client asks again on a new one.
      if ((error as { reused?: boolean }).reused !== true) throw error;
      return this.requestOnce(url);
    }
  }

  private requestOnce(url: string): Promise<{ status: number; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const sent = get(url, { agent: this.agent, timeout: 20_000 }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks) }));
      });
      sent.on('timeout', () => sent.destroy(new Error('no answer within 20 s')));
      sent.on('error', (error) => reject(Object.assign(error, { reused: sent.reusedSocket })));
    });
  }

  private note(text: string): void {
    if (this.seen.examples.length < MAX_EXAMPLES) this.seen.examples.push(text);
  }
}

/** What is wrong with what clients saw, in words; the window of the signature is none of it. Pure. */
export function sightingProblems(seen: Sightings): string[] {
  const bad = seen.notFound + seen.checksumErrors + seen.broken;
  return bad === 0
    ? []
    : [
        `clients saw ${seen.notFound} answers other than 200, ${seen.checksumErrors} wrong checksums, ${seen.broken} broken looks: ${seen.examples.slice(0, 4).join('; ')}`,
      ];
}
