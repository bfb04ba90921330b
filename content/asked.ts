import { readFileSync } from 'node:fs';
import { digestOf } from '../desired-state/canonical';
import type { ListsDefinition } from '../desired-state/definitions';
import { pinsOf } from '../desired-state/pin';
import type { Nevra } from '../rpm-metadata/nevra';
import { askedName, type AskedPackage, askedPackages } from '../starlingx/asked';
import { isAbsent, writeAtomically } from './files';
import type { Layout } from './layout';

/** A line of a list that asks for a package. */
export interface AskedLine {
  /** Id of the lists. */
  readonly id: string;
  readonly list: string;
  readonly line: number;
}

/** What all declared lists ask for, by name, version, release and architecture: the epoch is in no list, and any will do. */
export class Asked {
  /** Changes with what is asked for, and with nothing else. */
  readonly digest: string;

  private constructor(
    private readonly lines: ReadonlyMap<string, readonly AskedLine[]>,
    private readonly packages: ReadonlyMap<string, AskedPackage>,
  ) {
    this.digest = digestOf([...lines.keys()].sort());
  }

  static by(definitions: readonly ListsDefinition[]): Asked {
    const lines = new Map<string, AskedLine[]>();
    const packages = new Map<string, AskedPackage>();
    for (const { id, lists } of definitions) {
      for (const item of askedPackages(lists)) {
        packages.set(askedName(item), item);
        const known = lines.get(askedName(item));
        const line = { id, list: item.list, line: item.line };
        if (known === undefined) lines.set(askedName(item), [line]);
        else known.push(line);
      }
    }
    return new Asked(lines, packages);
  }

  /** What is asked for under a name, or a name and version as `rpm -q` prints it. */
  named(what: string): readonly AskedPackage[] {
    return [...this.packages.values()].filter((one) => one.name === what || pinsOf(new Set([what]), { ...one, epoch: '0' }).length > 0);
  }

  /** Those that ask for this package: one of each lists, by id. */
  of(item: Omit<Nevra, 'epoch'>): readonly AskedLine[] {
    return this.lines.size === 0 ? [] : (this.lines.get(askedName(item)) ?? []);
  }
}

/** As a clause: what asks for it; undefined where nothing does. */
export function askedClause(lines: readonly AskedLine[]): string | undefined {
  if (lines.length === 0) return undefined;
  return lines.map(({ id, list, line }) => `line ${line} of ${list} (${id}) asks for it`).join('; ');
}

/** What lists asked for when a filtered repository last looked at all that its upstream has: the digest of that. Nothing, as long as they asked for nothing. */
export function readLookedFor(layout: Layout, id: string): string {
  try {
    return readFileSync(layout.lookedFor(id), 'utf8');
  } catch (error) {
    if (isAbsent(error)) return Asked.by([]).digest;
    throw error;
  }
}

/** Only for the holder of the repository's lock. */
export async function writeLookedFor(layout: Layout, id: string, digest: string): Promise<void> {
  if (readLookedFor(layout, id) !== digest) await writeAtomically(layout.lookedFor(id), digest);
}
