import { dirname } from 'node:path';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { type LostFile, writeLost } from './damage';
import { seriesDeclared, seriesLock } from './builds';
import { copied, type Definitions, hostedComponents } from './definitions';
import { secondsBetween, someOf } from './lines';
import { Lock, lockHolder, usingStore, waitingFor } from './lock';
import { MirrorError } from '../desired-state/errors';
import { type Mended, Mender } from './mend';
import { Progress } from './progress';
import { refetch, type RefetchContext, SCRUB } from './refetch';
import { coverage, DEFAULT_SCRUB_DAYS, portionOf, readScrubState, writeScrubState } from './scrub-portion';
import { type Aliases, aliasesOf, type Finding, namesOfShard, present, readShard, readTree, SHARDS } from './scrub-read';
import { damageRecord, expectedOf, scrubbedHere, shownTree, treesOf } from './scrubbed-trees';
import { requireStorage } from './storage';
import { type Incoming, Store } from './store';
import type { SyncContext } from './sync';

export type ScrubContext = RefetchContext & Pick<SyncContext, 'now' | 'waitSeconds'>;

/** Content that was put right. */
export interface Repair {
  readonly digest: string;
  readonly why: string;
  /** `copy`: another copy on this disk; `upstream`: fetched again; `unused`: nothing uses it, and it is gone. */
  readonly from: 'copy' | 'upstream' | 'unused';
  /** `<id>: <path>` */
  readonly places: readonly string[];
}

/** A file that is not served, since there is no whole copy of it. */
export interface Loss extends LostFile {
  readonly id: string;
  readonly snapshot: string;
}

export interface ScrubOutcome {
  readonly files: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly repaired: readonly Repair[];
  readonly lost: readonly Loss[];
  /** Wrong bytes that a running sync uses still: the next run goes on with them. */
  readonly unfinished: readonly string[];
  /** Since when everything was read; undefined until it was for the first time. */
  readonly everythingSince: string | undefined;
  /** Parts of the store and of the trees that were not read yet, of so many. */
  readonly unread: number;
  readonly parts: number;
}

const STORE = 'store/';
const TREES = 'repositories/';

/**
 * Reads what is due of the store and of the trees, all of it with `all`, and puts right what is not as its digest says: from another copy, else from
 * upstream. What cannot be put right is served no more. May be killed at any time: the next run goes on.
 */
export async function scrub(context: ScrubContext, definitions: Definitions, all: boolean): Promise<ScrubOutcome> {
  await requireStorage(context.layout, context.server);
  const lock = await Lock.take(context.layout.lockFile(SCRUB), 'the scrub');
  try {
    const store = new Store(context.layout.store);
    const incoming = await store.incoming(SCRUB);
    const outcome = await new Scrub(context, definitions, store, incoming).run(all);
    // The beginning of a large file stays for the next run.
    if (outcome.lost.length === 0) await incoming.close();
    return outcome;
  } finally {
    await lock.release();
  }
}

class Scrub {
  private readonly repaired: Repair[] = [];
  private files = 0;
  private bytes = 0;

  constructor(
    private readonly context: ScrubContext,
    private readonly definitions: Definitions,
    private readonly store: Store,
    private readonly incoming: Incoming,
  ) {}

  async run(all: boolean): Promise<ScrubOutcome> {
    const { layout, now, server } = this.context;
    const started = now();
    const mender = new Mender(layout, this.store, dirname(this.incoming.path(ANY)), now);
    const aliases = aliasesOf(this.store);
    await this.mend(mender, await mender.unfinished(aliases), aliases);
    await this.bringBack(mender);

    const parts = [...SHARDS.map((shard) => STORE + shard), ...(await scrubbedHere(layout)).map((id) => TREES + id)];
    const state = await readScrubState(layout.scrubState);
    const due = all ? parts : portionOf(parts, state, started, server.scrubEveryDays ?? DEFAULT_SCRUB_DAYS);
    const progress = this.progress(due);
    const read = Object.fromEntries(Object.entries(state.read).filter(([part]) => parts.includes(part)));
    try {
      for (const part of due) {
        const findings = await this.read(part, aliases, progress);
        if (findings.length > 0) {
          await this.mend(mender, findings, aliases);
          await this.bringBack(mender);
        }
        read[part] = now().toISOString();
        await writeScrubState(layout.scrubState, { ...state, read });
      }
    } finally {
      progress.stop();
    }
    await this.afterSyncs(mender, aliases);
    const lost = (await mender.allLost()).flatMap(({ id, snapshot, lost: files }) =>
      files.map((file) => ({ id: shownTree(id), snapshot, ...file })),
    );
    const done = { ...state, read, lastRun: now().toISOString() };
    await writeScrubState(layout.scrubState, done);
    const { since, unread } = coverage(parts, done);
    return {
      files: this.files,
      bytes: this.bytes,
      seconds: secondsBetween(started, now()),
      repaired: this.repaired,
      lost,
      unfinished: (await mender.unfinished(aliases)).map(({ checksum }) => checksumKey(checksum)),
      everythingSince: unread > 0 ? undefined : since,
      unread,
      parts: parts.length,
    };
  }

  private progress(due: readonly string[]): Progress {
    let files = 0;
    let bytes = 0;
    for (const shard of due.filter((part) => part.startsWith(STORE)).map((part) => part.slice(STORE.length))) {
      for (const hex of namesOfShard(this.store, 'sha256', shard)) {
        files++;
        bytes += present(this.store.path({ algorithm: 'sha256', hex }))?.size ?? 0;
      }
    }
    return new Progress('scrub', files, bytes, this.context.say);
  }

  private async read(part: string, aliases: Aliases, progress: Progress): Promise<readonly Finding[]> {
    const onBytes = (count: number): void => void (this.bytes += count);
    const onFile = (): void => void this.files++;
    if (part.startsWith(TREES)) return this.readTrees(part.slice(TREES.length), onBytes, onFile);
    return readShard(
      this.store,
      part.slice(STORE.length),
      aliases,
      (count) => {
        onBytes(count);
        progress.addBytes(count);
      },
      () => {
        onFile();
        progress.fileDone();
      },
    );
  }

  private async readTrees(id: string, onBytes: (count: number) => void, onFile: () => void): Promise<readonly Finding[]> {
    const { layout } = this.context;
    const findings: Finding[] = [];
    const seen = new Map<string, boolean>();
    for (const snapshot of await treesOf(layout, id)) {
      const files = await expectedOf(layout, id, snapshot);
      findings.push(...(await readTree(layout, this.store, { id, snapshot, files }, seen, onBytes, onFile)));
    }
    return findings;
  }

  private async mend(mender: Mender, findings: readonly Finding[], aliases: Aliases): Promise<void> {
    for (const mended of await usingStore(this.context.layout, () => mender.mend(findings, aliases))) {
      this.tell(mended);
      const { checksum, why, result, places } = mended;
      if (result !== 'lost') this.repaired.push({ digest: checksumKey(checksum), why, from: result, places });
    }
  }

  private tell({ checksum, why, result, places }: Mended): void {
    const then = {
      copy: 'another copy took its place',
      lost: 'no other copy is here; it is served no more, and upstream is asked for it',
      unused: 'nothing uses it',
    }[result];
    this.context.say(`${checksumKey(checksum)} ${why}: ${then}${places.length === 0 ? '' : ` (${someOf(places, MAX_NAMED)})`}`);
  }

  /** What was lost, from where it may be by now: the store, or upstream. */
  private bringBack(mender: Mender): Promise<void> {
    return usingStore(this.context.layout, () => this.bringBackNow(mender));
  }

  private async bringBackNow(mender: Mender): Promise<void> {
    this.noteBack(await mender.bringBack(), 'copy');
    const lost = await mender.allLost();
    if (lost.length === 0) return;
    const failed = new Map<string, string>();
    for (const definition of copied(this.definitions)) {
      const files = lost.filter(({ id }) => id === definition.id).flatMap(({ lost: some }) => some);
      if (files.length === 0) continue;
      for (const [key, error] of await refetch(this.context, this.store, this.incoming, definition, files)) failed.set(key, error.message);
    }
    this.noteBack(await mender.bringBack(), 'upstream');
    for (const { id, snapshot, lost: files } of await mender.allLost()) {
      const told = files.map((file) => ({ ...file, upstream: failed.get(checksumKey(file.checksum)) ?? file.upstream }));
      await writeLost(damageRecord(this.context.layout, id, snapshot), told);
    }
  }

  private noteBack(back: readonly { readonly file: LostFile; readonly place: string }[], from: Repair['from']): void {
    const places = new Map<string, { file: LostFile; places: Set<string> }>();
    for (const { file, place } of back) {
      const key = checksumKey(file.checksum);
      places.set(key, { file, places: (places.get(key)?.places ?? new Set()).add(place) });
    }
    for (const [digest, { file, places: found }] of places) {
      this.context.say(
        `${digest} ${file.why}: ${from === 'upstream' ? 'fetched again' : 'back from the store'} (${someOf([...found], MAX_NAMED)})`,
      );
      this.repaired.push({ digest, why: file.why, from, places: [...found].sort() });
    }
  }

  /** A sync or a publish that was running may have linked wrong bytes into the tree that it was making: that is looked at when it has ended. */
  private async afterSyncs(mender: Mender, aliases: Aliases): Promise<void> {
    const { layout } = this.context;
    if ((await mender.unfinished(aliases)).length === 0) return;
    const locks = [
      ...[...copied(this.definitions), ...hostedComponents(this.definitions)].map(({ id }) => [id, layout.lockFile(id)] as const),
      ...seriesDeclared(this.definitions).map((series) => [`the series ${series}`, seriesLock(layout, series)] as const),
    ];
    for (const [what, lock] of locks) {
      if ((await lockHolder(lock)) !== 'alive') continue;
      try {
        await (await Lock.take(lock, what, waitingFor(this.context))).release();
      } catch (error) {
        if (!(error instanceof MirrorError) || error.code !== 'LOCKED') throw error;
      }
    }
    await this.mend(mender, await mender.unfinished(aliases), aliases);
    await this.bringBack(mender);
  }
}

/** Where it would arrive, all does. */
const ANY: Checksum = { algorithm: 'sha256', hex: '' };

const MAX_NAMED = 3;
