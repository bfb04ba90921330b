/** Which content a rule no longer keeps, and what keeps the rest: on lists and names, pure. */
import { pinsOf } from '../desired-state/pin';
import { nevra } from '../rpm-metadata/nevra';
import type { ListedPackage } from '../rpm-metadata/primary';
import { compareEvr } from '../rpm-metadata/version';
import type { Dropped } from './dropped';
import { days, type Policy, type Rules } from './retention-policy';
import { timeOf } from './snapshot';

/** `goes`: no rule keeps it. The text is a clause: what keeps it, or why it goes. */
export interface Verdict {
  readonly goes: boolean;
  readonly why: string;
  /** When the term ends that keeps it (ISO); absent where something else keeps it, or nothing. */
  readonly until?: string;
}

const keeps = (why: string, until?: string): Verdict => ({ goes: false, why, ...(until === undefined ? {} : { until }) });
const LEFT_OUT = 'upstream has it, and the filter, which leaves it out, takes away nothing that is here';
const goes = (why: string): Verdict => ({ goes: true, why });

/** How far the term of something is: from an event, or from when it was had back, which gives it the grace at least. */
function termOf(
  event: string,
  rule: number,
  restored: string | undefined,
  policy: Policy,
  now: Date,
): { readonly day: string; readonly ago: string; readonly term: string; readonly ends: string; readonly isOver: boolean } {
  const from = Math.max(Date.parse(event), restored === undefined ? -Infinity : Date.parse(restored));
  const term = Math.max(rule, restored === undefined ? 0 : policy.grace);
  const age = now.getTime() - from;
  const ends = new Date(from + term).toISOString();
  return { day: new Date(from).toISOString().slice(0, 10), ago: days(Math.max(0, age)), term: days(term), ends, isOver: age >= term };
}

export interface PackageFacts {
  readonly packages: readonly ListedPackage[];
  /** Undefined where it is not known: then nothing goes. */
  readonly dropped: Dropped | undefined;
  readonly pins: ReadonlySet<string>;
  /** Which lists ask for a package, as a clause; undefined where none does. */
  readonly asked: (item: ListedPackage) => string | undefined;
  /** What the repository's filter would not take, were it new. */
  readonly leftOut: (item: ListedPackage) => boolean;
  /** Who lists what is not dropped: `upstream`, or `the lists`. */
  readonly source: 'upstream' | 'the lists';
  readonly rules: Rules;
  readonly policy: Policy;
  /** When it was had back from a purge (ISO); undefined where it never was. */
  readonly restored: (item: ListedPackage) => string | undefined;
  readonly now: Date;
}

/** Judges packages of an accumulated repository. */
export class PackageRules {
  /** Versions by name and architecture, of those names of which something was dropped; made when it is asked for. */
  private versions: Map<string, ListedPackage[]> | undefined;

  constructor(private readonly facts: PackageFacts) {}

  /** Those that no rule keeps, with why. */
  candidates(): readonly { readonly item: ListedPackage; readonly why: string }[] {
    const { packages, dropped, rules } = this.facts;
    if (dropped === undefined || dropped.size === 0) return [];
    if (rules.newestVersions === undefined && rules.dropped === undefined) return [];
    return packages.flatMap((item) => {
      if (!dropped.has(item.path)) return [];
      const { goes: going, why } = this.verdict(item);
      return going ? [{ item, why }] : [];
    });
  }

  verdict(item: ListedPackage): Verdict {
    const { dropped, rules, pins, policy, now, source } = this.facts;
    const since = dropped?.get(item.path);
    const asked = this.facts.asked(item);
    if (source === 'the lists' && asked !== undefined) return keeps(asked);
    if (dropped === undefined) return keeps(`it is not known since when ${source} ${source === 'upstream' ? 'has' : 'name'} it no more`);
    if (since === undefined && this.facts.leftOut(item)) return keeps(asked ?? LEFT_OUT);
    if (since === undefined) return keeps(source === 'upstream' ? 'upstream has it' : 'the lists asked for it at the last sync');
    if (asked !== undefined) return keeps(asked);
    const [pin] = pinsOf(pins, item);
    if (pin !== undefined) return keeps(`the pin ${pin} names it`);
    if (rules.newestVersions === undefined && rules.dropped === undefined) return keeps('no rule ends the term of packages');
    const restored = this.facts.restored(item);
    const { day, ago, term, ends, isOver } = termOf(since, rules.dropped ?? 0, restored, policy, now);
    const event = restored === undefined ? `${source} dropped it` : 'it was had back';
    const when = `${event} on ${day}, ${ago} ago`;
    const newer = this.newerThan(item);
    const isAmongNewest = rules.newestVersions !== undefined && newer < rules.newestVersions;
    if (!isOver) return keeps(`${when}, and it stays for ${term}`, isAmongNewest ? undefined : ends);
    if (isAmongNewest) return keeps(`it is among the newest ${rules.newestVersions} versions`);
    return goes(
      rules.newestVersions === undefined ? when : `${when}, and ${newer} newer ${newer === 1 ? 'version is' : 'versions are'} here`,
    );
  }

  /** How many newer versions of the same name and architecture there are. */
  private newerThan(item: ListedPackage): number {
    if (this.versions === undefined) {
      const { packages, dropped } = this.facts;
      const names = new Set(packages.filter(({ path }) => dropped?.has(path)).map(({ name }) => name));
      this.versions = new Map();
      for (const one of packages) {
        if (!names.has(one.name)) continue;
        const key = `${one.name}.${one.arch}`;
        const list = this.versions.get(key);
        if (list === undefined) this.versions.set(key, [one]);
        else list.push(one);
      }
    }
    const others = this.versions.get(`${item.name}.${item.arch}`) ?? [];
    return new Set(others.filter((other) => compareEvr(other, item) > 0).map(nevra)).size;
  }
}

export interface SnapshotFacts {
  readonly current: string | undefined;
  /** All that are here. */
  readonly snapshots: readonly string[];
  /** Those that retention took before. */
  readonly gone: readonly string[];
  readonly rules: Rules;
  readonly policy: Policy;
  /** Releases that are made of a snapshot, or are going to be. */
  readonly releases: (snapshot: string) => readonly string[];
  /** Packages in quarantine of which it is the last to have them. */
  readonly holds: (snapshot: string) => readonly string[];
  readonly restored: (snapshot: string) => string | undefined;
  readonly now: Date;
}

/** Judges one snapshot of a copied repository or tree. Names begin with the time, so their order is that of publishing. */
export function snapshotVerdict(snapshot: string, facts: SnapshotFacts): Verdict {
  const { current, rules, policy, now } = facts;
  const protectedBy = whatHolds(snapshot, facts);
  if (protectedBy !== undefined) return keeps(protectedBy);
  const here = [...facts.snapshots].sort();
  if (here[here.indexOf(current as string) - 1] === snapshot) return keeps('it is the one before the published one, to go back to');
  const next = [...new Set([...here, ...facts.gone])].sort().find((name) => name > snapshot);
  const superseded = next === undefined ? undefined : timeOf(next);
  if (current === undefined || superseded === undefined) return keeps('nothing came after it');
  const restored = facts.restored(snapshot);
  const { day, ago, term, ends, isOver } = termOf(superseded, rules.snapshots, restored, policy, now);
  const when = `it was ${restored === undefined ? 'superseded' : 'had back'} on ${day}, ${ago} ago`;
  return isOver ? goes(when) : keeps(`${when}, and stays for ${term}`, ends);
}

/** What keeps a snapshot whatever its age is, and whoever wants it gone. */
export function whatHolds(
  snapshot: string,
  { current, releases, holds }: Pick<SnapshotFacts, 'current' | 'releases' | 'holds'>,
): string | undefined {
  const reasons = [
    ...(snapshot === current ? ['it is published'] : []),
    ...releases(snapshot).map((release) => `the release ${release} is made of it`),
    ...holds(snapshot).map((held) => `${held} is in quarantine, and it is the last to have it`),
  ];
  return reasons.length === 0 ? undefined : reasons.join('; ');
}
