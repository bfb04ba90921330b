import type { CopiedDefinition, ServerDefinition } from '../desired-state/definitions';
import type { HttpClient } from '../downloads/http';
import type { RetryOptions } from '../downloads/sources';
import type { Signer } from '../signatures/sign';
import type { BandwidthShare } from './bandwidth-share';
import { DownloadsRun } from './downloads-run';
import { machineFault } from './files';
import type { Definitions } from './definitions';
import type { Layout } from './layout';
import { secondsBetween } from './lines';
import { ListsRun } from './lists-run';
import { Lock, waitingFor } from './lock';
import type { Say } from './progress';
import type { Problem } from './record';
import { signAnew } from './retired';
import { type Failure, failureOf, readState, type RunRecord, writeState } from './state';
import { requireRoom, requireStorage } from './storage';
import { SyncRun } from './sync-run';
import { TreeRun } from './tree-run';

/** What every sync of one process shares. */
export interface SyncContext {
  readonly layout: Layout;
  readonly server: ServerDefinition;
  /** What else is declared: lists find packages in repositories, and these take what lists ask for. */
  readonly definitions: Pick<Definitions, 'repositories' | 'lists'>;
  readonly client: HttpClient;
  readonly retry: RetryOptions;
  readonly now: () => Date;
  readonly say: Say;
  /** Of the mirror's own signatures. Its keys are read when it is asked for, gpg starts when something is signed. */
  readonly signer: () => Promise<Signer>;
  readonly share: BandwidthShare;
  /** How long superseded metadata, and the packages it lists, stay served. */
  readonly graceSeconds: number;
  /** How long to wait for another run of the same repository. */
  readonly waitSeconds: number;
}

/** `mirrorctl status` has a share of each lock for some milliseconds. */
const LOOK_SECONDS = 0.2;

/** The state keeps so many problems of a run; the outcome that is printed has all. */
const MAX_KEPT_PROBLEMS = 100;

export interface SyncOutcome {
  readonly id: string;
  /** `degraded`: what is published lacks something (`problems`). */
  readonly result: RunRecord['result'];
  readonly snapshot?: string;
  readonly packages?: number;
  /** Of a file tree, instead of packages. */
  readonly files?: number;
  readonly bytes?: number;
  readonly downloadedFiles: number;
  readonly downloadedBytes: number;
  readonly seconds: number;
  /** Why it failed, or is degraded, in one sentence. */
  readonly error?: Failure;
  /** Each file that could not be had or was not taken. */
  readonly problems: readonly Problem[];
}

export type Done = Omit<SyncOutcome, 'id' | 'seconds'>;

/** A run that changed nothing, and why. */
export class SyncFailed extends Error {
  constructor(
    readonly reason: unknown,
    readonly problems: readonly Problem[],
  ) {
    super('the sync failed', { cause: reason });
  }
}

/**
 * Makes the published copy of one repository or file tree what its upstream has now, completely verified, or leaves it as it is. Never
 * throws for what can go wrong with one of them: the outcome and the state file say it.
 */
export async function syncRepository(context: SyncContext, definition: CopiedDefinition): Promise<SyncOutcome> {
  const { layout } = context;
  const { id } = definition;
  const started = context.now();
  const outcome = (done: Done): SyncOutcome => ({
    id,
    seconds: secondsBetween(started, context.now()),
    ...done,
  });
  let lock: Lock | undefined;
  try {
    await requireStorage(layout, context.server);
    lock = await Lock.take(layout.lockFile(id), id, {
      ...waitingFor(context),
      lookSeconds: LOOK_SECONDS,
    });
    if (definition.retired !== undefined) return outcome(await signAnew(context, definition));
    const done = await requireRoom(layout, context.server, id)
      .then(() => runOf(context, definition).run())
      .catch(failed);
    return outcome({ ...done, ...(await note(context, id, started, done)) });
  } catch (error) {
    return outcome(failed(error));
  } finally {
    await lock?.release();
  }
}

function runOf(context: SyncContext, definition: CopiedDefinition): { run(): Promise<Done> } {
  switch (definition.kind) {
    case 'tree':
      return new TreeRun(context, definition);
    case 'downloads':
      return new DownloadsRun(context, definition);
    case 'lists':
      return new ListsRun(context, definition);
    case 'repository':
      return new SyncRun(context, definition);
  }
}

function failed(error: unknown): Done {
  const { reason, problems } = error instanceof SyncFailed ? error : { reason: error, problems: [] };
  return { result: 'failed', downloadedFiles: 0, downloadedBytes: 0, error: failureOf(machineFault(reason)), problems };
}

/** Notes how the run went. On a full disk it may be impossible: the outcome still tells what happened, with that as its error where it has none. */
async function note(context: SyncContext, id: string, started: Date, done: Done): Promise<Pick<Done, 'error'>> {
  const stateFile = context.layout.stateFile(id);
  const finishedAt = context.now().toISOString();
  const { result, error, problems } = done;
  try {
    const before = await readState(stateFile, id);
    const lastSuccess = result === 'failed' ? before.lastSuccess : finishedAt;
    await writeState(stateFile, {
      version: 2,
      id,
      ...(lastSuccess === undefined ? {} : { lastSuccess }),
      lastRun: {
        startedAt: started.toISOString(),
        finishedAt,
        result,
        ...(error === undefined ? {} : { error }),
        ...(problems.length === 0 ? {} : { problems: problems.slice(0, MAX_KEPT_PROBLEMS) }),
      },
    });
    return {};
  } catch (fault) {
    const told = failureOf(machineFault(fault));
    const message = `the state of ${id} cannot be written: ${told.message}`;
    if (error === undefined) return { error: { ...told, message } };
    context.say(message);
    return {};
  }
}
