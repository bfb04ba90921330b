import { existsSync, statSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ServerDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Layout } from './layout';

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

function ownerOfContent(layout: Layout): number {
  for (const path of [layout.store, layout.repository('.'), layout.root]) {
    if (existsSync(path)) return statSync(path).uid;
  }
  return 0;
}

/** Refuses early when `bytes` more do not fit, instead of filling the disk for others first. */
export async function requireSpace(layout: Layout, id: string, bytes: number): Promise<void> {
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
