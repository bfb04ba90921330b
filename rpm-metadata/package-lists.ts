/** What the three lists of packages say: primary.xml, filelists.xml and other.xml. */

/** Each list by its root element. */
export const PACKAGE_LISTS = { primary: 'metadata', filelists: 'filelists', other: 'otherdata' } as const;
/** Their namespaces, and that of what comes from the package itself. */
export const NAMESPACES: Readonly<Record<PackageListKind, string>> = {
  primary: 'http://linux.duke.edu/metadata/common',
  filelists: 'http://linux.duke.edu/metadata/filelists',
  other: 'http://linux.duke.edu/metadata/other',
};
export const RPM_NAMESPACE = 'http://linux.duke.edu/metadata/rpm';
export type PackageListKind = keyof typeof PACKAGE_LISTS;

/** A package as the metadata says it, before any judgement; undefined is what it does not say. */
export interface PackageDraft {
  readonly name: string | undefined;
  readonly epoch: string | undefined;
  readonly version: string | undefined;
  readonly release: string | undefined;
  readonly arch: string | undefined;
  /** Of filelists and other: the checksum that primary says. */
  readonly pkgid: string | undefined;
  readonly checksumType: string | undefined;
  readonly checksum: string | undefined;
  /** `<size package="…">`. */
  readonly size: string | undefined;
  readonly href: string | undefined;
  /** `xml:base`: the location is below another place. */
  readonly base: string | undefined;
  /** `<time build="…">`. */
  readonly built: string | undefined;
}

/** Source packages have one of two architectures. */
export function isSource({ arch }: { readonly arch?: string | undefined }): boolean {
  return arch === 'src' || arch === 'nosrc';
}

export interface PackageHandlers {
  /** Once, before any package: what comes before the first one, the root element with its namespaces. */
  head?(bytes: Uint8Array): void;
  /**
   * `raw` is the element from `<package` to `</package>` as upstream wrote it, without what is around it; it may be used during the call
   * only. Its elements have no prefix or `rpm:`. Where upstream wrote unusual XML, it is written anew: the same elements, attributes and
   * text with the usual prefixes, and declarations of what other namespaces it uses.
   */
  package(draft: PackageDraft, raw: Uint8Array): void;
  /**
   * Whether a package that looks usual is passed over: then it is neither read nor handed over. For who wants few of many, and does not depend on
   * the others being well-formed. `raw` as with `package`.
   */
  passOver?(raw: Buffer): boolean;
  /** Once, after the last package: the end of the root element and what follows. */
  tail?(bytes: Uint8Array): void;
  /** After each piece of input, before the next is read: for who writes what he reads. */
  drain?(): Promise<void> | void;
}
