import { DownloadError } from './errors';
import type { Head } from './exchange';

/** The rest of a file of which there is a beginning. */
export interface Rest {
  readonly offset: number;
  /** A strong ETag or a date: the server sends the whole file when it has another version. */
  readonly validator: string | undefined;
  /** Size of the whole file, where it is known. */
  readonly total: number | undefined;
}

export function rangeHeaders({ offset, validator }: Rest): Record<string, string> {
  return { range: `bytes=${offset}-`, ...(validator === undefined ? {} : { 'if-range': validator }) };
}

/** Throws a DownloadError (RANGE_WRONG) when a 206 is not the rest that was asked for, of the version that was asked for, to its end. */
export function checkRest(url: string, head: Head, rest: Rest): void {
  const range = head.header('content-range') ?? 'no place';
  const [, from, to, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(range) ?? [];
  const size = total === '*' ? rest.total : Number(total);
  const etag = head.header('etag');
  const otherVersion = rest.validator?.startsWith('"') === true && etag !== undefined && etag !== rest.validator;
  const complete = size === undefined || Number(to) === size - 1;
  if (Number(from) === rest.offset && complete && (rest.total ?? size) === size && !otherVersion) return;
  throw new DownloadError({
    kind: 'corrupt',
    code: 'RANGE_WRONG',
    message: `${url} answers a request for bytes from ${rest.offset} on with ${range}${otherVersion ? ` of another version (${etag})` : ''}`,
  });
}
