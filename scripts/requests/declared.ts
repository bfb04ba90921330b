/** The lists of the synthesized app, with the files of the project that they come from. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { DownloadsDefinitionSchema, ListsDefinitionSchema } from '../../desired-state/definitions';
import { readDesiredState } from '../deploy/inputs';
import { type DeclaredServer, declaredServers, serverStacks } from '../survey/declared';
import type { DeclaredLists } from './types';

export interface ServerLists {
  readonly server: DeclaredServer;
  /** Sorted by id. */
  readonly lists: readonly DeclaredLists[];
}

interface Source {
  readonly prop: string;
  readonly path: string;
}

export function declaredLists(): readonly ServerLists[] {
  const servers = declaredServers();
  return serverStacks().map(({ directory }, index) => ({ server: servers[index] as DeclaredServer, lists: listsIn(directory) }));
}

function listsIn(directory: string): readonly DeclaredLists[] {
  const sources = (JSON.parse(readFileSync(join(directory, 'mirror', 'sources.json'), 'utf8')) as { lists: Record<string, Source[]> })
    .lists;
  const { elements } = readDesiredState(directory).desiredState;
  return elements
    .flatMap((element) => Object.entries(element.files))
    .flatMap(([path, text]): DeclaredLists['definition'][] => {
      if (path.startsWith('definitions/lists/')) return [ListsDefinitionSchema.parse(parse(text))];
      return path.startsWith('definitions/downloads/') ? [DownloadsDefinitionSchema.parse(parse(text))] : [];
    })
    .map((definition) => {
      const files = sources[definition.id] ?? [];
      const names = Object.keys(definition.lists ?? {});
      const lists = files.filter(({ prop, path }) => prop !== 'digests' && names.includes(basename(path)));
      return {
        definition,
        paths: Object.fromEntries(lists.map(({ path }) => [basename(path), path])),
        digests: files.find(({ prop }) => prop === 'digests')?.path,
      };
    });
}
