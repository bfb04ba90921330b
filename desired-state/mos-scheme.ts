/**
 * The scheme of MOS repositories: what a URL below a prefix means. Whoever makes repositories by it makes them the right way.
 *
 * `<prefix>/<distribution>/<codename>/<component>/<tree>/`
 */
import { architecture, DISTRIBUTIONS, id } from './validate';

/** The tree of a component's source packages; the others are named after their architecture. */
export const SOURCE = 'Source';

/** `mos7.0-centos6-fuel`, read. */
export interface Codename {
  readonly release: string;
  readonly distribution: string;
  /** Major version of the distribution. */
  readonly version: string;
  readonly variant?: 'fuel';
}

/** `mos7.0-centos6-fuel`. */
export function codenameOf({ release, distribution, version, variant }: Codename): string {
  return `mos${release}-${distribution}${version}${variant === undefined ? '' : `-${variant}`}`;
}

/** Where a codename is public, without slashes at its ends. */
export function publicPathOf(prefix: string, codename: Codename): string {
  return `${prefix}/${codename.distribution}/${codenameOf(codename)}`;
}

/** Owner of the product's own codenames: no customer is called so. */
export const PRODUCT_OWNER = 'mos';

/** Owner of the modified packages of StarlingX: no customer is called so, either. */
export const STARLINGX_OWNER = 'starlingx';
/** Name of the public key file beside them. */
export const STARLINGX_KEY_FILE = 'RPM-GPG-KEY-starlingx';

/** A codename or component as people call it: without the owner where that is the product. */
export function shortId(id: string): string {
  return id.startsWith(`${PRODUCT_OWNER}/`) ? id.slice(PRODUCT_OWNER.length + 1) : id;
}

/** The codename or component that people call so. */
export function calledSo<T extends { readonly id: string }>(all: readonly T[], name: string): T | undefined {
  return all.find(({ id }) => id === name) ?? all.find(({ id }) => id === `${PRODUCT_OWNER}/${name}`);
}

/** First part of the product's own public paths; customers have their own. */
export const PRODUCT_PREFIX = 'mos-repos';

/** Undefined for what is no codename. */
export function parseCodename(name: string): Codename | undefined {
  const match = /^mos(\d{1,4}(?:\.\d{1,4}){1,2})-([a-z]+)([1-9]\d{0,2})(-fuel)?$/.exec(name);
  if (match === null || !isDistribution(match[2] as string)) return undefined;
  const [, release, distribution, version, variant] = match as unknown as [string, string, string, string, string | undefined];
  return { release, distribution, version, ...(variant === undefined ? {} : { variant: 'fuel' }) };
}

export function isDistribution(name: string): boolean {
  return (DISTRIBUTIONS as readonly string[]).includes(name);
}

export function isComponent(name: string): boolean {
  return id(name) === undefined;
}

export function isTree(name: string): boolean {
  return name === SOURCE || architecture(name) === undefined;
}

/** Where a tree's packages lie. */
export function packagesFolder(tree: string): string {
  return tree === SOURCE ? 'SPackages' : 'Packages';
}

/** Name of a component's public key file. */
export function keyFileName(release: string): string {
  return `RPM-GPG-KEY-mos${release}`;
}

/** Where a codename publishes the snapshots of its components, by time: no component is called so. */
export const SNAPSHOTS = 'snapshots';

/** What a name in `<codename>/snapshots/` says; undefined for any other. */
export function parseSnapshot(
  name: string,
):
  | { readonly component: string; readonly is: 'snapshot'; readonly time: string }
  | { readonly component: string; readonly is: 'latest' | 'target' }
  | undefined {
  const [, component, ending] = /^(.+?)-(\d{4}-\d\d-\d\d-\d{6}|latest|latest\.target\.txt)$/.exec(name) ?? [];
  if (component === undefined || ending === undefined || !isComponent(component)) return undefined;
  if (ending === 'latest') return { component, is: 'latest' };
  return ending === 'latest.target.txt' ? { component, is: 'target' } : { component, is: 'snapshot', time: ending };
}
