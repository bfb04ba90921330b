import { existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { compile, COMPILED, isCompiled } from '../desired-state/compiled';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { programsDigestBy } from '../desired-state/programs';
import { isMissing, kindOf, linkTarget, replaceSymlink, writeBytesSynced } from './files';
import type { HostPaths } from './paths';

/** Digest of the programs in a directory, or undefined when one is missing. */
export function digestOfPrograms(directory: string): string | undefined {
  try {
    return programsDigestBy((name) => sha256(readFileSync(join(directory, name))));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Throws MirrorError unless the programs of this digest are on the server, whole. */
export function requirePrograms(paths: HostPaths, digest: string): void {
  if (digestOfPrograms(join(paths.programs, digest)) === digest) return;
  throw new MirrorError({
    code: 'PROGRAMS_MISSING',
    message: `the server programs ${digest.slice(0, 12)} are not in ${paths.programs}, or not whole`,
    remedy: 'Deploy again: apply uploads them.',
    exitCode: ExitCode.environment,
  });
}

/**
 * Keeps the compiled code of the programs in a directory, unless it is there for this version of Node. It saves time and nothing depends on it:
 * where it cannot be made, they start without.
 */
export function keepCompiled(directory: string): void {
  try {
    const body = join(directory, 'mirrorctl-body.cjs');
    const source = readFileSync(body);
    const path = join(directory, COMPILED);
    if (isCompiled(source, existsSync(path) ? readFileSync(path) : undefined)) return;
    writeBytesSynced(`${path}.mirror-new`, compile(source, body), 0o644);
    renameSync(`${path}.mirror-new`, path);
  } catch {
    // Told to nobody, since there is nothing to do about it: a full disk fails what matters, too.
  }
}

/** Link path → what it must point at, for a digest. */
export function programLinks(paths: HostPaths, digest: string): Readonly<Record<string, string>> {
  return {
    [paths.hostProgramLink]: join(paths.programs, digest, 'mirror-host.cjs'),
    [paths.contentProgramLink]: join(paths.programs, digest, 'mirrorctl.cjs'),
  };
}

/** Points the commands at the programs of this digest. `ifMissing` leaves commands that are there. */
export function linkPrograms(paths: HostPaths, digest: string, when: 'always' | 'ifMissing'): void {
  for (const [link, target] of Object.entries(programLinks(paths, digest))) {
    if (linkTarget(link) === target || (when === 'ifMissing' && kindOf(link) !== 'missing')) continue;
    replaceSymlink(link, target);
  }
}

/** A deploy that waits for its turn has uploaded its programs already: younger directories are left alone. */
const UNUSED_FOR_MS = 60 * 60 * 1000;

/** Removes programs that no generation on disk was activated with, and uploads that were cut off, once they are an hour old. */
export function prunePrograms(paths: HostPaths, used: ReadonlySet<string>, now: Date): void {
  for (const name of readdirSync(paths.programs)) {
    if (used.has(name) || !/^([0-9a-f]{64}|\.upload-[0-9a-f]+)$/.test(name)) continue;
    const directory = join(paths.programs, name);
    if (now.getTime() - statSync(directory).mtimeMs > UNUSED_FOR_MS) rmSync(directory, { recursive: true, force: true });
  }
}
