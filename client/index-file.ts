/** Files that say what a place has (`repomd.xml`, `SHA256SUMS`): fetched with their signature, judged, and kept for the next run. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode } from '../desired-state/errors';
import { DownloadError, isAbsent } from '../downloads/errors';
import { getSmall, type HttpClient } from '../downloads/http';
import { verifyDetachedTimed } from '../signatures/checksum-file';
import type { Keys } from './keys';
import type { Workspace } from './workspace';

const MAX_SIGNATURE_BYTES = 256 * 1024;

export interface IndexRequest {
  readonly client: HttpClient;
  readonly workspace: Workspace;
  readonly url: string;
  readonly maxBytes: number;
  /** Whose signature proves it. Empty: none is looked for. */
  readonly keys: Keys;
  /** Whether it is refused without a proof. */
  readonly mustBeSigned: boolean;
  readonly warn: (line: string) => void;
}

export interface IndexFile {
  readonly bytes: Buffer;
  /** Whether one of the keys signed it. */
  readonly signed: boolean;
  /** Where more about it may be kept. */
  readonly directory: string;
  /** Takes it for seen: from now on nothing older is accepted. `time`: Unix seconds, where nothing is signed. */
  readonly accept: (time: number | undefined) => void;
  /** Undefined: it was never seen here. Unix seconds. */
  readonly lastTime: number | undefined;
}

/** What is known of the copy that an earlier run kept. */
interface Note {
  readonly sha256: string;
  readonly etag?: string | undefined;
  readonly lastModified?: string | undefined;
  /** Digest of the keys by which it was judged. */
  readonly keys: string;
  readonly signed: boolean;
  /** When it was signed, else the newest time in it; Unix seconds. */
  readonly time?: number | undefined;
}

/**
 * Asks for the file, by one conditional request where an earlier run kept it. Where the place does not answer, the copy of the earlier run is
 * used, with a warning. One that was signed is used whatever the place says without a signature: it was proven, and says what the files must be, whoever has
 * them. Else whoever answers 404 in the place of the server could choose what decides.
 *
 * @throws DownloadError for what cannot be had, is not signed as it must be, or is older than what was seen here
 */
export async function fetchIndexFile(request: IndexRequest): Promise<IndexFile> {
  const { url, workspace, keys } = request;
  const name = createHash('sha256').update(url).digest('hex').slice(0, 24);
  const keysDigest = keys.isEmpty ? '' : keys.digest;
  const kept = keptIndex(workspace.cached(name));
  const usable = kept !== undefined && kept.note.keys === keysDigest && (kept.note.signed || !request.mustBeSigned) ? kept : undefined;
  const directory = workspace.private('metadata', name);
  const found = (bytes: Buffer, note: Note): IndexFile => ({
    bytes,
    signed: note.signed,
    directory,
    lastTime: kept?.note.signed === note.signed ? kept.note.time : undefined,
    accept: (time) => keep(directory, bytes, { ...note, time: note.time ?? time }),
  });
  for (let tries = 1; ; tries++) {
    try {
      const conditional = usable === undefined || tries > 1 ? {} : validators(usable.note);
      const { answer, bytes } = await getSmall(request.client, url, { maxBytes: request.maxBytes, headers: conditional });
      if (answer.status === 304 && usable !== undefined) return { ...found(usable.bytes, usable.note), accept: () => undefined };
      // What was signed once is not unsigned later, unless somebody took the signature away.
      const mustBeSigned = request.mustBeSigned || (kept?.note.signed === true && !keys.isEmpty);
      const judged = await judge({ ...request, mustBeSigned }, bytes, join(directory, '.new'));
      if (judged.time !== undefined && kept?.note.time !== undefined && kept.note.signed && judged.time < kept.note.time)
        throw older(url, judged.time, kept.note.time);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      return found(bytes, { sha256, etag: answer.etag, lastModified: answer.lastModified, keys: keysDigest, ...judged });
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      // Between the file and its signature the mirror may have published another one.
      if (error.code === 'SIGNATURE_BAD' && tries === 1) continue;
      if (error.kind === 'transient' && tries < 2 && error.status !== undefined) continue;
      if (usable === undefined || (error.kind !== 'transient' && !usable.note.signed)) throw error;
      const onPurpose =
        error.kind === 'transient'
          ? ''
          : ' (if its operator changed that on purpose, remove .download-mirror/metadata from the output directory)';
      request.warn(`${error.message}; what an earlier run verified is used${onPurpose}`);
      return { ...found(usable.bytes, usable.note), accept: () => undefined };
    }
  }
}

/** A replay of what was published earlier: what was fixed since then would be missing. */
export function older(url: string, time: number, seen: number): DownloadError {
  const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
  return new DownloadError({
    kind: 'refused',
    code: 'INDEX_OLDER',
    message: `${url} is of ${at(time)}; an earlier run saw one of ${at(seen)}`,
    remedy:
      'Somebody shows an old state of the server. If its operator went back on purpose, remove .download-mirror/metadata from the output directory.',
    exitCode: ExitCode.untrusted,
  });
}

async function judge(
  { client, url, keys, mustBeSigned }: IndexRequest,
  bytes: Buffer,
  temporary: string,
): Promise<Pick<Note, 'signed' | 'time'>> {
  if (keys.isEmpty && !mustBeSigned) return { signed: false };
  const signature = await getSmall(client, `${url}.asc`, { maxBytes: MAX_SIGNATURE_BYTES }).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
  const refuse = (code: string, reason: string, remedy: string, kind: 'refused' | 'corrupt' = 'refused'): DownloadError =>
    new DownloadError({ kind, code, message: `${url}.asc ${reason}`, remedy, exitCode: ExitCode.untrusted });
  if (signature === undefined) {
    if (!mustBeSigned) return { signed: false };
    throw refuse('SIGNATURE_MISSING', 'is missing', 'Ask the operator of that server: it has to sign what it says.');
  }
  if (keys.isEmpty) throw refuse('KEY_MISSING', 'cannot be judged: its key is not here', 'Put the key into the directory of --keys.');
  mkdirSync(temporary, { recursive: true });
  const files = { data: join(temporary, 'index'), signature: join(temporary, 'index.asc') };
  writeFileSync(files.data, bytes);
  writeFileSync(files.signature, signature.bytes);
  const { verdict, madeAt } = await verifyDetachedTimed(await keys.ring(), files.signature, files.data);
  if (verdict.verdict === 'good') return { signed: true, time: madeAt };
  // By a foreign key it may be upstream's own, which need not be known here.
  if (verdict.verdict === 'untrusted' && !mustBeSigned) return { signed: false };
  throw refuse(
    verdict.verdict === 'bad' ? 'SIGNATURE_BAD' : 'SIGNATURE_UNTRUSTED',
    `does not prove it: ${verdict.reason}`,
    'Something changed it on the way, or the key is not the one that you have. Compare its fingerprint with what the operator tells you.',
    verdict.verdict === 'bad' ? 'corrupt' : 'refused',
  );
}

function validators({ etag, lastModified }: Note): Record<string, string> {
  if (etag !== undefined) return { 'if-none-match': etag };
  return lastModified === undefined ? {} : { 'if-modified-since': lastModified };
}

function keptIndex(directory: string): { readonly bytes: Buffer; readonly note: Note } | undefined {
  try {
    const note = JSON.parse(readFileSync(join(directory, 'note.json'), 'utf8')) as Note;
    const bytes = readFileSync(join(directory, 'index'));
    return createHash('sha256').update(bytes).digest('hex') === note.sha256 ? { bytes, note } : undefined;
  } catch {
    // Absent or damaged: it is asked for anew.
    return undefined;
  }
}

function keep(directory: string, bytes: Buffer, note: Note): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of [
    ['index', bytes],
    ['note.json', JSON.stringify(note)],
  ] as const) {
    writeFileSync(join(directory, `${name}.new`), content);
    renameSync(join(directory, `${name}.new`), join(directory, name));
  }
}
