/** Pure: what repositories offer of the packages that are asked for. */
import { byDistance, nearest } from '../../desired-state/nearest';
import type { Nevra } from '../../rpm-metadata/nevra';
import { compareEvr } from '../../rpm-metadata/version';
import type { AskedPackage } from '../../starlingx/asked';
import type { OtherVersion } from './types';

interface Offer extends Nevra {
  readonly repository: string;
}

/** Most versions and names that an answer has. */
const MOST = 5;

/** Keeps of all lists only the packages of names that somebody asks for, and every name. */
export class Offers {
  private readonly wanted: ReadonlySet<string>;
  private readonly byName = new Map<string, Offer[]>();
  private readonly names = new Set<string>();

  constructor(asked: readonly AskedPackage[]) {
    this.wanted = new Set(asked.map(({ name }) => name));
  }

  add(repository: string, packages: readonly Nevra[]): void {
    for (const { name, epoch, version, release, arch } of packages) {
      this.names.add(name);
      if (!this.wanted.has(name)) continue;
      const offers = this.byName.get(name) ?? [];
      offers.push({ name, epoch, version, release, arch, repository });
      this.byName.set(name, offers);
    }
  }

  /** Repositories that have exactly this package; its file name says no epoch, so any will do. */
  having(asked: AskedPackage): readonly string[] {
    const offers = this.byName.get(asked.name) ?? [];
    const same = offers.filter((o) => o.version === asked.version && o.release === asked.release && o.arch === archOf(asked));
    return [...new Set(same.map(({ repository }) => repository))];
  }

  /** Other packages of its name, for its architecture first, newest first; each once. */
  versions(asked: AskedPackage): readonly OtherVersion[] {
    const offers = [...(this.byName.get(asked.name) ?? [])].sort(
      (a, b) => Number(b.arch === archOf(asked)) - Number(a.arch === archOf(asked)) || compareEvr(b, a),
    );
    const files = new Map<string, OtherVersion>();
    for (const offer of offers) {
      const file = `${offer.name}-${offer.version}-${offer.release}.${offer.arch}.rpm`;
      if (!files.has(file)) files.set(file, { file, repository: offer.repository });
    }
    return [...files.values()].slice(0, MOST);
  }

  /** Names that may have been meant, where there is no package of this one. */
  near({ name }: AskedPackage): readonly string[] {
    if (this.byName.has(name)) return [];
    const all = [...this.names];
    const best = nearest(name, all);
    const parts = all.filter((other) => other.startsWith(`${name}-`) || name.startsWith(`${other}-`));
    const close = byDistance(name, parts).map((one) => one.name);
    return [...new Set([...(best === undefined ? [] : [best]), ...close])].slice(0, MOST);
  }
}

function archOf({ arch }: AskedPackage): string {
  return arch === 'nosrc' ? 'src' : arch;
}
