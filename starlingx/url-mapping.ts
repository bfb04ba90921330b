/**
 * Where an upstream URL is found on the mirror: the mapping that StarlingX's lists and download tools have used since 2018.
 *
 * The input is the *original* URL, the one that lists and clients know; where the bytes come from today is another matter.
 * Scheme and port are dropped, so that http and https share one path.
 */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { shown } from './shown';

export interface MirrorPath {
  /** On disk, relative to the document root: `mirror/centos/download.opensuse.org/repositories/home:/x`. */
  readonly decoded: string;
  /** In links and requests: `mirror/centos/download.opensuse.org/repositories/home%3A/x`. */
  readonly encoded: string;
}

/** Bytes of one name, by the file systems in use. */
const LONGEST_NAME = 255;
/** As long as a relative path may be in the desired state. */
const LONGEST_PATH = 1024;

/**
 * Maps an upstream's URL to its place on the mirror.
 *
 * @param url the original http or https URL
 * @param distro the distribution whose mirror it is, for instance `centos`: the first directory below `mirror/`
 * @param where what the error names, for instance `rpms_3rdparties.lst line 7`
 * @throws MirrorError `URL_NOT_MAPPABLE` for a URL that has no safe, unambiguous place
 */
export function mirrorPath(url: string, distro: string, where = 'URL'): MirrorPath {
  const reject = (reason: string, remedy: string): never => {
    throw new MirrorError({
      code: 'URL_NOT_MAPPABLE',
      message: `${where} ${shown(url)} has no place on the mirror: ${reason}`,
      remedy,
      exitCode: ExitCode.invalid,
    });
  };
  if (!/^[a-z][a-z0-9-]*$/.test(distro))
    throw new MirrorError({
      code: 'DISTRIBUTION_NAME',
      message: `distribution ${shown(distro)} is not a name for a directory`,
      remedy: 'Use lower-case letters, digits and hyphens, for instance "centos".',
      exitCode: ExitCode.invalid,
    });

  if (url === '') reject('it is empty', 'Give the original http or https URL.');
  if (/[^\u0021-\u007e]/.test(url))
    reject(
      'it contains a space, a control character or a character outside ASCII',
      'Percent-encode such characters as UTF-8, for instance a space as %20.',
    );
  if (/[\\"<>^`{|}]/.test(url) && !url.includes('${'))
    reject('it contains a character that no URL contains', 'Percent-encode it, for instance a brace as %7B.');
  if (url.includes('#')) reject('it has a fragment', 'Remove "#" and what follows, or write %23 where the file name has a "#".');

  const [, scheme, authority = '', rawPath = '', rawQuery = ''] =
    /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?]*)([^?]*)(?:\?(.*))?$/.exec(url) ?? [];
  if (scheme === undefined) return reject('it has no scheme', 'Begin with http:// or https://.');
  if (!/^https?$/i.test(scheme)) reject(`the scheme is ${scheme}`, 'Only http and https URLs are mirrored.');

  const server = serverOf(authority, reject);
  const path = segments(rawPath, reject);
  if (path.length === 0) reject('it has no path', 'Name the directory or file on that server.');
  if (rawQuery !== '') {
    // A query is part of the file name, so it must not open directories of its own.
    const query = decode(rawQuery, reject);
    if (query.includes('/')) reject('its query contains a slash', 'Use a URL without a query.');
    path.push(rawPath.endsWith('/') ? `?${query}` : `${path.pop() ?? ''}?${query}`);
  }

  const long = path.find((name) => Buffer.byteLength(name) > LONGEST_NAME);
  if (long !== undefined) reject(`a name in its path is longer than ${LONGEST_NAME} bytes`, 'Use a shorter URL.');
  const family = familyOf(`${server}/${path.join('/')}`);
  const decoded = ['mirror', distro, ...family, server, ...path].join('/');
  if (decoded.length > LONGEST_PATH) reject(`its path is longer than ${LONGEST_PATH} characters`, 'Use a shorter URL.');
  return { decoded, encoded: encodePath(decoded) };
}

/** Percent-encodes what the mapping encodes: every byte outside `/A-Za-z0-9.~_-`, as upper-case hex of its UTF-8. */
export function encodePath(decoded: string): string {
  return [...Buffer.from(decoded, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[/A-Za-z0-9.~_-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

type Reject = (reason: string, remedy: string) => never;

/** EPEL wins over CentOS, as in the historical scripts: its mirrors may have both in their names. */
function familyOf(serverAndPath: string): string[] {
  if (serverAndPath.includes('fedoraproject.org/pub/epel')) return ['epel'];
  return serverAndPath.includes('centos.org') ? ['centos'] : [];
}

function serverOf(authority: string, reject: Reject): string {
  const at = authority.lastIndexOf('@');
  if (authority.slice(0, Math.max(at, 0)).includes(':'))
    reject('it carries a password', 'Public paths are made from the URL: remove "user:password@" and give credentials elsewhere.');
  const hostAndPort = authority.slice(at + 1);
  if (hostAndPort.startsWith('['))
    reject('its host is an IPv6 address', 'Name the server: an address, and the more its zone, means nothing to those who use the mirror.');
  const [, host = '', port] = /^([^:]*)(?::(.*))?$/.exec(hostAndPort) ?? [];
  if (port !== undefined && !(/^[0-9]{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535))
    reject(`its port ${JSON.stringify(port)} is not a number from 1 to 65535`, 'Correct the port or leave it out.');
  const labels = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;
  if (!labels.test(host)) {
    if (host.includes('$')) reject('it has an unexpanded variable', unexpandedRemedy);
    reject(`its host ${JSON.stringify(host)} is not a host name`, 'Use a name of letters, digits, hyphens and dots.');
  }
  // Host names have no case; a path has. One server gets one directory.
  return host.toLowerCase();
}

function segments(rawPath: string, reject: Reject): string[] {
  const names = rawPath.split('/').map((name) => decode(name, reject));
  if (names.some((name) => name.includes('/')))
    reject('it contains an encoded slash (%2F)', 'A slash separates directories: write it as it is.');
  if (names.includes('..')) reject('it contains ".."', 'Write the path that is meant.');
  return names.filter((name) => name !== '' && name !== '.');
}

const unexpandedRemedy = 'Expand yum variables first, for instance $basearch to x86_64 and $releasever to 7.';

function decode(text: string, reject: Reject): string {
  let decoded = '';
  try {
    decoded = decodeURIComponent(text);
  } catch {
    reject(
      `${JSON.stringify(text)} is not percent-encoded UTF-8`,
      'Write "%" itself as %25, and other characters as the bytes of their UTF-8.',
    );
  }
  if (/%[0-9A-Fa-f]{2}/.test(decoded)) reject('it is percent-encoded twice', 'Decode it once.');
  if (/\$([A-Za-z_]|\{)/.test(decoded)) reject('it has an unexpanded variable', unexpandedRemedy);
  if (decoded.includes('\\')) reject('it contains a backslash', 'Separate directories by "/".');
  // Control, format (right-to-left, zero-width), unassigned and private characters; separators other than the plain space.
  if (/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(decoded))
    reject('it contains an encoded control or invisible character', 'Use a URL without it: such names cannot be told apart.');
  if (decoded.normalize('NFC') !== decoded)
    reject('it is not in Unicode normal form C', 'Compose the characters: two spellings of one name would be two files.');
  return decoded;
}
