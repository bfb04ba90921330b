/**
 * What props may hold. Each validator returns undefined for a good value, else a `Problem`: what is allowed and how to repair it.
 * They are pure; the construct adds its path, the prop's name and the value.
 */
export interface Problem {
  /** What is allowed, as a phrase: "a port is a whole number from 1 to 65535". */
  readonly allowed: string;
  /** What to do. */
  readonly fix: string;
}

const problem = (allowed: string, fix: string): Problem => ({ allowed, fix });

/** Distributions whose repositories a codename can be for. */
export const DISTRIBUTIONS = ['centos', 'fedora', 'oraclelinux', 'rhel'] as const;

/** First segments of the public URL tree that are not free for customers. */
export const RESERVED_PREFIXES = [
  '.mirror',
  '.well-known',
  'keys',
  'mirror',
  'mos',
  'mos-repos',
  'pins',
  'releases',
  'repo-files',
  'status',
] as const;

/** Names that mean something in a repository's directory or to tools. */
const RESERVED_IDS = ['all', 'current', 'definitions', 'keys', 'new', 'releases', 'repodata', 'snapshots'];

const idPattern = /^[a-z0-9]+(?:[.-][a-z0-9]+)*$/;

/**
 * Ids of repositories, customers and components: they become directory names, unit names and URL segments.
 * One case and no underscore, so that no two ids differ only in what a file system or a unit name folds.
 */
export function id(value: unknown): Problem | undefined {
  const allowed = 'an id is 1 to 63 of a-z, 0-9, "." and "-", starting and ending with a letter or digit, without two separators in a row';
  if (typeof value !== 'string' || value.length > 63 || !idPattern.test(value))
    return problem(allowed, 'Use lower-case ASCII words joined by single dashes, for instance "centos-7-os".');
  if (RESERVED_IDS.includes(value))
    return problem(`${allowed}; ${RESERVED_IDS.join(', ')} are reserved`, `Use a longer name, for instance "${value}-packages".`);
  return undefined;
}

/** A product release such as `7.0` or `9.2`. */
export function release(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^\d{1,4}(\.\d{1,4}){1,2}$/.test(value)) return undefined;
  return problem('a release is two or three numbers with dots', 'Write it as in the codename, for instance "7.0".');
}

/** A distribution's major version such as `7`. */
export function distributionVersion(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[1-9]\d{0,2}$/.test(value)) return undefined;
  return problem('a distribution version is a major version number without leading zeros', 'Write for instance version: "7".');
}

export function distribution(value: unknown): Problem | undefined {
  if ((DISTRIBUTIONS as readonly unknown[]).includes(value)) return undefined;
  return problem(`known distributions: ${DISTRIBUTIONS.join(', ')}`, 'Use one of the enum Distribution.');
}

/** Architectures that a codename can have. */
export const ARCHITECTURES = ['aarch64', 'i386', 'ppc64le', 's390x', 'x86_64'] as const;

export function architecture(value: unknown): Problem | undefined {
  if ((ARCHITECTURES as readonly unknown[]).includes(value)) return undefined;
  return problem(
    `known architectures: ${ARCHITECTURES.join(', ')}`,
    'Sources need no architecture: each component has a Source directory.',
  );
}

/** The first part of a customer's public path: `acme`, `teams/acme` or the seed's literal `customer`. */
export function prefix(value: unknown): Problem | undefined {
  const allowed = 'a prefix is 1 to 3 segments of a-z, 0-9, "." and "-" joined by "/", without a leading or trailing "/"';
  if (typeof value !== 'string' || value.length > 120) return problem(allowed, 'For instance "acme" or "customer".');
  const segments = value.split('/');
  if (segments.length > 3 || !segments.every((s) => idPattern.test(s) && s.length <= 63))
    return problem(allowed, 'For instance "acme" or "customer".');
  if ((RESERVED_PREFIXES as readonly string[]).includes(segments[0] as string)) {
    return problem(
      `${allowed}; ${RESERVED_PREFIXES.join(', ')} belong to the mirror`,
      `Use another first segment, for instance "customer/${value}".`,
    );
  }
  return undefined;
}

/** A directory that URLs had before, or the last part of one: `mos/centos-6`, `mos/centos-6/mos6.1`, `updates`. It may be below `mos`. */
export function legacyPath(value: unknown): Problem | undefined {
  const allowed = 'an old path is 1 to 6 segments of letters, digits, ".", "_" and "-" joined by "/", without a leading or trailing "/"';
  const fix = 'Write it as the old URLs have it, for instance "mos/centos-6".';
  if (typeof value !== 'string' || value.length > 200) return problem(allowed, fix);
  const segments = value.split('/');
  if (segments.length > 6 || !segments.every((s) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(s))) return problem(allowed, fix);
  const [first] = segments as [string];
  if (first !== 'mos' && (RESERVED_PREFIXES as readonly string[]).includes(first))
    return problem(`${allowed}; what is below ${RESERVED_PREFIXES.filter((one) => one !== 'mos').join(', ')} belongs to the mirror`, fix);
  return undefined;
}

/** A DNS name (RFC 1123) or an IP address. IPv6 without brackets and without a zone. */
export function host(value: unknown): Problem | undefined {
  if (typeof value === 'string' && (isDnsName(value) || isIPv4(value) || isIPv6(value))) return undefined;
  return problem(
    'a host is a DNS name, an IPv4 address, or an IPv6 address without brackets and zone',
    'For instance "mirror.example.org" or "2001:db8::7".',
  );
}

/** A name for `server_name`: a DNS name only. */
export function dnsName(value: unknown): Problem | undefined {
  if (typeof value === 'string' && isDnsName(value)) return undefined;
  return problem('a DNS name has labels of a-z, 0-9 and "-" joined by dots, at most 253 characters', 'For instance "mirror.example.org".');
}

export function port(value: unknown): Problem | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535) return undefined;
  return problem('a port is a whole number from 1 to 65535', 'Leave it out for the default.');
}

export function user(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[a-z_][a-z0-9_-]{0,31}$/.test(value)) return undefined;
  return problem(
    'a user is 1 to 32 of a-z, 0-9, "_" and "-", starting with a letter or "_"',
    'Use root, or an account with sudo without a password.',
  );
}

export function hostKey(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^SHA256:[A-Za-z0-9+/]{43}$/.test(value)) return undefined;
  return problem(
    'a host key is pinned by its SHA-256 fingerprint: "SHA256:" and 43 characters',
    'On the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. Or name a known_hosts file of the project in knownHosts.',
  );
}

/** A file of the project: a relative path that stays in it. */
export function projectFile(value: unknown): Problem | undefined {
  if (
    typeof value === 'string' &&
    value.length <= 200 &&
    value.split('/').every((part) => /^[A-Za-z0-9._+-]+$/.test(part) && !/^(\.\.?$|-)/.test(part))
  )
    return undefined;
  return problem(
    'a file of the project is a relative path of letters, digits, ".", "_", "+" and "-", without ".."',
    'For instance "known_hosts" or "keys/known_hosts".',
  );
}

/** Not below these: they belong to the system, or the sync units (ProtectSystem=, ProtectHome=, PrivateTmp=) cannot write there. */
const foreignTrees = [
  ...['/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib64', '/proc', '/root', '/run', '/sbin', '/sys', '/tmp', '/usr'],
  ...['/var/cache', '/var/lock', '/var/run', '/var/spool', '/var/tmp'],
];
/** Nor these themselves: others have directories in them. */
const sharedDirectories = ['/var/lib', '/var/log', '/var/www'];

/** The storage root: an absolute path outside the system's own directories, where the sync units can write. */
export function storageRoot(value: unknown): Problem | undefined {
  const allowed =
    'a storage root is an absolute path of letters, digits, ".", "_" and "-", outside the directories of the system, of users and of other programs';
  const fix = 'For instance "/srv/mirror".';
  if (typeof value !== 'string' || value.length > 200 || !/^(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/.test(value)) return problem(allowed, fix);
  if (
    value.split('/').length < 3 ||
    foreignTrees.some((tree) => value === tree || value.startsWith(`${tree}/`)) ||
    sharedDirectories.includes(value) ||
    value.startsWith('/var/lib/mirror')
  )
    return problem(allowed, fix);
  return undefined;
}

/** A URL that a repository is known by: http or https, no user, no query, no way out of its own path. */
export function upstreamUrl(value: unknown): Problem | undefined {
  return urlOf(value, 'http', 'an upstream URL is http:// or https://');
}

/** A URL that content is fetched from: as one that it is known by, or an rsync module with a path. */
export function sourceUrl(value: unknown): Problem | undefined {
  if (typeof value !== 'string' || !value.startsWith('rsync:')) return urlOf(value, 'http', 'a source is http://, https:// or rsync://');
  const bad = urlOf(value, 'rsync', 'a source is http://, https:// or rsync://');
  if (bad !== undefined) return bad;
  const fix = 'For instance "rsync://rsync.example.org/centos-vault/7.9.2009/os/x86_64/".';
  const path = decodeURIComponent(value.replace(/^rsync:\/\/[^/]+/, ''));
  // An rsync server expands what it takes for a pattern, in any path.
  if (/[*[\]]/.test(path)) return problem('the path of an rsync source has none of * [ ]', fix);
  if (/^\/[^/]+/.test(path) && !path.includes('//')) return undefined;
  return problem('an rsync source names a host and a module: rsync://host/module/path/', fix);
}

function urlOf(value: unknown, protocol: 'http' | 'rsync', what: string): Problem | undefined {
  const allowed = `${what}, with a host and a path, without user, query, fragment, ".." or an unexpanded variable`;
  const fix = 'For instance "https://vault.centos.org/7.9.2009/os/x86_64/".';
  if (typeof value !== 'string' || value.length > 2000 || !/^[\x21-\x7e]+$/.test(value)) return problem(allowed, fix);
  if (/[\\"'<>^`{|}$#?]/.test(value)) return problem(allowed, fix);
  const match = (protocol === 'rsync' ? /^rsync:\/\/([^/]+)(\/.*)$/ : /^https?:\/\/([^/]+)(\/.*)$/).exec(value);
  if (!match) return problem(allowed, fix);
  const [, authority, path] = match as unknown as [string, string, string];
  const hostPort = /^(\[[0-9a-fA-F:.]+\]|[^:[\]@%]+)(?::(\d{1,5}))?$/.exec(authority);
  if (!hostPort) return problem(allowed, fix);
  const name = (hostPort[1] as string).replace(/^\[|\]$/g, '');
  if (host(name) || (hostPort[2] !== undefined && port(Number(hostPort[2])))) return problem(allowed, fix);
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return problem(allowed, 'Write a percent sign as %25.');
  }
  if (/%2f|%5c/i.test(path) || decoded.split('/').some((s) => s === '.' || s === '..') || /[\u0000-\u001f\u007f]/.test(decoded))
    return problem(allowed, fix);
  return undefined;
}

/** A file or folder below a tree's base. */
export function treePath(value: unknown): Problem | undefined {
  if (
    typeof value === 'string' &&
    value.length <= 1024 &&
    !/[\u0000-\u001f\u007f-\u009f\ufffd\\]/.test(value) &&
    value.split('/').every((s) => s !== '' && s !== '.' && s !== '..' && Buffer.byteLength(s) <= 255)
  )
    return undefined;
  return problem(
    'a path below the base, as it is called there (not percent-encoded), without a "/" at its ends, empty segments, "." or ".."',
    'For instance "images/pxeboot/vmlinuz".',
  );
}

/** A folder below a tree's base, or the base itself. */
export function treeFolder(value: unknown): Problem | undefined {
  return value === '.' ? undefined : treePath(value);
}

/** A glob of paths in a tree. */
export function treeGlob(value: unknown): Problem | undefined {
  const bad = treePath(value);
  if (bad === undefined && !/[{}[\]!]/.test(value as string)) return undefined;
  return problem('a glob is a path, or a name at any depth, with * and ? as wildcards', 'For instance "*.torrent" or "isos/*/README".');
}

/** A network in CIDR notation, or one address. */
export function network(value: unknown): Problem | undefined {
  const bad = problem(
    'a network is an IPv4 or IPv6 address, with an optional prefix length, and no bits set below it',
    'For instance "203.0.113.0/24" or "2001:db8::/32".',
  );
  if (typeof value !== 'string') return bad;
  const [address, length, ...rest] = value.split('/');
  if (rest.length > 0 || address === undefined) return bad;
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : 0;
  if (bits === 0) return bad;
  if (length === undefined) return undefined;
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits) return bad;
  const number = bits === 32 ? joined(address.split('.').map(Number), 8) : joined(groupsOfIPv6(address), 16);
  return number % (1n << BigInt(bits - Number(length))) === 0n ? undefined : bad;
}

function joined(parts: readonly number[], bitsEach: number): bigint {
  return parts.reduce((sum, part) => (sum << BigInt(bitsEach)) + BigInt(part), 0n);
}

/** The eight numbers of a valid IPv6 address, however it is written. */
function groupsOfIPv6(address: string): number[] {
  const [head, tail] = canonicalIPv6(address)
    .split('::')
    .map((side) => (side === '' ? [] : side.split(':').map((group) => parseInt(group, 16))));
  if (tail === undefined) return head as number[];
  return [...(head as number[]), ...new Array<number>(8 - (head as number[]).length - tail.length).fill(0), ...tail];
}

export function flag(value: unknown): Problem | undefined {
  if (typeof value === 'boolean') return undefined;
  return problem('true or false', 'Write it without quotes, or leave it out for the default.');
}

export function environmentVariable(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[A-Z][A-Z0-9_]{0,99}$/.test(value)) return undefined;
  return problem('an environment variable is upper-case letters, digits and "_"', 'For instance "MIRROR_SIGNING_KEY".');
}

/** A file name for a public key: served at `/keys/<name>`. */
export function keyFileName(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/.test(value)) return undefined;
  return problem('a key file name is letters, digits, ".", "_", "+" and "-"', 'For instance "RPM-GPG-KEY-EPEL-7".');
}

/** A reason that a reviewer reads: one line of printable text. */
export function reason(value: unknown): Problem | undefined {
  if (
    typeof value === 'string' &&
    value.trim().length >= 10 &&
    value.length <= 300 &&
    !/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/.test(value)
  )
    return undefined;
  return problem(
    'a reason is one line of 10 to 300 printable characters',
    'Say to the reviewer why it is so, for instance "upstream signs neither metadata nor packages".',
  );
}

export function isDnsName(value: string): boolean {
  return value.length <= 253 && /^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/.test(value) && !/^[\d.]+$/.test(value);
}

export function isIPv4(value: string): boolean {
  return /^(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/.test(value);
}

export function isIPv6(value: string): boolean {
  if (!/^[0-9a-fA-F:.]{2,45}$/.test(value) || !value.includes(':')) return false;
  try {
    return new URL(`http://[${value}]/`).hostname.length > 2;
  } catch {
    return false;
  }
}

/** A valid IPv6 address as URLs spell it. */
export function canonicalIPv6(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}

/** Whether an address is this machine, or a name that no server has (RFC 2606, RFC 6761): an example that nobody has changed yet. */
export function isLocalOrReserved(address: string): boolean {
  if (isIPv4(address)) return address.startsWith('127.');
  if (isIPv6(address)) return canonicalIPv6(address) === '::1';
  return /(^|\.)(localhost|invalid|test|example|example\.(com|net|org))$/.test(address);
}

/** Another machine may apply: a path relative to the project would not be there. */
export function secretFile(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^(~\/|\/)[^\u0000-\u001f\u007f]{1,1000}$/.test(value) && !value.endsWith('/')) return undefined;
  return problem(
    'a secret\'s file is an absolute path, or "~/…", on the machine that applies',
    'For instance "~/.config/mirror/signing-key.asc".',
  );
}

export function secretVersion(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/.test(value)) return undefined;
  return problem('a version is 1 to 40 letters, digits, ".", "_" and "-"', 'For instance "2" or "2026-11".');
}

/** The subject of a client's certificate as nginx writes it (RFC 2253). */
export function certificateSubject(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[A-Za-z0-9.]+=[\x21\x23\x25-\x7e\x20]{1,300}$/.test(value)) return undefined;
  return problem(
    'a subject is one line of printable ASCII without " and $, the last part of the name first',
    'For instance "CN=build1,O=Acme": openssl x509 -in FILE -noout -subject -nameopt RFC2253 prints it.',
  );
}

/** An address for notices of an ACME server. */
export function mailAddress(value: unknown): Problem | undefined {
  const [name, domain, ...rest] = typeof value === 'string' ? value.split('@') : [];
  if (
    name !== undefined &&
    /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(name) &&
    domain !== undefined &&
    isDnsName(domain) &&
    rest.length === 0
  )
    return undefined;
  return problem('a mail address', 'For instance "hostmaster@example.org".');
}

/** The directory of an ACME server. */
export function acmeDirectory(value: unknown): Problem | undefined {
  const bad = urlOf(value, 'http', 'the directory of an ACME server is https://');
  if (bad === undefined && /^https:\/\/[A-Za-z0-9._~:/%[\]-]+$/.test(value as string)) return undefined;
  return problem('the directory of an ACME server is an https:// URL', 'For instance "https://acme-v02.api.letsencrypt.org/directory".');
}

export function confirmSeconds(value: unknown): Problem | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 5 && value <= 600) return undefined;
  return problem('a whole number of seconds from 5 to 600', 'Leave it out for 60.');
}

/** A UTC time to the second: `2026-11-01T00:00:00Z`. */
export function utcTime(value: unknown): Problem | undefined {
  const isTime = typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value);
  if (isTime && !Number.isNaN(Date.parse(value)) && new Date(value).toISOString() === value.replace('Z', '.000Z')) return undefined;
  return problem('a time is in UTC, to the second, and in the calendar', 'Write it as "2026-11-01T00:00:00Z".');
}

/** The name of a snapshot: its time and 12 hex digits. */
export function snapshotName(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^\d{8}T\d{6}Z-[0-9a-f]{12}$/.test(value)) return undefined;
  return problem(
    'the name of a snapshot is its time and 12 hex digits',
    'For instance "20261101T023000Z-0123456789ab": mirrorctl status shows it.',
  );
}
