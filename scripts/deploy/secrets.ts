import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import type { SecretSource } from '../../desired-state/target';

/** No key or certificate is longer. */
const LARGEST_SECRET = 1024 * 1024;

/** The content of each secret. Throws MirrorError that names every one that is missing. */
export function readSecrets(
  names: readonly string[],
  sources: Readonly<Record<string, SecretSource>>,
  environment: NodeJS.ProcessEnv,
): Record<string, string> {
  const secrets: Record<string, string> = {};
  const missing: string[] = [];
  for (const name of names) {
    const source = sources[name];
    if (source === undefined) throw unnamed(name);
    const value = contentOf(name, source, environment);
    if (value === undefined || value.trim() === '') missing.push(`${name} (${describeSource(source)})`);
    else secrets[name] = withOneEnd(value);
  }
  if (missing.length === 0) return secrets;
  throw new MirrorError({
    code: 'SECRET_MISSING',
    message: `secrets are missing: ${missing.join(', ')}`,
    remedy:
      'Set the environment variable to the content, or the one with _FILE to the path of a file that holds it; a file must not be empty.',
    exitCode: ExitCode.environment,
  });
}

/** With one newline at its end: a shell's `$(cat key)` has none, the file has one, and both are the same secret. Pure. */
function withOneEnd(text: string): string {
  return `${text.replace(/[\r\n]+$/, '')}\n`;
}

/** The content of those secrets that this machine has: a plan may be made where there are none. */
export function readPresentSecrets(
  names: readonly string[],
  sources: Readonly<Record<string, SecretSource>>,
  environment: NodeJS.ProcessEnv,
): Record<string, string> {
  const present: Record<string, string> = {};
  for (const name of names) {
    try {
      Object.assign(present, readSecrets([name], sources, environment));
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
    }
  }
  return present;
}

function describeSource(source: SecretSource): string {
  return 'file' in source ? source.file : `${source.environmentVariable} or ${source.environmentVariable}_FILE`;
}

function contentOf(name: string, source: SecretSource, environment: NodeJS.ProcessEnv): string | undefined {
  if ('file' in source) return fromFile(name, 'main.ts', inHome(source.file, environment));
  const variable = source.environmentVariable;
  const value = environment[variable];
  if (value !== undefined && value !== '') return value;
  const path = environment[`${variable}_FILE`];
  return path === undefined || path === '' ? undefined : fromFile(name, `${variable}_FILE`, path);
}

function inHome(path: string, environment: NodeJS.ProcessEnv): string {
  return path.startsWith('~/') ? join(environment.HOME ?? homedir(), path.slice(2)) : path;
}

function fromFile(name: string, where: string, path: string): string {
  const refused = (reason: string, cause?: unknown): MirrorError =>
    new MirrorError({
      code: 'SECRET_UNREADABLE',
      message: `${where} names ${path} for the secret ${name}, which cannot be read (${reason})`,
      remedy: 'Name a readable file.',
      exitCode: ExitCode.environment,
      cause,
    });
  let fd: number | undefined;
  try {
    // A pipe could be read once only, by the plan or the apply; without a writer it would never end.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw refused(stat.isDirectory() ? 'a directory' : 'not a regular file');
    if (stat.size > LARGEST_SECRET) throw refused(`larger than ${LARGEST_SECRET} bytes`);
    return readFileSync(fd, 'utf8');
  } catch (error) {
    if (error instanceof MirrorError) throw error;
    throw refused((error as NodeJS.ErrnoException).code ?? 'unknown', error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function unnamed(name: string): MirrorError {
  return new MirrorError({
    code: 'SECRET_UNNAMED',
    message: `mirror/target.json says nothing of the secret ${name}`,
    remedy: 'Synthesize again: the server construct writes it.',
    exitCode: ExitCode.invalid,
  });
}
