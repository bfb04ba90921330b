import { type RepositoryWaiver, waiverFor } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';

/** Metadata that must not be used: `what` names the file (its URL), `why` the place and the value. */
export function metadataRefused(
  code: string,
  what: string,
  why: string,
  remedy = 'Nothing was changed. Report it to the upstream, or put another source into fetchFrom.',
): MirrorError {
  return new MirrorError({ code, message: `${what}: ${why}`, remedy, exitCode: ExitCode.untrusted });
}

/** What is refused until the repository declares that it is meant. */
export function waivable(code: string, what: string, why: string, waiver: RepositoryWaiver): MirrorError {
  return metadataRefused(code, what, why, `Nothing was changed. Put another source into fetchFrom. ${waiverFor(waiver)}`);
}

/** A value from outside as it may be printed: quoted, without control characters, shortened. */
export function quoted(value: string): string {
  const text = JSON.stringify(value.length > 120 ? `${value.slice(0, 120)}…` : value);
  return text.replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
