/** What props about syncs may hold: places, filters, ages, limits. As in validate.ts: undefined for a good value, else a `Problem`. */
import { host, upstreamUrl, type Problem } from './validate';

/** The address of a list of mirrors: as an upstream URL, with an optional query. */
export function upstreamListUrl(value: unknown): Problem | undefined {
  const problem = {
    allowed:
      'the address of a mirror list is http:// or https://, with a host, a path and, where needed, a query, without user, fragment, ".." or an unexpanded variable',
    fix: 'For instance "https://mirrors.fedoraproject.org/metalink?repo=epel-7&arch=x86_64".',
  };
  if (typeof value !== 'string' || value.length > 2000) return problem;
  const [address = '', query, ...rest] = value.split('?');
  if (rest.length > 0 || upstreamUrl(address) !== undefined) return problem;
  return query === undefined || /^[A-Za-z0-9._~!*+,;:@/&=%-]+$/.test(query) ? undefined : problem;
}

/** A glob of package names. Names are letters, digits, ".", "_", "+" and "-" (rpm's own rule). */
export function packageGlob(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[A-Za-z0-9_*?][A-Za-z0-9._+*?-]{0,199}$/.test(value)) return undefined;
  return {
    allowed: 'a glob of package names is 1 to 200 letters, digits, ".", "_", "+", "-", "*" and "?", and begins with no "-", "." or "+"',
    fix: 'For instance "kernel*": a name alone, without version, architecture and ".rpm".',
  };
}

const PACKAGE_ARCHITECTURES = [
  ...['aarch64', 'armv7hl', 'i386', 'i486', 'i586', 'i686', 'noarch', 'ppc64', 'ppc64le', 'riscv64', 's390x', 'x86_64'],
];

export function packageArchitecture(value: unknown): Problem | undefined {
  if (typeof value === 'string' && PACKAGE_ARCHITECTURES.includes(value)) return undefined;
  const isSource = value === 'src' || value === 'nosrc';
  return {
    allowed: `architectures of binary packages: ${PACKAGE_ARCHITECTURES.join(', ')}`,
    fix: isSource ? 'Sources have a prop of their own: sources: true or false.' : 'For instance ["x86_64", "noarch"].',
  };
}

export function filterNewest(value: unknown): Problem | undefined {
  return whole(value, 1, 1000)
    ? undefined
    : { allowed: 'a whole number from 1 to 1000: so many versions of each name', fix: 'Leave it out for every version.' };
}

export function maxAgeDays(value: unknown): Problem | undefined {
  return whole(value, 1, 3650)
    ? undefined
    : {
        allowed: 'a whole number of days from 1 to 3650',
        fix: 'A little more than the longest time in which upstream publishes nothing; leave it out where it has ended.',
      };
}

/** A validator of whole numbers. */
export function wholeNumber(low: number, high: number): (value: unknown) => Problem | undefined {
  return (value) =>
    whole(value, low, high) ? undefined : { allowed: `a whole number from ${low} to ${high}`, fix: 'Leave it out for the default.' };
}

const SLOWEST = 125_000;
const FASTEST = 12_500_000_000;

/** A validator of bandwidths. Slower, connections that share one would each be given up as stalled. @param unit bytes a second */
export function bandwidthBytes(unit: number): (value: unknown) => Problem | undefined {
  return (value) =>
    typeof value === 'number' && value * unit >= SLOWEST && value * unit <= FASTEST
      ? undefined
      : { allowed: `a number from ${SLOWEST / unit} to ${FASTEST / unit}`, fix: 'Leave the bandwidth out for no limit.' };
}

/** An HTTP proxy: scheme, host and port, and no credentials, which the plan would show. */
export function proxyUrl(value: unknown): Problem | undefined {
  const problem = {
    allowed: 'a proxy is http:// or https:// with a host and, where needed, a port, and nothing else',
    fix: 'For instance "http://proxy.example.org:3128".',
  };
  if (typeof value !== 'string' || value.length > 300) return problem;
  if (/^[a-z]+:\/\/[^/]*@/i.test(value))
    return {
      allowed: "a proxy is declared without credentials: they would be in the plan, in the state and in every reader's hands",
      fix: 'Let the proxy admit the mirror by its address, or run one on the server that adds the credentials, and declare that.',
    };
  if (!/^https?:\/\/[^/]+\/?$/.test(value)) return problem;
  return upstreamUrl(value.endsWith('/') ? value : `${value}/`) === undefined ? undefined : problem;
}

/** A host that is asked directly. */
export function proxyException(value: unknown): Problem | undefined {
  if (host(value) === undefined) return undefined;
  return {
    allowed: 'a DNS name, which stands for what is below it too, or an address',
    fix: 'For instance "mirror.example.org" or "example.org", without "*." and without a port.',
  };
}

function whole(value: unknown, low: number, high: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
}
