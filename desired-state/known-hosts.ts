/**
 * Reads OpenSSH's known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT") as far as pinning a host needs it: which keys does the file
 * accept for an address and port? Stricter than OpenSSH, which skips lines that it cannot read and looks up `host` when `[host]:2222` has
 * no entry: what a reviewer approved must be what is trusted.
 */
import { createHmac } from 'node:crypto';
import { ExitCode, MirrorError } from './errors';
import { fingerprintOf, HOST_KEY_TYPES, typeOfKey } from './host-key';
import { canonicalIPv6, isIPv6 } from './validate';

/** Where a file was read from, for errors, and whose keys are wanted. */
export interface KnownHost {
  readonly file: string;
  /** Name or IP address, without brackets. */
  readonly address: string;
  readonly port: number;
}

interface Line {
  readonly number: number;
  readonly marker: '@cert-authority' | '@revoked' | undefined;
  readonly names: string;
  readonly type: string;
  readonly fingerprint: string;
}

/**
 * The fingerprints that a known_hosts file accepts for a host, sorted, each once.
 *
 * @throws MirrorError `KNOWN_HOSTS_INVALID` for a line that cannot be read, `KNOWN_HOSTS_CERT_AUTHORITY`, `KNOWN_HOSTS_REVOKED` when every key
 * of the host is revoked, `KNOWN_HOSTS_NO_ENTRY` when there is none
 */
export function knownHostKeys(text: string, host: KnownHost): string[] {
  const lines = readLines(text, host.file);
  const wanted = lookupNames(host);
  const ours = lines.filter((line) => namesMatch(line.names, wanted));
  const authority = ours.find((line) => line.marker === '@cert-authority');
  if (authority) {
    throw refuse(
      'KNOWN_HOSTS_CERT_AUTHORITY',
      `${host.file} line ${authority.number}: @cert-authority for ${place(host)}: host certificates are not supported`,
      `Write the host's own key instead. ${remedy(host)}`,
    );
  }
  const revoked = new Set(ours.filter((line) => line.marker === '@revoked').map((line) => line.fingerprint));
  const own = ours.filter((line) => line.marker === undefined);
  const usable = own.filter((line) => (HOST_KEY_TYPES as readonly string[]).includes(line.type));
  const accepted = usable.filter((line) => !revoked.has(line.fingerprint)).map((line) => line.fingerprint);
  if (accepted.length > 0) return [...new Set(accepted)].sort();
  if (usable.length > 0) {
    throw refuse(
      'KNOWN_HOSTS_REVOKED',
      `${host.file} line ${usable[0]?.number}: every key for ${place(host)} is marked @revoked: ${[...revoked].join(', ')}`,
      `The host needs a new key. ${remedy(host)}`,
    );
  }
  if (own.length > 0) {
    throw refuse(
      'KNOWN_HOSTS_NO_ENTRY',
      `${host.file} line ${own[0]?.number}: the only key for ${place(host)} is of type ${own[0]?.type}, which is not supported`,
      `Supported are ${HOST_KEY_TYPES.join(', ')}. ${remedy(host)}`,
    );
  }
  throw refuse('KNOWN_HOSTS_NO_ENTRY', `${host.file} has no key for ${place(host)}${hint(lines, host)}`, remedy(host));
}

function readLines(text: string, file: string): Line[] {
  // A UTF-16 file that was read as UTF-8 is full of NUL; its byte order mark became two replacement characters.
  if (/^\ufffd\ufffd/.test(text) || /^.\0.\0/.test(text) || /^\0.\0./.test(text)) throw bad(file, 1, 'is UTF-16, not UTF-8');
  return text
    .replace(/^\ufeff/, '')
    .split('\n')
    .flatMap((line, index) => readLine(line.replace(/\r$/, ''), index + 1, file) ?? []);
}

function readLine(line: string, number: number, file: string): Line | undefined {
  if (line.includes('\0')) throw bad(file, number, 'holds a NUL byte');
  const trimmed = line.replace(/^[ \t]+/, '');
  if (trimmed === '' || trimmed.startsWith('#')) return undefined;
  const control = /[\u0001-\u0008\u000a-\u001f\u007f]/.exec(trimmed);
  if (control) throw bad(file, number, `holds the control character ${JSON.stringify(control[0])}`);
  const words = trimmed.split(/[ \t]+/);
  const marker = words[0]?.startsWith('@') ? words.shift() : undefined;
  if (marker !== undefined && marker !== '@cert-authority' && marker !== '@revoked')
    throw bad(file, number, `starts with the unknown marker ${quoted(marker)}; there are @cert-authority and @revoked`);
  const [names, type, data] = words;
  if (names === undefined || type === undefined || data === undefined || data === '')
    throw bad(file, number, `is not "names type key": ${quoted(trimmed)}`);
  checkNames(names, number, file);
  if (/^\d+$/.test(type)) throw bad(file, number, `holds a key of SSH version 1 for ${quoted(names)}`);
  const key = Buffer.from(data, 'base64');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(data) || key.toString('base64').replace(/=+$/, '') !== data.replace(/=+$/, ''))
    throw bad(file, number, `holds a key that is not base64: ${quoted(data)}`);
  const named = typeOfKey(key);
  if (named !== type || key.length <= 8 + type.length)
    throw bad(
      file,
      number,
      `says ${quoted(type)}, but its key is ${named === type ? 'cut off' : `of type ${quoted(named)}`}: ${quoted(data)}`,
    );
  return { number, marker, names, type, fingerprint: fingerprintOf(key) };
}

/** Nothing is looked up by a name that no name can be, and a negation alone accepts nothing. */
function checkNames(names: string, number: number, file: string): void {
  if (names.startsWith('|')) {
    if (!/^\|1\|[A-Za-z0-9+/]{27}=\|[A-Za-z0-9+/]{27}=$/.test(names))
      throw bad(file, number, `has a hashed name that is none: ${quoted(names)}`);
    return;
  }
  const wrong = names.split(',').find((name) => !/^!?(\[[^[\]!|]+\]:\d{1,5}|[^[\]!|@]+)$/.test(name));
  if (wrong !== undefined) throw bad(file, number, `has a name that is none: ${quoted(wrong)}`);
}

/** As OpenSSH writes them: the port only when it is not 22; lower case. */
function lookupNames({ address, port }: Pick<KnownHost, 'address' | 'port'>): string[] {
  const spellings = isIPv6(address) ? [address.toLowerCase(), canonicalIPv6(address)] : [address.toLowerCase()];
  return [...new Set(spellings)].map((name) => place({ address: name, port }));
}

/** Whether the name list of a line is for one of our names: some pattern matches, and no negated one does. */
function namesMatch(names: string, wanted: readonly string[]): boolean {
  if (names.startsWith('|')) {
    const [, , salt, hash] = names.split('|') as [string, string, string, string];
    return wanted.some((name) => createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash);
  }
  const patterns = names.toLowerCase().split(',');
  const matches = (pattern: string): boolean => wanted.some((name) => wildcardMatch(pattern, name));
  return patterns.some((p) => !p.startsWith('!') && matches(p)) && !patterns.some((p) => p.startsWith('!') && matches(p.slice(1)));
}

/** `*` and `?`, in time proportional to the lengths' product at most: a regular expression with many stars could take for ever. */
function wildcardMatch(pattern: string, text: string): boolean {
  let at = 0;
  let inText = 0;
  let star = -1;
  let resume = 0;
  while (inText < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      resume = inText;
    } else if (pattern[at] === '?' || pattern[at] === text[inText]) {
      at++;
      inText++;
    } else if (star >= 0) {
      at = star + 1;
      inText = ++resume;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

function place({ address, port }: Pick<KnownHost, 'address' | 'port'>): string {
  return port === 22 ? address : `[${address}]:${port}`;
}

/** The usual reason: the entry is for another port. */
function hint(lines: readonly Line[], host: KnownHost): string {
  if (host.port === 22) return '';
  const wanted = lookupNames({ ...host, port: 22 });
  const plain = lines.find((line) => line.marker === undefined && namesMatch(line.names, wanted));
  return plain ? ` (line ${plain.number} is for port 22 of that host)` : '';
}

/** The command that asks a host for its keys. */
export function keyscan({ address, port }: Pick<KnownHost, 'address' | 'port'>): string {
  return `ssh-keyscan${port === 22 ? '' : ` -p ${port}`} ${address}`;
}

function remedy({ address, port, file }: KnownHost): string {
  return (
    `Append what \`${keyscan({ address, port })}\` prints to ${file}, after comparing its \`ssh-keygen -lf\` ` +
    "with the same of /etc/ssh/ssh_host_*_key.pub on the server's console."
  );
}

function bad(file: string, number: number, reason: string): MirrorError {
  return refuse(
    'KNOWN_HOSTS_INVALID',
    `${file} line ${number} ${reason}`,
    'Lines are "names type base64-key", as `ssh-keyscan` prints them; remove or comment out (#) what is something else.',
  );
}

function refuse(code: string, message: string, fix: string): MirrorError {
  return new MirrorError({ code, message, remedy: fix, exitCode: ExitCode.invalid });
}

/** A value as it can be shown: escaped, and cut when it is long. */
function quoted(value: string): string {
  const text = value.length > 80 ? `${value.slice(0, 77)}…` : value;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => (c === '…' ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`));
}
