import { setFlagsFromString } from 'node:v8';
import type { CopiedDefinition, ServerDefinition } from '../desired-state/definitions';
import { ExitCode } from '../desired-state/errors';
import { HttpClient, type HttpOptions } from '../downloads/http';
import { forEachParallel } from '../downloads/parallel';
import { type KeySource, openSigner, type Signer } from '../signatures/sign';
import { BandwidthShare } from './bandwidth-share';
import { copied, type Definitions } from './definitions';
import { Layout } from './layout';
import { shortened } from './lines';
import { type Say, size } from './progress';
import type { Problem } from './record';
import { needsSignature } from './retired';
import { currentSnapshot, GRACE_SECONDS } from './snapshot';
import { notDeclared } from './status';
import { type SyncContext, type SyncOutcome, syncRepository } from './sync';

/** At most so many repositories are looked at at a time; what they may fetch at a time is said by the slots. */
const REPOSITORIES_AT_A_TIME = 8;

export interface SyncSelection {
  readonly ids: readonly string[];
  readonly all: boolean;
  readonly fresh: boolean;
  /** How long to wait for another run of the same repository. */
  readonly waitSeconds: number;
}

/** Syncs what is selected. `read` reads the definitions, again at the end with `fresh`, since a deploy may have added some meanwhile. */
export async function syncSelected(
  selection: SyncSelection,
  state: string,
  read: () => Promise<Definitions>,
  say: Say,
  report: (outcome: SyncOutcome) => void,
  keys: KeySource,
): Promise<readonly SyncOutcome[]> {
  // What thousands of small files leave behind is short-lived: without this its space grows with them, by 15 MB at 5,000.
  setFlagsFromString('--semi-space-growth-factor=1');
  let client: HttpClient | undefined;
  const outcomes: SyncOutcome[] = [];
  const seen = new Set<string>();
  let signer: Promise<Signer> | undefined;
  try {
    for (;;) {
      const definitions = await read();
      const layout = new Layout(definitions.server.storageRoot, state, definitions.directory);
      const open = (): Promise<Signer> => (signer ??= openSigner(keys, layout.signingIdentities));
      const chosen = await choose(selection, definitions, layout, seen, open);
      if (chosen.length === 0) return outcomes;
      client ??= new HttpClient(httpOptions(definitions.server));
      const context: SyncContext = {
        layout,
        server: definitions.server,
        definitions,
        client,
        share: new BandwidthShare(client.bandwidth),
        retry: {},
        now: () => new Date(),
        say,
        graceSeconds: GRACE_SECONDS,
        waitSeconds: selection.waitSeconds,
        signer: open,
      };
      const sync = async ({ id }: CopiedDefinition): Promise<void> => {
        seen.add(id);
        // Hours may have passed since the list was made: what is no longer declared is left out, and trust is that of now.
        const latest = await read();
        const definition = copied(latest).find((one) => one.id === id);
        if (definition === undefined) return;
        const current = {
          ...context,
          server: latest.server,
          definitions: latest,
          layout: new Layout(latest.server.storageRoot, state, latest.directory),
        };
        const outcome = await syncRepository(current, definition);
        outcomes.push(outcome);
        report(outcome);
      };
      // What lists ask for comes from what the repositories have by then.
      for (const round of [chosen.filter(({ kind }) => kind !== 'lists'), chosen.filter(({ kind }) => kind === 'lists')])
        await forEachParallel(round, REPOSITORIES_AT_A_TIME, sync);
      if (!selection.fresh) return outcomes;
    }
  } finally {
    // One that could not be opened has failed what asked for it.
    await (await signer?.catch(() => undefined))?.close();
    await client?.close();
  }
}

/** The declared limits as the client takes them. */
export function httpOptions({ sync = {} }: ServerDefinition): HttpOptions {
  const { connections, bandwidth, proxy } = sync;
  return {
    ...(connections === undefined ? {} : { connections }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

async function choose(
  selection: SyncSelection,
  definitions: Definitions,
  layout: Layout,
  seen: ReadonlySet<string>,
  signer: () => Promise<Signer>,
): Promise<readonly CopiedDefinition[]> {
  const synced = copied(definitions).filter(({ retired }) => retired === undefined);
  if (selection.all) {
    const stale: CopiedDefinition[] = [];
    for (const definition of copied(definitions))
      if (definition.retired !== undefined && (await needsSignature({ layout, signer }, definition))) stale.push(definition);
    return [...synced, ...stale];
  }
  if (selection.fresh) {
    const fresh: CopiedDefinition[] = [];
    for (const definition of synced) {
      if (!seen.has(definition.id) && (await isUnpublished(layout, definition.id))) fresh.push(definition);
    }
    return fresh;
  }
  return [...new Set(selection.ids)].map((id) => {
    const found = copied(definitions).find((definition) => definition.id === id);
    if (found === undefined) throw notDeclared(id);
    return found;
  });
}

/** One that is damaged counts: its sync tells why. */
async function isUnpublished(layout: Layout, id: string): Promise<boolean> {
  return (await currentSnapshot(layout, id).catch(() => undefined)) === undefined;
}

/** One line for people; the error and its remedy where it failed or is degraded, and each file that is not as upstream says. */
export function outcomeText(outcome: SyncOutcome): string {
  const { id, error, problems } = outcome;
  const told = [...(error === undefined ? [] : [`  ${error.remedy}`]), ...problemLines(problems, error !== undefined)];
  if (outcome.result === 'failed') return [`${id}: failed: ${error?.message ?? ''}`, ...told].join('\n');
  const content = `${outcome.files === undefined ? `${outcome.packages ?? 0} packages` : `${outcome.files} files`}, ${size(outcome.bytes ?? 0)}`;
  const fetched = `${outcome.downloadedFiles} files, ${size(outcome.downloadedBytes)} fetched`;
  const published = `published ${outcome.snapshot} (${content}; ${fetched}) in ${outcome.seconds} s`;
  if (outcome.result === 'degraded') return [`${id}: degraded: ${error?.message ?? ''}`, ...told].join('\n');
  const but = error === undefined ? '' : `; ${error.message}`;
  return [`${id}: ${outcome.result === 'unchanged' ? `unchanged (${content})` : published}${but}`, ...told].join('\n');
}

/** So many files are named; `--json` names all. */
const MAX_NAMED = 50;

function problemLines(problems: readonly Problem[], firstIsTold: boolean): readonly string[] {
  const [first] = problems;
  if (firstIsTold && problems.length === 1 && first !== undefined && (first.url === undefined || first.message.includes(first.url)))
    return [];
  const lines = problems.map(({ url, message }) => `  - ${url === undefined || message.includes(url) ? '' : `${url}: `}${message}`);
  return shortened(lines, MAX_NAMED, '  - ');
}

/** The exit code for several: that of the first failure by id. With `fresh`, one that another process syncs right now is no failure. */
export function exitCodeOf(outcomes: readonly SyncOutcome[], fresh: boolean): number {
  const failed = outcomes
    .filter((o) => o.error !== undefined && !(fresh && o.error.exitCode === ExitCode.locked))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  return failed[0]?.error?.exitCode ?? ExitCode.ok;
}
