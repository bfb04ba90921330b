/** Where a process has the mirror's secret signing keys. */
import { fstatSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { NO_SIGNING_KEY, SIGNING_KEYS } from '../desired-state/model';
import type { KeySource, SecretKey } from '../signatures/sign';

interface Opened {
  readonly path: string;
  readonly fd?: number;
  readonly error?: NodeJS.ErrnoException;
}

/**
 * The keys of a generation, which root alone may read: those that systemd hands to a unit, else the files. They are opened at once, while a
 * manual run is still root's, and read when something is to be signed: a run that signs nothing needs none.
 *
 * @param configuration directory of the generation
 */
export function signingKeys(configuration: string, environment: NodeJS.ProcessEnv): KeySource {
  const credentials = environment.CREDENTIALS_DIRECTORY;
  const directory = credentials === undefined || credentials === '' ? join(configuration, 'secrets') : credentials;
  const [current, ...former] = SIGNING_KEYS.map((name) => opening(join(directory, name))) as [Opened, ...Opened[]];
  return () => {
    const today = keyOf(current);
    if (today === undefined) throw missing(current.path);
    return [today, ...former.flatMap((one) => keyOf(one) ?? [])];
  };
}

/** Keys by name of their files, today's first; `-` is standard input, where a zero byte separates them. */
export function namedKeys(files: readonly string[]): KeySource {
  let input: Promise<readonly SecretKey[]> | undefined;
  return async () => {
    const keys: SecretKey[] = [];
    // Standard input can be read once.
    for (const file of files) keys.push(...(file === '-' ? await (input ??= fromStandardInput()) : [await fromFile(file)]));
    return keys;
  };
}

function opening(path: string): Opened {
  try {
    return { path, fd: openSync(path, 'r') };
  } catch (error) {
    return { path, error: error as NodeJS.ErrnoException };
  }
}

/** Undefined where there is none. */
function keyOf({ path, fd, error }: Opened): SecretKey | undefined {
  if (fd === undefined) {
    if (error?.code === 'ENOENT') return undefined;
    throw unreadable(
      `the mirror's signing key ${path} cannot be read by the user ${userName()} (${error?.code ?? 'unknown'})`,
      `Only root and the units have it. As root, run the same command (sudo mirrorctl …), or start the unit: systemctl start mirror-sync@<id>.`,
    );
  }
  // By position, so that it can be read again.
  const bytes = Buffer.alloc(fstatSync(fd).size);
  const text = bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  return text.length === 0 || text.toString('latin1') === NO_SIGNING_KEY ? undefined : { from: path, text };
}

async function fromFile(path: string): Promise<SecretKey> {
  const text = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(
      `the signing key ${path} cannot be read: ${error.message}`,
      'Name another file by --signing-key, or none: root has the keys of the server.',
    );
  });
  return { from: path, text };
}

async function fromStandardInput(): Promise<readonly SecretKey[]> {
  if (process.stdin.isTTY) {
    throw unreadable(
      'the signing key is expected on standard input, which is a terminal',
      'Give it: mirrorctl prepare --signing-key - < FILE',
    );
  }
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const texts = Buffer.concat(chunks).toString('latin1').split('\0');
  return texts.map((text, i) => ({ from: `${SIGNING_KEYS[i] ?? 'a key'} on standard input`, text: Buffer.from(text, 'latin1') }));
}

/** As the system knows it; a user that has no name has a number. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

function missing(path: string): MirrorError {
  return new MirrorError({
    code: 'SIGNING_KEY_MISSING',
    message: `the server has no signing key (${basename(path)} is missing or empty in ${path.slice(0, -basename(path).length - 1)})`,
    remedy: 'Deploy: cdktf deploy. It brings the key back.',
    exitCode: ExitCode.environment,
  });
}

function unreadable(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'SIGNING_KEY_UNREADABLE', message, remedy, exitCode: ExitCode.environment });
}
