/** What a deploy would meet here, judged by the very checks that it would run. Changes nothing. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DesiredState, Foreseen, ObservationRequest } from '../desired-state/model';
import { asMirrorError } from './events';
import { findGeneratedKeys } from './generated-keys';
import { manifestsOnDisk } from './generation';
import { hostedIsCurrent } from './hosted';
import { compareElements, type Manifest } from './manifest';
import type { HostPaths } from './paths';
import { checkPasswords } from './passwords';
import { judgeStorage, storageFacts } from './storage';
import { checkAgainst } from './waivers';

/** Undefined when the request does not say what a deploy would bring. */
export function foresee(
  paths: HostPaths,
  manifest: Manifest,
  request: ObservationRequest,
  found: Pick<Foreseen, 'deviations' | 'secrets' | 'previousKey'>,
): Foreseen | undefined {
  const { deploy } = request;
  if (deploy === undefined) return undefined;
  const samePrograms = manifest.programs === deploy.programs;
  const same = manifest.generation !== 0 && manifest.desiredState === deploy.desiredState && samePrograms;
  const onDisk = (target: string): boolean => existsSync(join(deploy.storage.root, target));
  const refused = refusal([
    () => checkAgainst(manifest, { owner: request.owner, waivers: deploy.waivers, elements: elementsOf(deploy) }, onDisk),
    () => checkPasswords(request.secrets),
    () => findGeneratedKeys(paths, deploy.generatedKeys, manifestsOnDisk(paths)),
    () => judgeStorage(deploy.storage, storageFacts(paths, deploy.storage.root)),
  ]);
  return {
    generation: manifest.generation,
    owner: manifest.owner,
    deviations: [...new Set(found.deviations)].sort(),
    pending: compareElements(manifest.elements, request.elements),
    secrets: found.secrets,
    ...(found.previousKey === undefined ? {} : { previousKey: found.previousKey }),
    unchanged: same && found.deviations.length === 0 && hostedIsCurrent(paths, manifest),
    samePrograms,
    ...(refused === undefined ? {} : { refused }),
  };
}

function elementsOf(deploy: NonNullable<ObservationRequest['deploy']>): DesiredState['elements'] {
  return Object.entries(deploy.elements).map(([id, element]) => ({ ...element, id, files: {} }));
}

function refusal(checks: readonly (() => unknown)[]): Foreseen['refused'] {
  for (const check of checks) {
    try {
      check();
    } catch (thrown) {
      const { code, message, remedy } = asMirrorError(thrown);
      return { code, message, remedy };
    }
  }
  return undefined;
}
