/** Pure: where upstreams have moved that lists still know by their old addresses. Each is a fact of the public record. */

/** The last point release of CentOS Linux 7: what `centos/7` led to when it ended. */
const LAST_CENTOS_7 = '7.9.2009';

const MOVES: readonly (readonly [old: RegExp, now: string])[] = [
  // mirror.centos.org was switched off in 2024; the vault has all that it had, by point release.
  [/^https?:\/\/mirror\.centos\.org\/centos\/7\//, `https://vault.centos.org/${LAST_CENTOS_7}/`],
  [/^https?:\/\/mirror\.centos\.org\/centos\/(7\.\d+\.\d+)\//, 'https://vault.centos.org/$1/'],
  // EPEL 7 ended in 2024.
  [/^https?:\/\/dl\.fedoraproject\.org\/pub\/epel\/7\//, 'https://archives.fedoraproject.org/pub/archive/epel/7/'],
];

/** Where the bytes are today; the URL itself where nothing is known of a move. */
export function movedTo(url: string): string {
  for (const [old, now] of MOVES) if (old.test(url)) return url.replace(old, now);
  return url;
}
