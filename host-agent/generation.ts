import { createHmac, randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { digestOf, sha256 } from '../desired-state/canonical';
import { ExitCode, MirrorError } from '../desired-state/errors';
import {
  CLIENT_AUTHORITIES_FILE,
  desiredStateDigest,
  SCHEMA_VERSION,
  secretFile,
  type ActivationRequest,
  type DesiredState,
} from '../desired-state/model';
import { clientCertificates } from '../desired-state/render/nginx';
import { asMirrorError } from './events';
import { ensureDirectory, isMissing, linkTarget, readIfPresent, syncDirectory, writeDurably, writePlain } from './files';
import { EMPTY_MANIFEST, readManifest, type Manifest, type UploadAccounts } from './manifest';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';

/** The file by which the probe knows which generation answers. Written by us, included by the vhost. */
export const GENERATION_CONF = 'nginx/generation.conf';
/** Every generation has these directories, so that includes with patterns and readers never miss one. */
const DIRECTORIES = ['nginx', 'nginx/locations', 'systemd', 'definitions', 'keys', 'repo-files'];

/** A generation before it is written. */
export interface GenerationContent {
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
  /** Element id → digest. */
  readonly elements: Readonly<Record<string, string>>;
}

/** Puts the elements together. Throws MirrorError (invalid) when they contradict each other. Pure. */
export function assemble(desired: DesiredState, generation: number): GenerationContent {
  const files = new Map<string, { text: string; by: string }>();
  const links = new Map<string, { target: string; by: string }>();
  const elements = new Map<string, string>();
  for (const element of desired.elements) {
    if (elements.has(element.id)) {
      throw contradiction(`two elements are called ${element.id}`, 'Give one of the constructs another id.');
    }
    elements.set(element.id, digestOf(element));
    for (const [path, text] of Object.entries(element.files)) {
      const other = files.get(path);
      if (other !== undefined && other.text !== text) {
        throw contradiction(`${other.by} and ${element.id} both declare ${path}, with different texts`, 'Give one of them another name.');
      }
      files.set(path, { text, by: element.id });
    }
    for (const [path, target] of Object.entries(element.links)) {
      const other = links.get(path);
      if (other !== undefined) {
        throw contradiction(`${other.by} and ${element.id} both publish at /${path}`, 'Give one of them another public path.');
      }
      links.set(path, { target, by: element.id });
    }
  }
  for (const [path, { by }] of links) {
    for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) {
      const other = links.get(parent);
      if (other !== undefined) {
        throw contradiction(`${by} publishes at /${path}, under /${parent} of ${other.by}`, 'Give one of them another public path.');
      }
    }
  }
  files.set(GENERATION_CONF, { text: generationConf(generation), by: '' });
  const authorities = [...files.keys()].filter((path) => path.startsWith('nginx/client-authorities/')).sort();
  if (authorities.length > 0) {
    files.set(CLIENT_AUTHORITIES_FILE, { text: authorities.map((path) => files.get(path)?.text ?? '').join(''), by: '' });
    files.set('nginx/client-certificates.conf', { text: clientCertificates(), by: '' });
  }
  return {
    files: Object.fromEntries([...files].map(([path, { text }]) => [path, text])),
    links: Object.fromEntries([...links].map(([path, { target }]) => [path, target])),
    elements: Object.fromEntries(elements),
  };
}

/** Answers the probe with the number of the generation that serves. */
export function generationConf(generation: number): string {
  return `location = /.mirror/generation { default_type text/plain; add_header Cache-Control no-store; return 200 "${generation}\\n"; }\n`;
}

/** HMAC of a secret by a key that only this server has: comparable here, worthless elsewhere. Pure. */
export function secretDigest(hostKey: string, name: string, content: string): string {
  return createHmac('sha256', hostKey).update(`${name}\0${content}`).digest('hex');
}

/** The server's own key for `secretDigest`, made at first use. */
export function hostKey(paths: HostPaths): string {
  const present = readIfPresent(paths.hostKey);
  if (present !== undefined && present !== '') return present;
  const made = randomBytes(32).toString('hex');
  writeDurably(paths.hostKey, made, 0o600);
  return made;
}

/** Number and manifest of the generation that `current` names, by hand also in full; generation 0 when there is none yet. */
export function currentGeneration(paths: HostPaths): Manifest {
  const match = /^generations\/(\d+)\/?$/.exec((linkTarget(paths.current) ?? '').replace(`${paths.configuration}/`, ''));
  if (match === null) return EMPTY_MANIFEST;
  return readManifest(join(paths.generations, match[1] ?? '')) ?? EMPTY_MANIFEST;
}

/** Numbers of the generations on disk, ascending. */
export function generationNumbers(paths: HostPaths): number[] {
  return namesOf(paths.generations)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** The number that the next generation gets: one that none had before, whatever became of it. */
export function nextGenerationNumber(paths: HostPaths): number {
  return Math.max(0, ...generationNumbers(paths), Number(readIfPresent(paths.retiredRecord) ?? '0') || 0) + 1;
}

/** Removes a generation that was taken back, for good. Its number stays taken. */
export function retireGeneration(paths: HostPaths, number: number): void {
  if (nextGenerationNumber(paths) - 1 <= number) writeDurably(paths.retiredRecord, String(number), 0o600);
  rmSync(join(paths.generations, String(number)), { recursive: true, force: true });
}

/** The manifest of a request, as generation `generation`. Pure. */
export function manifestFor(request: ActivationRequest, content: GenerationContent, generation: number, key: string, now: Date): Manifest {
  const { desiredState: desired } = request;
  return {
    schemaVersion: SCHEMA_VERSION,
    generation,
    owner: desired.owner,
    created: now.toISOString(),
    desiredState: desiredStateDigest(desired),
    programs: request.programs,
    storage: desired.storage,
    probe: desired.probe,
    ...(desired.tls === undefined ? {} : { tls: desired.tls }),
    elements: content.elements,
    files: Object.fromEntries(Object.entries(content.files).map(([path, text]) => [path, sha256(text)])),
    links: content.links,
    secrets: Object.fromEntries(Object.entries(request.secrets).map(([name, text]) => [name, secretDigest(key, name, text)])),
    ...(desired.generatedKeys === undefined ? {} : { generatedKeys: desired.generatedKeys }),
    published: Object.fromEntries(
      desired.elements.map(({ id, links }) => [id, Object.keys(links)] as const).filter(([, paths]) => paths.length > 0),
    ),
    ...(desired.deployAccount === undefined ? {} : { deployAccount: desired.deployAccount }),
    ...uploadsOf(desired),
    activated: false,
  };
}

/** The accounts that upload, with their directories; absent where there is none. Pure. */
export function uploadsOf(desired: Pick<DesiredState, 'elements'>): UploadAccounts {
  const declared = desired.elements.flatMap(({ uploads }) => (uploads === undefined ? [] : [uploads]));
  const byRsync = declared.filter(({ protocol }) => protocol === 'rsync').map(({ account }) => account);
  return {
    ...(declared.length === 0 ? {} : { uploads: Object.fromEntries(declared.map(({ account, directories }) => [account, directories])) }),
    ...(byRsync.length === 0 ? {} : { uploadsByRsync: byRsync.sort() }),
  };
}

/** Manifests of the generations on disk, oldest first. A damaged one is none: it must not stand in the way of the others. */
export function manifestsOnDisk(paths: HostPaths): Manifest[] {
  return generationNumbers(paths).flatMap((number) => manifestOnDisk(paths, number) ?? []);
}

/** The manifest of a generation; undefined when it is not there, or damaged. */
export function manifestOnDisk(paths: HostPaths, number: number): Manifest | undefined {
  try {
    return readManifest(join(paths.generations, String(number)));
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'MANIFEST_DAMAGED') return undefined;
    throw error;
  }
}

/**
 * Writes a generation completely, and durably, under a temporary name and renames it. Returns its directory.
 *
 * @param servingGroup group id of nginx's workers, where secrets are for them
 */
export async function writeGeneration(
  paths: HostPaths,
  manifest: Manifest,
  content: GenerationContent,
  secrets: Readonly<Record<string, string>>,
  servingGroup?: number,
): Promise<string> {
  const directory = join(paths.generations, String(manifest.generation));
  const temporary = join(paths.generations, `.new-${manifest.generation}`);
  rmSync(temporary, { recursive: true, force: true });
  try {
    const made = new Set<string>();
    for (const path of [...DIRECTORIES, ...Object.keys(content.files).map((file) => dirname(file))]) {
      if (made.has(path)) continue;
      mkdirSync(join(temporary, path), { recursive: true, mode: 0o755 });
      made.add(path);
    }
    for (const [path, text] of Object.entries(content.files)) writePlain(join(temporary, path), text, 0o644);
    // Root's alone: the programs that read what upstreams send never see them.
    mkdirSync(join(temporary, 'secrets'), { mode: 0o700 });
    if (servingGroup !== undefined) ensureDirectory(join(temporary, 'passwords'), 0o750, 0, servingGroup);
    for (const [name, text] of Object.entries(secrets)) {
      const file = join(temporary, secretFile(name));
      const isRootsAlone = dirname(secretFile(name)) === 'secrets';
      writePlain(file, text, isRootsAlone ? 0o400 : 0o440);
      if (!isRootsAlone) chownSync(file, 0, servingGroup ?? 0);
    }
    writePlain(join(temporary, 'manifest.json'), `${JSON.stringify(manifest, null, 1)}\n`, 0o644);
    chmodSync(temporary, 0o755);
    // One syncfs instead of an fsync for each of hundreds of files.
    const synced = await run('sync', ['-f', temporary]);
    if (synced.exitCode !== 0) {
      throw new MirrorError({
        code: 'SYNC_FAILED',
        message: `writing generation ${manifest.generation} to disk failed: ${lastWords(synced)}`,
        remedy: 'See `dmesg` and `df -h /etc`; repair the disk or free space, then deploy again.',
        exitCode: ExitCode.environment,
      });
    }
    rmSync(directory, { recursive: true, force: true });
    renameSync(temporary, directory);
    syncDirectory(paths.generations);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw asMirrorError(error);
  }
  return directory;
}

/** Notes in the manifest that a generation was confirmed. */
export function markActivated(paths: HostPaths, manifest: Manifest): void {
  const path = join(paths.generations, String(manifest.generation), 'manifest.json');
  writeDurably(path, `${JSON.stringify({ ...manifest, activated: true }, null, 1)}\n`);
}

/** Removes generations that a crash left half-written, and all but the newest `keep`; never the current one. */
export function pruneGenerations(paths: HostPaths, current: number, keep: number): void {
  for (const name of readdirSync(paths.generations)) {
    if (name.startsWith('.new-')) rmSync(join(paths.generations, name), { recursive: true, force: true });
  }
  const old = generationNumbers(paths).filter((n) => n !== current && n !== 0);
  for (const n of old.slice(0, Math.max(0, old.length - (keep - 1)))) {
    rmSync(join(paths.generations, String(n)), { recursive: true, force: true });
  }
}

function namesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function contradiction(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'CONTRADICTION', message, remedy, exitCode: ExitCode.invalid });
}
