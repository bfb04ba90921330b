/** Manifests as files. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { type BuildManifest, type ManifestKind, manifestError, parseManifest } from '../../starlingx/build-manifest';

/** Bytes. 3,000 packages of 50 inputs each are 16 million. */
export const MAX_MANIFEST_BYTES = 128 * 1024 * 1024;

export function readManifest(file: string, kind: ManifestKind): BuildManifest {
  let bytes: Buffer;
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw manifestError(file, 'it is no file', 'Give the path of a manifest.');
    if (stat.size > MAX_MANIFEST_BYTES) throw tooLarge(file, stat.size);
    bytes = readFileSync(file);
  } catch (error) {
    if (error instanceof MirrorError) throw error;
    throw manifestError(
      file,
      `it cannot be read: ${(error as Error).message}`,
      kind === 'record' ? 'For a first build leave --record out: everything is built then.' : 'Write it by needs-build digest.',
    );
  }
  return manifestIn(bytes, file, kind);
}

/** @param file its path or URL */
export function manifestIn(bytes: Buffer, file: string, kind: ManifestKind): BuildManifest {
  try {
    return parseManifest(new TextDecoder('utf-8', { fatal: true }).decode(bytes), file, kind);
  } catch (error) {
    if (error instanceof TypeError) throw manifestError(file, 'it is not UTF-8', 'Give the manifest as needs-build wrote it.');
    throw error;
  }
}

function tooLarge(file: string, size: number): MirrorError {
  return manifestError(
    file,
    `it has ${size.toLocaleString('en')} bytes, and no manifest has more than ${MAX_MANIFEST_BYTES.toLocaleString('en')}`,
    'Name packages and their inputs alone; a tree that is not built from does not belong in it.',
  );
}

/** Whoever reads it sees the old one or the new one, also after a power cut. */
export function writeWhole(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.new`;
  try {
    const opened = openSync(temporary, 'w');
    try {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length;) at += writeSync(opened, bytes, at);
      fsyncSync(opened);
    } finally {
      closeSync(opened);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    const { code, message } = error as NodeJS.ErrnoException;
    throw new MirrorError({
      code: 'OUTPUT',
      message: `--output ${file} cannot be written: ${message}`,
      remedy: code === 'ENOSPC' ? 'Make room on that disk.' : 'Name a file in a directory that exists and that you may write to.',
      exitCode: code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR' ? ExitCode.usage : ExitCode.environment,
      cause: error,
    });
  }
  const directory = openSync(dirname(file), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
