import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { metadataRefused } from './errors';

export type Compression = 'none' | 'gzip' | 'xz' | 'bzip2' | 'zstd';

/** More is a bomb, whatever is declared: Fedora's largest primary has 0.3 GB, and reading this much takes half a minute. */
export const MAX_OPEN_BYTES = 1024 * 1024 * 1024;

/** How the file at `path` is compressed: by its first bytes, since names lie. */
export async function compressionOf(path: string): Promise<Compression> {
  const head = await headOf(path);
  const starts = (...bytes: number[]): boolean => bytes.every((b, i) => head[i] === b);
  if (starts(0x1f, 0x8b)) return 'gzip';
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
  if (starts(0x42, 0x5a, 0x68)) return 'bzip2';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  return 'none';
}

/** The commands, each bound in memory: an archive may ask for gigabytes of dictionary. */
const COMMANDS: Record<'xz' | 'bzip2' | 'zstd', { readonly argv: readonly [string, ...string[]]; readonly package: string }> = {
  xz: { argv: ['xz', '-dcq', '--memlimit-decompress=128MiB'], package: 'xz-utils' },
  bzip2: { argv: ['bzip2', '-dcq'], package: 'bzip2' },
  zstd: { argv: ['zstd', '-dcq', '--memory=128MB'], package: 'zstd' },
};

/**
 * The content of the file at `path`, decompressed in a stream. It ends with an error beyond `maxBytes` (the declared size). `what` names
 * the file for errors.
 */
export async function* decompressed(path: string, what: string, maxBytes: number | undefined): AsyncGenerator<Buffer> {
  const limit = Math.min(maxBytes ?? MAX_OPEN_BYTES, MAX_OPEN_BYTES);
  const kind = await compressionOf(path);
  const source = kind === 'none' ? createReadStream(path) : kind === 'gzip' ? gunzip(path, what) : child(path, kind, what);
  let total = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > limit) {
      throw metadataRefused(
        'METADATA_BOMB',
        what,
        `decompresses to more than ${limit} bytes${limit === maxBytes ? ', the size that repomd.xml declares' : ''}`,
      );
    }
    yield chunk;
  }
}

async function headOf(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(6);
    const { bytesRead } = await file.read(head, 0, 6, 0);
    return head.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function* gunzip(path: string, what: string): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  const gz = createGunzip({ chunkSize: 256 * 1024 });
  file.on('error', (error) => gz.destroy(error));
  try {
    for await (const chunk of file.pipe(gz) as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    throw damaged(what, error instanceof Error ? error.message : String(error));
  } finally {
    file.destroy();
    gz.destroy();
  }
}

async function* child(path: string, kind: 'xz' | 'bzip2' | 'zstd', what: string): AsyncGenerator<Buffer> {
  const { argv, package: debianPackage } = COMMANDS[kind];
  const file = await open(path, 'r');
  const process = spawn(argv[0], argv.slice(1), { stdio: [file.fd, 'pipe', 'pipe'] }) as ChildProcessByStdio<null, Readable, Readable>;
  let stderr = '';
  process.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, 2000)));
  const ended = new Promise<number>((resolve, reject) => {
    process.on('error', reject);
    process.on('close', (code) => resolve(code ?? -1));
  }).finally(() => file.close());
  // Whoever stops reading early does not wait for `ended`.
  ended.catch(() => undefined);
  try {
    for await (const chunk of process.stdout as AsyncIterable<Buffer>) yield chunk;
    const code = await ended.catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? toolMissing(argv[0], debianPackage) : error;
    });
    if (code !== 0) throw damaged(what, stderr.trim().split('\n', 1)[0] || `${argv[0]} ended with ${code}`);
  } finally {
    process.kill('SIGKILL');
  }
}

function damaged(what: string, why: string): MirrorError {
  return metadataRefused('METADATA_DAMAGED', what, `cannot be decompressed: ${why}`);
}

function toolMissing(tool: string, debianPackage: string): MirrorError {
  return new MirrorError({
    code: 'TOOL_MISSING',
    message: `the program ${tool} is not installed`,
    remedy: `apt-get install ${debianPackage}`,
    exitCode: ExitCode.environment,
  });
}
