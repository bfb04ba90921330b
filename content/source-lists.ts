import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CopiedDefinition, type DownloadsDefinition, type FetchSource, isWaived } from '../desired-state/definitions';
import type { HttpClient } from '../downloads/http';
import { declaredHosts, type ResolvedSources, resolveSources } from '../downloads/mirror-lists';
import type { RetryOptions } from '../downloads/sources';
import { askedPackages } from '../starlingx/asked';
import { writeAtomically } from './files';
import { flat, type Layout } from './layout';
import type { Say } from './progress';

interface Context {
  readonly layout: Layout;
  readonly client: HttpClient;
  readonly retry: RetryOptions;
  readonly say: Say;
}

/** A client that goes nowhere else within private networks than the definition says, or said once (`before`). */
export function clientFor(client: HttpClient, definition: CopiedDefinition, before: readonly string[] = []): HttpClient {
  const everywhere = definition.kind !== 'tree' && isWaived(definition, 'privateAddresses');
  return client.reaching(everywhere ? 'all' : declaredHosts([...declaredSources(definition), ...before]));
}

/** Where the definition says that bytes come from: of downloads the address of each file, of lists of each package that has one. */
export function declaredSources(definition: DownloadsDefinition): readonly string[];
export function declaredSources(definition: CopiedDefinition): readonly FetchSource[];
export function declaredSources(definition: CopiedDefinition): readonly FetchSource[] {
  if (definition.kind === 'lists') return askedPackages(definition.lists).flatMap(({ url }) => url ?? []);
  return definition.kind === 'downloads' ? definition.files.map(({ url }) => url) : definition.fetchFrom;
}

/** Resolves the sources of a repository, and keeps its lists of mirrors: the last good one is used while a list cannot be had. */
export async function sourcesOf(
  { layout, client, retry, say }: Context,
  { id, fetchFrom }: { readonly id: string; readonly fetchFrom: readonly FetchSource[] },
): Promise<ResolvedSources> {
  const path = join(layout.state, 'mirror-lists', `${flat(id)}.json`);
  const before = await readFile(path, 'utf8').catch(() => '{}');
  const resolved = await resolveSources(client, fetchFrom, { retry, known: listsIn(before), warn: (line) => say(`${id}: ${line}`) });
  const after = JSON.stringify(resolved.lists);
  if (after !== before && Object.keys(resolved.lists).length > 0) await writeAtomically(path, after);
  return resolved;
}

/** A damaged file is as good as none. */
function listsIn(text: string): Readonly<Record<string, string>> {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value !== 'object' || value === null) return {};
    return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return {};
  }
}
