/** What the command groups of mirrorctl share. */
import { type Command, InvalidArgumentError } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { KeySource, Signer } from '../signatures/sign';
import type { Definitions } from './definitions';
import type { Layout } from './layout';
import { writeLine } from './progress';

export interface GlobalOptions {
  readonly configuration: string;
  readonly state: string;
}

/** What is declared, and where everything is. `declared` reads it once more: a deploy may have ended meanwhile. */
export async function opened(
  root: Command,
): Promise<{ readonly definitions: Definitions; readonly layout: Layout; readonly declared: () => Promise<Definitions> }> {
  const { readDefinitions } = await import('./definitions');
  const { Layout } = await import('./layout');
  const { configuration, state } = root.opts<GlobalOptions>();
  const declared = (): Promise<Definitions> => readDefinitions(configuration);
  const definitions = await declared();
  return { definitions, layout: new Layout(definitions.server.storageRoot, state, definitions.directory), declared };
}

/** Runs `work` with the mirror's signatures: the keys are read when it asks for them. */
export async function withSigner<T>(
  keys: KeySource,
  { signingIdentities }: Layout,
  work: (signer: () => Promise<Signer>) => Promise<T>,
): Promise<T> {
  const { openSigner } = await import('../signatures/sign');
  let signer: Promise<Signer> | undefined;
  try {
    return await work(() => (signer ??= openSigner(keys, signingIdentities)));
  } finally {
    // One that could not be opened has failed what asked for it.
    await (await signer?.catch(() => undefined))?.close();
  }
}

/** Then the signal does what it does. */
export function sayWhenInterrupted(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      warn(`mirrorctl: interrupted by ${signal}; what is served is whole, and the next run goes on from there`);
      process.kill(process.pid, signal);
    });
  }
}

export function wholeSeconds(text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a whole number of seconds, at most 9999999.');
}

/** Why somebody does something, for those who come after: neither empty nor several lines. */
export function requireReason(text: string): string {
  const reason = text.trim();
  if (reason !== '' && !/[\u0000-\u001f\u007f]/.test(reason)) return reason;
  throw usage(
    `--reason ${JSON.stringify(text)} says nothing, or has control characters`,
    'Say in one line why: it is kept, and shown to everybody who asks.',
  );
}

export function usage(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'USAGE', message, remedy, exitCode: ExitCode.usage });
}

export function print(text: string): void {
  writeLine(process.stdout, text);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 1)}\n`);
}

export function warn(text: string): void {
  writeLine(process.stderr, text);
}
