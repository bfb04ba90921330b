import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { SENTINEL, type DesiredState } from '../desired-state/model';
import { kindOf, readIfPresent } from './files';
import type { HostPaths } from './paths';

/** What is known about the storage root before anything is changed. */
export interface StorageFacts {
  /** The root that once got its sentinel, as remembered in /etc/mirror. */
  readonly recordedRoot: string | undefined;
  readonly isMountPoint: boolean;
  readonly hasSentinel: boolean;
}

/**
 * Whether the storage root is fit, and whether it may get its sentinel now. A sentinel is made once per root and never again: were it
 * made anew, an unmounted disk would look like an empty mirror. Throws MirrorError (environment). Pure.
 */
export function judgeStorage(storage: DesiredState['storage'], facts: StorageFacts): 'ready' | 'create' {
  const { root, ownMount } = storage;
  if (ownMount && !facts.isMountPoint) {
    throw unfit(
      'DATA_MOUNT_MISSING',
      `data mount missing: ${root} is not a mount point`,
      `Mount the data disk at ${root} (and enter it in /etc/fstab), then deploy again. For a directory of the system disk, declare ownMount: false.`,
    );
  }
  if (facts.hasSentinel) return 'ready';
  if (facts.recordedRoot === root) {
    throw unfit(
      'SENTINEL_MISSING',
      `${root}/${SENTINEL} is gone: this is not the disk that the mirror was set up on, or it was emptied`,
      `Mount the right disk. If its content is lost on purpose, say so on the server: touch ${root}/${SENTINEL}`,
    );
  }
  if (facts.recordedRoot !== undefined) {
    throw unfit(
      'STORAGE_MOVED',
      `the storage root is declared as ${root}, but the mirror's content was set up at ${facts.recordedRoot}`,
      `Move or mount the content, with its ${SENTINEL}, at ${root}, then deploy again.`,
    );
  }
  return 'create';
}

/** Mount points of a mountinfo text, decoded. Pure. */
export function mountPoints(mountInfo: string): Set<string> {
  const points = mountInfo
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point): point is string => point !== undefined)
    .map((point) => point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))));
  return new Set(points);
}

const RecordSchema = z.object({ root: z.string() });

/** Looks at the storage root; changes nothing. */
export function storageFacts(paths: HostPaths, root: string): StorageFacts {
  const record = readIfPresent(paths.storageRecord);
  return {
    recordedRoot: record === undefined ? undefined : RecordSchema.parse(JSON.parse(record)).root,
    isMountPoint: mountPoints(readFileSync(paths.mountInfo, 'utf8')).has(root),
    hasSentinel: kindOf(join(root, SENTINEL)) === 'file',
  };
}

function unfit(code: string, message: string, remedy: string): MirrorError {
  return new MirrorError({ code, message, remedy, exitCode: ExitCode.environment });
}
