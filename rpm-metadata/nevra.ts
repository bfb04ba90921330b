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

/** The parts of a text that `nevra` made. */
export function parseNevra(text: string): Nevra {
  const match = /^(.+)-(?:(\d+):)?([^-:]+)-([^-]+)\.([^.]+)$/.exec(text);
  if (match === null) throw new Error(`not name-version-release.arch: ${JSON.stringify(text.slice(0, 200))}`);
  const [, name, epoch = '0', version, release, arch] = match as unknown as readonly [
    string,
    string,
    string | undefined,
    string,
    string,
    string,
  ];
  return { name, epoch, version, release, arch };
}
