import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../desired-state/canonical';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { MIRROR_KEY, PUBLIC_SNAPSHOTS, SIGNING_KEYS } from '../desired-state/model';
import type { ContentUser } from './bootstrap';
import { asMirrorError, type Reporter } from './events';
import { readIfPresent, writeDurably } from './files';
import type { Manifest } from './manifest';
import type { HostPaths } from './paths';
import { lastWords, LONG_SECONDS, run } from './run';

/**
 * Hosted content (empty signed components, keys beside them) is outside the generation that it is made for. A record says which generation's
 * it is, so that content which was prepared for a generation that never served is made anew.
 */

/** Hosted components and their snapshots by time that should exist but do not (targets of links), and the public key beside them, relative to the storage root. */
export function missingHosted(manifest: Manifest): string[] {
  const { storage, secrets } = manifest;
  const key = storage === undefined || secrets[SIGNING_KEYS[0]] === undefined || existsSync(join(storage.root, MIRROR_KEY.file));
  const components = missing(manifest, /^repositories\/[^/]+\/[^/]+\/[^/]+\/current$/);
  const snapshots = missing(manifest, new RegExp(`^${PUBLIC_SNAPSHOTS}/`));
  return [...components, ...snapshots, ...(key ? [] : [MIRROR_KEY.file])];
}

/** Copied repositories that have never been published. */
export function missingCopies(manifest: Manifest): string[] {
  return missing(manifest, /^repositories\/[^/]+\/current$/);
}

function missing(manifest: Manifest, pattern: RegExp): string[] {
  const { storage } = manifest;
  if (storage === undefined) return [];
  return Object.values(manifest.links).filter((target) => pattern.test(target) && !existsSync(join(storage.root, target)));
}

/** What hosted content is made from: codenames, modified packages, their owners, releases, secrets and programs. Pure. */
export function hostedDigest(manifest: Manifest): string {
  const elements = Object.entries(manifest.elements).filter(([id]) => /^(codename|packages|customer|release)\//.test(id));
  return digestOf({ elements: Object.fromEntries(elements), secrets: manifest.secrets, programs: manifest.programs });
}

/** True when the hosted content on disk was made for a generation like this, and is all there. */
export function hostedIsCurrent(paths: HostPaths, manifest: Manifest): boolean {
  return readIfPresent(paths.hostedRecord) === hostedDigest(manifest) && missingHosted(manifest).length === 0;
}

/** Notes that a generation serves with the hosted content that was made for it. */
export function recordHosted(paths: HostPaths, manifest: Manifest): void {
  const digest = hostedDigest(manifest);
  if (readIfPresent(paths.hostedRecord) !== digest) writeDurably(paths.hostedRecord, digest, 0o600);
}

/**
 * Lets mirrorctl prepare hosted content for a generation that is on disk, as the content user. The signing keys go through a pipe, a zero byte
 * between them: only root reads them on disk. Until `recordHosted`, the content counts as nobody's.
 */
export async function prepareHosted(paths: HostPaths, manifest: Manifest, user: ContentUser, report: Reporter): Promise<void> {
  const directory = join(paths.generations, String(manifest.generation));
  rmSync(paths.hostedRecord, { force: true });
  const declared = SIGNING_KEYS.filter((name) => manifest.secrets[name] !== undefined);
  const keys = declared.map((name) => readFileSync(join(directory, 'secrets', name), 'utf8'));
  const program = join(paths.programs, manifest.programs, 'mirrorctl.cjs');
  const result = await run(process.execPath, [program, '--configuration', directory, 'prepare', '--signing-key', '-'], {
    uid: user.uid,
    gid: user.gid,
    env: { HOME: paths.state },
    timeoutSeconds: LONG_SECONDS,
    stdin: keys.join('\0'),
    onLine: (line) => report.progress(line),
  });
  if (result.exitCode === 0) return;
  const known = Object.values(ExitCode).find((code) => code === result.exitCode && code !== ExitCode.ok);
  throw new MirrorError({
    code: 'PREPARE_FAILED',
    message: `mirrorctl could not prepare the content: ${lastWords(result)}`,
    remedy: 'Nothing was switched: the previous generation serves. Correct what mirrorctl names, then deploy again.',
    exitCode: known ?? ExitCode.internal,
  });
}

/** Brings hosted content back to what the generation that serves was deployed with. A failure is told; the next deploy tries again. */
export async function restoreHosted(paths: HostPaths, serving: Manifest, user: ContentUser, report: Reporter): Promise<void> {
  if (serving.generation === 0 || hostedIsCurrent(paths, serving)) return;
  try {
    await prepareHosted(paths, serving, user, report);
    recordHosted(paths, serving);
  } catch (error) {
    report.warning(`hosted content is not that of generation ${serving.generation}: ${asMirrorError(error).message}`);
  }
}
