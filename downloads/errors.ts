import { ExitCode, MirrorError } from '../desired-state/errors';

/**
 * What a failed download means for the next attempt.
 *
 * - `transient`: worth another try at the same source (timeouts, resets, 5xx, short bodies)
 * - `corrupt`: the bytes are not what was asked for; another try, or another source, may have them
 * - `missing`: this source does not have the file; others may
 * - `refused`: this source must not be asked again for this file (unsafe redirect, endless body, bad certificate, 4xx)
 */
export type FailureKind = 'transient' | 'corrupt' | 'missing' | 'refused';

/** A download that failed, with what to do about it. */
export class DownloadError extends MirrorError {
  readonly kind: FailureKind;
  /** Seconds that the server asked us to wait. */
  readonly retryAfter: number | undefined;
  /** The HTTP status, where that is what was wrong. */
  readonly status: number | undefined;

  constructor(options: {
    kind: FailureKind;
    message: string;
    code?: string;
    remedy?: string;
    exitCode?: ExitCode;
    retryAfter?: number | undefined;
    status?: number;
    cause?: unknown;
  }) {
    super({
      code: options.code ?? CODES[options.kind],
      message: options.message,
      remedy: options.remedy ?? REMEDIES[options.kind],
      exitCode: options.exitCode ?? (options.kind === 'corrupt' ? ExitCode.untrusted : ExitCode.unreachable),
      cause: options.cause,
    });
    this.kind = options.kind;
    this.retryAfter = options.retryAfter;
    this.status = options.status;
  }
}

const CODES: Record<FailureKind, string> = {
  transient: 'UPSTREAM_UNREACHABLE',
  corrupt: 'CONTENT_MISMATCH',
  missing: 'UPSTREAM_FILE_MISSING',
  refused: 'UPSTREAM_REFUSED',
};

const REMEDIES: Record<FailureKind, string> = {
  transient: 'Nothing was changed; the next run tries again. If it stays so, add another source to fetchFrom.',
  corrupt: 'Nothing was changed. If it stays so, the upstream or a proxy in between is damaged: add another source to fetchFrom.',
  missing: 'Check the address with curl, or add another source to fetchFrom.',
  refused: 'Check the address with curl, or put another source into fetchFrom.',
};

/** Whether a source does not have an optional file: some stores answer 403 for what they lack. */
export function isAbsent(error: unknown): boolean {
  return error instanceof DownloadError && (error.kind === 'missing' || error.code === 'UPSTREAM_REFUSED');
}

/** What an HTTP status other than 200 means, or undefined for 200 (and for 304, which only conditional requests get). */
export function failureOfStatus(status: number): FailureKind | undefined {
  if (status === 200 || status === 304) return undefined;
  if (status === 404 || status === 410) return 'missing';
  if (status === 408 || status === 425 || status === 429 || status >= 500) return 'transient';
  return 'refused';
}

/** `Retry-After` in seconds: a number, or an HTTP date relative to `now`. Undefined when absent or unreadable. */
export function retryAfterSeconds(value: string | undefined, now: Date): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,6}$/.test(value.trim())) return Number(value.trim());
  const at = /GMT$/.test(value.trim()) ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - now.getTime()) / 1000));
}

/** Errors of TLS that no second try repairs: by code, since Node has no class for them. */
export function isCertificateError(code: string): boolean {
  return /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET|VERIFY))/.test(code);
}

/** What a failed connection or a broken answer means. `via` is said before the reason, for instance the proxy that was asked. */
export function connectionFailure(url: string, error: unknown, via = ''): DownloadError {
  // The reason of a caller's signal, or a refusal of our own connector.
  if (error instanceof DownloadError) return error;
  const { code, reason } = describe(error);
  if (isCertificateError(code)) {
    return new DownloadError({
      kind: 'refused',
      code: 'TLS_UNTRUSTED',
      message: `${url}: ${via}the certificate is not trusted: ${reason}`,
      remedy: 'Nothing was changed. Repair the certificate, or install its authority on the server (update-ca-certificates).',
      exitCode: ExitCode.untrusted,
      cause: error,
    });
  }
  if (code === 'PRIVATE_ADDRESS') {
    return new DownloadError({
      kind: 'refused',
      code,
      message: `${url}: ${reason}`,
      remedy:
        'Somebody upstream sends us there. If that place is right, put its address into fetchFrom. If it is meant, declare Waiver.privateAddresses(reason) in its waivers.',
      exitCode: ExitCode.untrusted,
      cause: error,
    });
  }
  if (code === 'PROXY_FAILED') {
    const { status } = error as { status?: number };
    const refused = status !== undefined && status < 500 && status !== 429;
    return new DownloadError({
      kind: refused ? 'refused' : 'transient',
      code,
      message: `${url}: ${via}${reason}`,
      remedy: 'Nothing was changed. Check the proxy that is declared for syncs, or name the host in its exceptions.',
      ...(status === undefined ? {} : { status }),
      cause: error,
    });
  }
  return new DownloadError({ kind: 'transient', message: `${url}: ${via}${reason}`, cause: error });
}

/** The code of an error of Node or undici, or an empty text. With several addresses Node throws an AggregateError without its own. */
export function codeOf(error: unknown): string {
  const inner: unknown = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const code = (inner as { code?: unknown }).code;
  return typeof code === 'string' ? code : '';
}

function describe(error: unknown): { code: string; reason: string } {
  const inner: unknown = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const code = codeOf(error);
  const message = inner instanceof Error && inner.message !== '' ? inner.message : String(inner);
  if (code === 'PRIVATE_ADDRESS' || code === 'PROXY_FAILED') return { code, reason: message };
  return { code, reason: code !== '' && !message.includes(code) ? `${message} (${code})` : message };
}
