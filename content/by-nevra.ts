import { nevra, type Nevra } from '../rpm-metadata/nevra';

/** Packages by NEVRA, of two with the same the later. Lists are long, and most packages are the only ones of their name: these need no key. */
export class ByNevra<P extends Nevra> {
  private readonly byName = new Map<string, P | Map<string, P>>();

  constructor(packages: readonly P[] = []) {
    for (const item of packages) this.set(item);
  }

  /** The one that has the same NEVRA. */
  get(item: Nevra): P | undefined {
    const found = this.byName.get(item.name);
    if (found instanceof Map) return found.get(nevra(item));
    return found !== undefined && isSame(found, item) ? found : undefined;
  }

  set(item: P): void {
    const found = this.byName.get(item.name);
    if (found instanceof Map) found.set(nevra(item), item);
    else if (found === undefined || isSame(found, item)) this.byName.set(item.name, item);
    else this.byName.set(item.name, new Map([found, item].map((one) => [nevra(one), one])));
  }

  delete(item: P): void {
    const found = this.byName.get(item.name);
    if (found instanceof Map) found.delete(nevra(item));
    else if (found !== undefined && isSame(found, item)) this.byName.delete(item.name);
  }
}

function isSame(a: Nevra, b: Nevra): boolean {
  return a.name === b.name && a.epoch === b.epoch && a.version === b.version && a.release === b.release && a.arch === b.arch;
}
