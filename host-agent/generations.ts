import { currentGeneration, manifestsOnDisk } from './generation';
import { machineClock, readJournal, secondsLeft } from './journal';
import { compareElements, EMPTY_MANIFEST, type Manifest } from './manifest';
import type { HostPaths } from './paths';

/** A line of `mirror-host generations --json`. */
export interface GenerationEntry {
  readonly generation: number;
  readonly state: 'serves' | 'waits for its confirmation' | 'was never confirmed' | 'can be rolled back to';
  readonly owner: string;
  readonly created: string;
  readonly programs: string;
  readonly elements: number;
  /** Compared with the generation before it on this server. */
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** The generations on this server, newest first. Changes nothing. */
export function listGenerations(paths: HostPaths): GenerationEntry[] {
  const journal = readJournal(paths);
  const waiting = journal !== undefined && secondsLeft(journal, machineClock(paths)) > 0 ? journal.to : undefined;
  return describeGenerations(manifestsOnDisk(paths), currentGeneration(paths).generation, waiting);
}

/** Pure. `manifests` are oldest first. */
export function describeGenerations(manifests: readonly Manifest[], current: number, waiting: number | undefined): GenerationEntry[] {
  const real = manifests.filter((manifest) => manifest.generation !== 0);
  return real
    .map((manifest, index) => ({
      generation: manifest.generation,
      state: stateOf(manifest, current, waiting),
      owner: manifest.owner,
      created: manifest.created,
      programs: manifest.programs,
      elements: Object.keys(manifest.elements).length,
      ...compareElements((real[index - 1] ?? EMPTY_MANIFEST).elements, manifest.elements),
    }))
    .reverse();
}

function stateOf(manifest: Manifest, current: number, waiting: number | undefined): GenerationEntry['state'] {
  if (manifest.generation === waiting) return 'waits for its confirmation';
  if (manifest.generation === current) return 'serves';
  return manifest.activated ? 'can be rolled back to' : 'was never confirmed';
}

/** The list as a person reads it. Pure. */
export function generationsText(entries: readonly GenerationEntry[]): string {
  if (entries.length === 0) return 'no generation: nothing was deployed to this server yet';
  return entries
    .map((entry) => {
      const changes = [
        ...entry.added.map((id) => `+ ${id}`),
        ...entry.changed.map((id) => `~ ${id}`),
        ...entry.removed.map((id) => `- ${id}`),
      ];
      const named = changes.length > 6 ? [...changes.slice(0, 6), `and ${changes.length - 6} more`] : changes;
      const head = `${entry.generation}  ${entry.created}  ${entry.state}  (${entry.owner}, ${entry.elements} elements, programs ${entry.programs.slice(0, 12)})`;
      return named.length === 0 ? head : `${head}\n    ${named.join(', ')}`;
    })
    .join('\n');
}
