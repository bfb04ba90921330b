import type { IConstruct } from 'constructs';
import type { RepoSection } from '../../desired-state/render/repo-file';

/** What a release can be made of: a copied repository or tree, or a component of a codename. */
export interface Releasable {
  /** Of its snapshots on the server. */
  readonly id: string;
  /** Decoded, relative to the release. */
  readonly publicPath: string;
  /** All its files, of what may have the public path of another copy: it answers for these there. */
  readonly names?: readonly string[];
  /** Name of the customer whose access list guards it, where there is one. */
  readonly guardedBy?: string;
  /** What clients of the release configure; undefined for a tree of files. */
  section(release: { readonly id: string; readonly url: string }): RepoSection | undefined;
}

/** A construct that a release can be made of. */
export interface ReleasableConstruct extends IConstruct {
  readonly releasable: readonly Releasable[];
}

export function isReleasable(value: unknown): value is ReleasableConstruct {
  return typeof value === 'object' && value !== null && Array.isArray((value as Partial<ReleasableConstruct>).releasable);
}
