import type { Filter } from '../desired-state/definitions';
import { isSource } from './package-lists';
import type { Nevra } from './nevra';
import { compareEvr } from './version';

/** Which packages of a list a filter takes, in the order of the list; what `isAsked` for is taken beside these. Without a filter, all. */
export function selectPackages<P extends Nevra>(
  list: readonly P[],
  filter: Filter | undefined,
  isAsked: (item: P) => boolean = () => false,
): readonly P[] {
  if (filter === undefined) return list;
  const matching = list.filter(matcher(filter));
  const taken = new Set(filter.newest === undefined ? matching : newest(matching, filter.newest));
  return list.filter((item) => taken.has(item) || isAsked(item));
}

/** What can be said of one package alone. */
function matcher(filter: Filter): (item: Nevra) => boolean {
  const include = globs(filter.include);
  const exclude = globs(filter.exclude);
  const architectures = filter.architectures === undefined ? undefined : new Set(filter.architectures);
  return (item) =>
    (include?.test(item.name) ?? true) &&
    exclude?.test(item.name) !== true &&
    (filter.debuginfo || !/-debug(info|source)$/.test(item.name)) &&
    (isSource(item) ? filter.sources : (architectures?.has(item.arch) ?? true));
}

/** A pattern for any of the globs; undefined without globs. */
function globs(list: readonly string[] | undefined): RegExp | undefined {
  if (list === undefined) return undefined;
  const one = (glob: string): string =>
    glob
      // Several stars are one, or a pattern of many would take for ever.
      .replace(/\*+/g, '*')
      .replace(/[.+^${}()|[\]\\/-]/g, '\\$&')
      .replaceAll('?', '.')
      .replaceAll('*', '.*');
  return new RegExp(`^(?:${list.map(one).join('|')})$`, 's');
}

/** The newest so many versions of each name and architecture. Several packages of one version count once. */
function newest<P extends Nevra>(list: readonly P[], count: number): readonly P[] {
  const groups = new Map<string, P[]>();
  for (const item of list) {
    const key = `${item.name}\0${item.arch}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  const dropped = new Set<P>();
  for (const group of groups.values()) {
    if (group.length <= count) continue;
    const sorted = [...group].sort((a, b) => compareEvr(b, a));
    let versions = 0;
    sorted.forEach((item, i) => {
      const before = sorted[i - 1];
      if (before === undefined || compareEvr(before, item) !== 0) versions++;
      if (versions > count) dropped.add(item);
    });
  }
  return dropped.size === 0 ? list : list.filter((item) => !dropped.has(item));
}
