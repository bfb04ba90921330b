import type { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { SCHEMA_VERSION } from '../desired-state/model';

/** At most this many faults are named. */
const NAMED_AT_MOST = 5;

/** Parses and validates a request. Throws MirrorError (invalid) that names the field, or the version when that is what differs. Pure. */
export function parseRequest<T extends z.ZodTypeAny>(schema: T, text: string): z.output<T> {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw invalid('REQUEST_NOT_JSON', `the request on standard input is not JSON: ${(error as Error).message}`, error);
  }
  const version = (document as { desiredState?: { schemaVersion?: unknown } } | null)?.desiredState?.schemaVersion;
  if (version !== undefined && version !== SCHEMA_VERSION) {
    throw new MirrorError({
      code: 'SCHEMA_VERSION',
      message: `the request has schema version ${JSON.stringify(version)}, this mirror-host understands ${SCHEMA_VERSION}`,
      remedy: 'Deploy with the apply program of the same version as the server programs: synthesize again, then deploy.',
      exitCode: ExitCode.invalid,
    });
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data as z.output<T>;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'document'}: ${issue.message}`);
  const more = faults.length > NAMED_AT_MOST ? `; and ${faults.length - NAMED_AT_MOST} more` : '';
  throw invalid('REQUEST_INVALID', `the request is not valid: ${faults.slice(0, NAMED_AT_MOST).join('; ')}${more}`, parsed.error);
}

function invalid(code: string, message: string, cause: unknown): MirrorError {
  return new MirrorError({ code, message, remedy: 'Nothing was changed. Synthesize and deploy again.', exitCode: ExitCode.invalid, cause });
}
