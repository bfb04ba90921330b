import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { sha256 } from '../../desired-state/canonical';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { DesiredStateSchema, type DesiredState } from '../../desired-state/model';
import { programsDigest } from '../../desired-state/programs';
import { TargetSchema, type Target } from '../../desired-state/target';

/** What the synthesized stack directory holds beside the programs. */
export const STACK_FILES = { target: 'mirror/target.json', desiredState: 'mirror/desired-state.json' } as const;

/** A server program as it is uploaded. */
export interface ProgramFile {
  readonly content: Buffer;
  readonly sha256: string;
}

/** The server programs that lie beside this one, and the digest that names them together. */
export interface Programs {
  readonly 'mirror-host.cjs': ProgramFile;
  readonly 'mirrorctl.cjs': ProgramFile;
  readonly 'mirrorctl-body.cjs': ProgramFile;
  readonly digest: string;
}

/** Reads `mirror/target.json` of a stack directory. */
export function readTarget(directory: string): Target {
  return parse(TargetSchema, readInput(join(directory, STACK_FILES.target)), STACK_FILES.target);
}

/** Reads the desired state, with the SHA-256 of its bytes. */
export function readDesiredState(directory: string): { desiredState: DesiredState; sha256: string } {
  const bytes = readInput(join(directory, STACK_FILES.desiredState));
  return { desiredState: parse(DesiredStateSchema, bytes, STACK_FILES.desiredState), sha256: sha256(bytes) };
}

/** Reads the server programs in a directory. */
export function readPrograms(directory: string): Programs {
  const file = (name: string): ProgramFile => {
    const content = readInput(join(directory, name));
    return { content, sha256: sha256(content) };
  };
  const host = file('mirror-host.cjs');
  const content = file('mirrorctl.cjs');
  const body = file('mirrorctl-body.cjs');
  return {
    'mirror-host.cjs': host,
    'mirrorctl.cjs': content,
    'mirrorctl-body.cjs': body,
    digest: programsDigest({ 'mirror-host.cjs': host.sha256, 'mirrorctl.cjs': content.sha256, 'mirrorctl-body.cjs': body.sha256 }),
  };
}

/** Throws MirrorError (untrusted) when what is applied is not what was planned. Pure. */
export function requirePlanned(what: string, variable: string, planned: string | undefined, actual: string): void {
  if (planned === actual) return;
  if (planned === undefined || planned === '') {
    throw new MirrorError({
      code: 'NOT_PLANNED',
      message: `${variable} is not set: nobody planned this`,
      remedy: 'This program is run by Terraform: use `cdktf deploy` (or `terraform apply` of a plan).',
      exitCode: ExitCode.usage,
    });
  }
  throw new MirrorError({
    code: 'STALE_PLAN',
    message: `stale plan: ${what} changed since it was planned (planned ${planned.slice(0, 12)}, found ${actual.slice(0, 12)})`,
    remedy: 'Plan and review again, then deploy that plan.',
    exitCode: ExitCode.untrusted,
  });
}

function readInput(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new MirrorError({
      code: 'INPUT_MISSING',
      message: `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      remedy: 'Synthesize first (cdktf synth), and run this in the directory of the synthesized stack, as Terraform does.',
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}

function parse<T extends z.ZodTypeAny>(schema: T, bytes: Buffer, name: string): z.output<T> {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw invalid(name, (error as Error).message, error);
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data as z.output<T>;
  const faults = parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || 'document'}: ${issue.message}`);
  throw invalid(name, faults.join('; '), parsed.error);
}

function invalid(name: string, reason: string, cause: unknown): MirrorError {
  return new MirrorError({
    code: 'INPUT_INVALID',
    message: `${name} is not valid: ${reason}`,
    remedy: 'Synthesize again (cdktf synth) with the version that deploys.',
    exitCode: ExitCode.invalid,
    cause,
  });
}
