import { currentGeneration } from './generation';
import { deviations } from './observe';
import type { HostPaths } from './paths';

/** What `mirror-host status --json` prints. */
export interface HostStatus {
  /** 0: nothing was activated yet. */
  readonly generation: number;
  readonly owner: string;
  /** When the generation was made. */
  readonly since: string;
  readonly programs: string;
  readonly elements: number;
  /** In what the server differs from the generation, sorted. */
  readonly drift: readonly string[];
}

/** Reads the status of the server; changes nothing. */
export async function readStatus(paths: HostPaths): Promise<HostStatus> {
  const manifest = currentGeneration(paths);
  const drift = manifest.generation === 0 ? [] : await deviations(paths, manifest);
  return {
    generation: manifest.generation,
    owner: manifest.owner,
    since: manifest.created,
    programs: manifest.programs,
    elements: Object.keys(manifest.elements).length,
    drift: drift.sort(),
  };
}

/** The status as a person reads it. Pure. */
export function describeStatus(status: HostStatus): string {
  if (status.generation === 0) return 'no generation: nothing was deployed to this server yet';
  const drift = status.drift.length === 0 ? ['intact'] : ['drift:', ...status.drift.map((line) => `  ${line}`)];
  return [
    `generation ${status.generation} of ${status.owner}, ${status.elements} elements, since ${status.since}`,
    `programs ${status.programs.slice(0, 12)}`,
    ...drift,
  ].join('\n');
}
