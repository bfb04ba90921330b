import { readFileSync } from 'node:fs';
import { ExitCode, MirrorError } from '../../desired-state/errors';

/**
 * The content of each secret, from the environment variable that the target names for it, or from the file that `<variable>_FILE` names.
 * Throws MirrorError that names every variable that is missing.
 */
export function readSecrets(
  names: readonly string[],
  variables: Readonly<Record<string, string>>,
  environment: NodeJS.ProcessEnv,
): Record<string, string> {
  const secrets: Record<string, string> = {};
  const missing: string[] = [];
  for (const name of names) {
    const variable = variables[name];
    if (variable === undefined) throw unnamed(name);
    const value = environment[variable] || fromFile(name, `${variable}_FILE`, environment[`${variable}_FILE`]);
    if (value === undefined || value === '') missing.push(`${name} (${variable} or ${variable}_FILE)`);
    else secrets[name] = value;
  }
  if (missing.length === 0) return secrets;
  throw new MirrorError({
    code: 'SECRET_MISSING',
    message: `secrets are missing: ${missing.join(', ')}`,
    remedy: 'Set the environment variable to the content, or the one with _FILE to the path of a file that holds it.',
    exitCode: ExitCode.environment,
  });
}

function fromFile(name: string, variable: string, path: string | undefined): string | undefined {
  if (path === undefined || path === '') return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new MirrorError({
      code: 'SECRET_UNREADABLE',
      message: `${variable} names ${path} for the secret ${name}, which cannot be read (${(error as NodeJS.ErrnoException).code})`,
      remedy: 'Name a readable file.',
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}

function unnamed(name: string): MirrorError {
  return new MirrorError({
    code: 'SECRET_UNNAMED',
    message: `mirror/target.json names no environment variable for the secret ${name}`,
    remedy: 'Synthesize again: the server construct writes it.',
    exitCode: ExitCode.invalid,
  });
}
