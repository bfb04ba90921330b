import { existsSync, statSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ServerDefinition } from '../desired-state/definitions';
import { diskLimits } from '../desired-state/disk-guard';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Layout } from './layout';
import { size } from './progress';

/**
 * Refuses to touch a storage root that is not there: without the sentinel, or (when it has a mount of its own) while it is not mounted,
 * everything would be fetched again into the root file system. Also refuses to run as root where content belongs to another user.
 */
export async function requireStorage(layout: Layout, server: ServerDefinition): Promise<void> {
  const refuse = (code: string, message: string, remedy: string): MirrorError =>
    new MirrorError({ code, message, remedy, exitCode: ExitCode.environment });
  if (!existsSync(layout.sentinel)) {
    throw refuse(
      'NOT_MOUNTED',
      `${layout.sentinel} is missing: the disk is not mounted, or ${layout.root} is not the storage root`,
      `Mount it. On a new disk, deploy again: the activation makes the file.`,
    );
  }
  if (server.ownMount && statSync(layout.root).dev === statSync(dirname(layout.root)).dev) {
    throw refuse('NOT_MOUNTED', `${layout.root} is declared to be a mount of its own, and is not one`, `mount ${layout.root}`);
  }
  const odd = elsewhere(layout);
  if (odd !== undefined) {
    throw refuse(
      'SEVERAL_FILE_SYSTEMS',
      `${odd} is on another file system than ${layout.root}`,
      'Everything below the storage root must be on one file system, since trees share files by hard links: unmount it, and copy its content.',
    );
  }
  const owner = ownerOfContent(layout);
  if (process.getuid?.() === 0 && owner !== 0) {
    throw refuse(
      'WRONG_USER',
      `content below ${layout.root} belongs to the user ${owner}, and this is root`,
      'This is no deployed server, or its user mirror is missing: deploy again, or run as the owner of the content.',
    );
  }
  await mkdir(layout.store, { recursive: true });
}

/** What shares files by hard links. */
const ONE_FILE_SYSTEM = ['store', 'repositories', 'releases', 'builds', 'quarantine'];

/** A directory of those that is a mount of its own. */
function elsewhere({ root }: Layout): string | undefined {
  const { dev } = statSync(root);
  return ONE_FILE_SYSTEM.map((name) => join(root, name)).find((path) => (statSync(path, { throwIfNoEntry: false })?.dev ?? dev) !== dev);
}

function ownerOfContent(layout: Layout): number {
  for (const path of [layout.store, layout.repository('.'), layout.root]) {
    if (existsSync(path)) return statSync(path).uid;
  }
  return 0;
}

/** What a file system can still take. */
export interface Room {
  /** Of what can be used at all, what root alone may use aside: as `df` says. */
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly totalInodes: number;
  /** 0 of a file system that makes inodes as it needs them. */
  readonly usedInodes: number;
}

export async function roomOf(path: string): Promise<Room> {
  const { blocks, bfree, bavail, bsize, files, ffree } = await statfs(path);
  const usedBytes = (blocks - bfree) * bsize;
  return { usedBytes, totalBytes: usedBytes + bavail * bsize, usedInodes: files - ffree, totalInodes: files };
}

/** What is about to be added. */
interface Need {
  readonly bytes: number;
  readonly files: number;
}

/** Refuses early when what is needed does not fit, instead of filling the disk for others first. */
export async function requireSpace(layout: Layout, id: string, { bytes }: Pick<Need, 'bytes'>): Promise<void> {
  const { bavail, bsize } = await statfs(layout.root);
  const free = bavail * bsize;
  if (bytes <= free) return;
  throw new MirrorError({
    code: 'DISK_FULL',
    message: `${id} needs ${bytes} bytes more, and ${layout.root} has ${free} left`,
    remedy: 'Free space or enlarge the file system. Nothing was changed.',
    exitCode: ExitCode.environment,
  });
}

/**
 * As `requireSpace`, and keeps the part of the disk free that the declared guard leaves to everything else: the deploys, the retention, the
 * repairs of a scrub. Without a need it asks whether anything may be added at all.
 */
export async function requireRoom(layout: Layout, server: ServerDefinition, id: string, need?: Need): Promise<void> {
  if (need !== undefined) await requireSpace(layout, id, need);
  const { stopAtPercent } = diskLimits(server.diskGuard);
  const { usedBytes, totalBytes, usedInodes, totalInodes } = await roomOf(layout.root);
  const { bytes, files } = need ?? { bytes: 0, files: 0 };
  const kinds = [
    { used: usedBytes, total: totalBytes, more: bytes, amount: size(bytes), full: (share: string) => `${layout.root} is ${share} full` },
    {
      ...{ used: usedInodes, total: totalInodes, more: files, amount: `${files} files` },
      full: (share: string) => `${share} of the inodes of ${layout.root} are used`,
    },
  ];
  for (const { used, total, more, amount, full } of kinds) {
    // What adds nothing of a kind does no harm; without a need it is not known yet.
    if (total === 0 || (need !== undefined && more === 0) || used + more <= (total * stopAtPercent) / 100) continue;
    const now = full(percent(used, total));
    const then = `${id} needs ${amount} more, which would make it ${percent(used + more, total)}`;
    const limit = `nothing is added beyond ${stopAtPercent} %`;
    throw new MirrorError({
      code: 'DISK_GUARD',
      message: used > (total * stopAtPercent) / 100 ? `${now}: ${limit}` : `${now}; ${then}: ${limit}`,
      remedy:
        'What is published stays and is served. "mirrorctl retention plan" says what it would free and when; else enlarge the file system, or declare another diskGuard.stopAtPercent.',
      exitCode: ExitCode.environment,
    });
  }
}

/** Rounded down, so that 95.04 % is not said to be 95 %, and is said with a digit. */
export function percent(part: number, whole: number): string {
  return `${(Math.floor((part / whole) * 1000) / 10).toFixed(1)} %`;
}
