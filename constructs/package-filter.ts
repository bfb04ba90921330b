import type { IConstruct } from 'constructs';
import type { Filter } from '../desired-state/definitions';
import { flag } from '../desired-state/validate';
import { filterNewest, packageArchitecture, packageGlob } from '../desired-state/validate-sync';
import { check, checkList, checkProps, invalid } from './private/check';

/**
 * Which of upstream's packages an accumulated repository takes from the next sync on; what it took before stays. A package must pass every
 * line of it. Advisories, groups and modules stay whole, whatever they name.
 */
export interface PackageFilter {
  /** Globs of package names (`*` and `?`), of source packages too. @default every name */
  readonly include?: readonly string[];
  /** Names that are left out, even of those included. @default none */
  readonly exclude?: readonly string[];
  /** Of binary packages. `noarch` is one of them: leave it out, and packages for every architecture are not taken. @default all */
  readonly architectures?: readonly string[];
  /** The newest so many versions of each name and architecture. @default every version that upstream lists */
  readonly newest?: number;
  /** Source packages. @default true: whatever upstream lists */
  readonly sources?: boolean;
  /** `*-debuginfo` and `*-debugsource`. @default true: whatever upstream lists */
  readonly debuginfo?: boolean;
}

/** Validates the prop `filter`. Returns it with its defaults; undefined where nothing is left out. */
export function filterOf(where: IConstruct, filter: PackageFilter | undefined): Filter | undefined {
  if (filter === undefined) return undefined;
  checkProps(where, filter, { include: true, exclude: true, architectures: true, newest: true, sources: true, debuginfo: true }, 'filter');
  const { include, exclude, architectures, newest, sources = true, debuginfo = true } = filter;
  if (include !== undefined) checkList(where, 'filter.include', include, 'glob', packageGlob, 'Leave it out for every name.');
  if (exclude !== undefined) checkList(where, 'filter.exclude', exclude, 'glob', packageGlob, 'Leave it out to exclude nothing.');
  if (architectures !== undefined)
    checkList(where, 'filter.architectures', architectures, 'architecture', packageArchitecture, 'Leave it out for all.');
  if (newest !== undefined) check(where, 'filter.newest', newest, filterNewest);
  check(where, 'filter.sources', sources, flag);
  check(where, 'filter.debuginfo', debuginfo, flag);
  const nothing = (exclude ?? []).findIndex((glob) => /^\*+$/.test(glob) || include?.includes(glob) === true);
  if (nothing >= 0)
    throw invalid(where, `filter.exclude[${nothing}]`, JSON.stringify(exclude?.[nothing]), {
      allowed: 'what it leaves out is all that there is, or what filter.include names',
      fix: 'Remove one of the two.',
    });
  const takesAll = [include, exclude, architectures, newest].every((part) => part === undefined) && sources && debuginfo;
  if (takesAll) return undefined;
  return {
    ...(include === undefined ? {} : { include: [...include] }),
    ...(exclude === undefined ? {} : { exclude: [...exclude] }),
    ...(architectures === undefined ? {} : { architectures: [...architectures] }),
    ...(newest === undefined ? {} : { newest }),
    sources,
    debuginfo,
  };
}
