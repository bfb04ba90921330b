import { mkdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { kindOf, linkTarget, replaceSymlink } from './files';
import { DOCUMENT_ROOT } from './paths';

/** Public path → target, both relative to the storage root's document root or the storage root itself. */
export type Links = Readonly<Record<string, string>>;

/** What to do in the document root. */
export interface LinkPlan {
  /** Public paths whose symlink goes away, with the directories that it leaves empty. */
  readonly remove: readonly string[];
  /** Public path → text of the symlink. */
  readonly place: Readonly<Record<string, string>>;
}

/** The text of the relative symlink at a public path. Pure. */
export function linkText(publicPath: string, target: string): string {
  return relative(dirname(join('/', DOCUMENT_ROOT, publicPath)), join('/', target));
}

/**
 * What changes in the document root: `before` are the links of the generations that may be on disk, `found` what is there now.
 * A link that nobody declared is none of our business. Pure.
 */
export function planLinks(before: readonly Links[], after: Links, found: (publicPath: string) => string | undefined): LinkPlan {
  const known = new Set(before.flatMap((links) => Object.keys(links)));
  const remove = [...known].filter((path) => after[path] === undefined && found(path) !== undefined).sort();
  const place: Record<string, string> = {};
  for (const path of Object.keys(after).sort()) {
    const text = linkText(path, after[path] ?? '');
    if (found(path) !== text) place[path] = text;
  }
  return { remove, place };
}

/** The symlink at a public path as it is on disk. */
export function foundLinks(storageRoot: string): (publicPath: string) => string | undefined {
  return (publicPath) => linkTarget(join(storageRoot, DOCUMENT_ROOT, publicPath));
}

/** Removes links, then the directories above them that became empty, up to the document root. Content stays. */
export function removeLinks(storageRoot: string, paths: readonly string[]): void {
  const root = join(storageRoot, DOCUMENT_ROOT);
  for (const path of paths) {
    unlinkSync(join(root, path));
    for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) {
      try {
        rmdirSync(join(root, parent));
      } catch {
        // Not empty, or gone: everything above it stays too.
        break;
      }
    }
  }
}

/** Puts links in place, each by one rename. Throws MirrorError when something else is in the way. */
export function placeLinks(storageRoot: string, place: Readonly<Record<string, string>>): void {
  const root = join(storageRoot, DOCUMENT_ROOT);
  for (const [path, text] of Object.entries(place)) {
    const full = join(root, path);
    const kind = kindOf(full);
    if (kind === 'file' || kind === 'directory') throw inTheWay(full, kind);
    mkdirSync(dirname(full), { recursive: true, mode: 0o755 });
    replaceSymlink(full, text);
  }
}

function inTheWay(path: string, kind: string): MirrorError {
  return new MirrorError({
    code: 'PUBLIC_PATH_TAKEN',
    message: `${path} is a ${kind} that no deploy put there`,
    remedy: 'Move it away, or declare another public path; deploy again.',
    exitCode: ExitCode.environment,
  });
}

/**
 * Runs `action` with the rights of the content user: root never follows a path that this user could have bent. Synchronous, since the
 * identity belongs to the whole process.
 */
export function asContentUser<T>(user: { uid: number; gid: number }, action: () => T): T {
  if (process.geteuid?.() !== 0) return action();
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([user.gid]);
  process.setegid?.(user.gid);
  process.seteuid?.(user.uid);
  try {
    return action();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  }
}
