import type { Checksum } from './checksum';

/** What identifies a package: no two with other content may have the same. */
export interface Nevra {
  readonly name: string;
  /** Decimal digits; `0` where none is said. */
  readonly epoch: string;
  readonly version: string;
  readonly release: string;
  readonly arch: string;
}

/** `name-epoch:version-release.arch`, without an epoch of 0: as dnf prints it. */
export function nevra({ name, epoch, version, release, arch }: Nevra): string {
  return `${name}-${epoch === '0' ? '' : `${epoch}:`}${version}-${release}.${arch}`;
}

/** Packages with one name, version and architecture and different content. */
export interface Conflict<P> {
  readonly nevra: string;
  /** One for each content, in the order of the list. */
  readonly packages: readonly P[];
}

/**
 * Which packages of a list contradict each other. Two algorithms count as two contents, since nothing proves otherwise; the same content at
 * two locations is no conflict.
 */
export function conflictsOf<P extends Nevra & { readonly checksum: Checksum }>(packages: Iterable<P>): readonly Conflict<P>[] {
  const first = new Map<string, P>();
  const found = new Map<string, P[]>();
  for (const item of packages) {
    const key = nevra(item);
    const other = first.get(key);
    if (other === undefined) {
      first.set(key, item);
      continue;
    }
    const known = found.get(key) ?? [other];
    if (known.some(({ checksum }) => checksum.hex === item.checksum.hex && checksum.algorithm === item.checksum.algorithm)) continue;
    known.push(item);
    found.set(key, known);
  }
  return [...found].map(([key, items]) => ({ nevra: key, packages: items }));
}
