/** Which CVE names a publish fixes: by advisories, or where upstream has none, by changelogs. */
import { createHash } from 'node:crypto';
import { type Advisory, type AdvisoryNevra, readAdvisories } from '../rpm-metadata/advisory';
import { changelogCves } from '../rpm-metadata/changelogs';
import { cvesIn } from '../rpm-metadata/cve';
import type { MetadataSource } from '../rpm-metadata/elements';
import { nevra } from '../rpm-metadata/nevra';
import { type Changes, evr, type PackageVersion } from './changes';

export interface CveFix {
  readonly name: string;
  /** `bind 9.11.4-26.P2.el7_9.16`: what is published now and fixes it, each once whatever its architectures. The shortest name first. */
  readonly packages: string[];
  readonly advisory?: string;
}

/** A published tree as far as CVE names matter. */
export interface Published {
  readonly packages: readonly PackageVersion[];
  readonly updateinfo: readonly MetadataSource[];
  /** Of each tree. */
  readonly other: readonly MetadataSource[];
}

/**
 * The CVE names that this publish fixes and the one before did not, by name. Nothing for a first publish: what it has was not changed.
 *
 * With updateinfo: a name counts when an advisory names it (anywhere but in its list of packages) and one of the advisory's packages is
 * published, and that was not yet so before. Without: when it is in the changelog of a package that updates another one, and not in the
 * changelog of that one. A package that updates none counts for nothing, since its changelog tells of times before it came here.
 *
 * Memory grows with what changed, and with the number of advisories. Throws a MirrorError for metadata that cannot be read.
 */
export async function cvesOf(
  before: Published | undefined,
  after: Published,
  changes: Changes<PackageVersion>,
): Promise<readonly CveFix[]> {
  if (before === undefined) return [];
  const fixes = after.updateinfo.length > 0 ? await fromAdvisories(before, after, changes) : await fromChangelogs(before, after, changes);
  return fixes.sort((a, b) => byName(sortKey(a.name), sortKey(b.name)) || byName(a.advisory ?? '', b.advisory ?? ''));
}

/** What an advisory says. */
interface Statement {
  readonly cves: ReadonlySet<string>;
  /** NEVRA → name and version. */
  readonly packages: ReadonlyMap<string, string>;
}

function statementOf(advisory: Advisory): Statement {
  return { cves: cvesIn(prose(advisory)), packages: new Map(nevrasOf(advisory).map((item) => [nevra(item), `${item.name} ${evr(item)}`])) };
}

function nevrasOf({ packages }: Advisory): AdvisoryNevra[] {
  return packages.flatMap((item) => (item.nevra === undefined ? [] : [item.nevra]));
}

/** The text of an advisory without its packages. */
function prose({ text, packages }: Advisory): string {
  let result = '';
  let from = 0;
  for (const { start, end } of packages) {
    result += text.slice(from, start);
    from = end;
  }
  return result + text.slice(from);
}

/** Equal for two editions that say the same of CVE names and packages, however they are worded. */
function digest({ cves, packages }: Statement): string {
  return createHash('sha256')
    .update(JSON.stringify([[...cves].sort(), [...packages.keys()].sort()]))
    .digest()
    .toString('latin1', 0, 16);
}

async function* advisories(sources: readonly MetadataSource[]): AsyncGenerator<Advisory> {
  for (const source of sources) for await (const item of readAdvisories(source)) if (!('other' in item)) yield item;
}

/** An advisory that may fix something now: new, changed, or with packages that came. */
interface Candidate {
  readonly digests: Set<string>;
  readonly withNewPackages: boolean;
  /** What the former edition says. */
  former: Statement | undefined;
}

async function fromAdvisories(before: Published, after: Published, changes: Changes<PackageVersion>): Promise<CveFix[]> {
  const candidates = await candidatesOf(before, after, changes);
  if (candidates.size === 0) return [];
  const statements: [id: string, Statement][] = [];
  for await (const advisory of advisories(after.updateinfo))
    if (candidates.has(advisory.id)) statements.push([advisory.id, statementOf(advisory)]);
  const wanted = new Set(statements.flatMap(([, { packages }]) => [...packages.keys()]));
  const hereNow = present(after.packages, wanted);
  const hereBefore = present(before.packages, wanted);
  const fixes = new Map<string, { readonly name: string; readonly advisory: string; readonly packages: Set<string> }>();
  for (const [id, { cves, packages }] of statements) {
    const former = candidates.get(id)?.former;
    for (const name of cves) {
      // Where upstream had no advisories before, what was here already is no news.
      const wasKnown = (key: string): boolean =>
        before.updateinfo.length === 0 || (former?.cves.has(name) === true && former.packages.has(key));
      const news = [...packages].filter(([key]) => hereNow.has(key) && !(wasKnown(key) && hereBefore.has(key)));
      if (news.length === 0) continue;
      const fix = fixes.get(`${name} ${id}`) ?? { name, advisory: id, packages: new Set() };
      for (const [, text] of news) fix.packages.add(text);
      fixes.set(`${name} ${id}`, fix);
    }
  }
  return [...fixes.values()].map((fix) => ({ ...fix, packages: shortestFirst(fix.packages) }));
}

async function candidatesOf(
  before: Published,
  after: Published,
  changes: Changes<PackageVersion>,
): Promise<ReadonlyMap<string, Candidate>> {
  const came = new Set([...changes.added, ...changes.updated.map((update) => update.after)].map(nevra));
  const candidates = new Map<string, Candidate>();
  for await (const advisory of advisories(after.updateinfo)) {
    const statement = statementOf(advisory);
    if (statement.cves.size === 0) continue;
    const withNewPackages = [...statement.packages.keys()].some((key) => came.has(key));
    const known = candidates.get(advisory.id);
    candidates.set(Buffer.from(advisory.id).toString(), {
      digests: new Set([...(known?.digests ?? []), digest(statement)]),
      withNewPackages: withNewPackages || known?.withNewPackages === true,
      former: undefined,
    });
  }
  for await (const advisory of advisories(before.updateinfo)) {
    const candidate = candidates.get(advisory.id);
    if (candidate === undefined) continue;
    const statement = statementOf(advisory);
    if (candidate.digests.has(digest(statement)) && !candidate.withNewPackages) candidates.delete(advisory.id);
    else candidate.former = candidate.former === undefined ? statement : united(candidate.former, statement);
  }
  return candidates;
}

function united(a: Statement, b: Statement): Statement {
  return { cves: new Set([...a.cves, ...b.cves]), packages: new Map([...a.packages, ...b.packages]) };
}

function present(packages: Iterable<PackageVersion>, wanted: ReadonlySet<string>): ReadonlySet<string> {
  const found = new Set<string>();
  for (const item of packages) {
    const key = nevra(item);
    if (wanted.has(key)) found.add(key);
  }
  return found;
}

async function fromChangelogs(before: Published, after: Published, { updated }: Changes<PackageVersion>): Promise<CveFix[]> {
  const now = await cvesInChangelogs(after.other, new Set(updated.map((update) => update.after.checksum.hex)));
  if ([...now.values()].every((names) => names.size === 0)) return [];
  const old = await cvesInChangelogs(before.other, new Set(updated.map((update) => update.before.checksum.hex)));
  const fixes = new Map<string, Set<string>>();
  for (const update of updated) {
    const known = old.get(update.before.checksum.hex);
    // Without the changelog of the predecessor nobody knows what is new.
    if (known === undefined) continue;
    for (const name of now.get(update.after.checksum.hex) ?? []) {
      if (known.has(name)) continue;
      const packages = fixes.get(name) ?? new Set();
      fixes.set(name, packages.add(`${update.after.name} ${evr(update.after)}`));
    }
  }
  return [...fixes].map(([name, packages]) => ({ name, packages: shortestFirst(packages) }));
}

async function cvesInChangelogs(
  sources: readonly MetadataSource[],
  pkgids: ReadonlySet<string>,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = new Map<string, ReadonlySet<string>>();
  if (pkgids.size === 0) return found;
  for (const source of sources) for (const [pkgid, names] of await changelogCves(source, pkgids)) found.set(pkgid, names);
  return found;
}

/** `bind` before `bind-libs`: what people know a fix by. */
function shortestFirst(packages: Iterable<string>): string[] {
  const nameLength = (text: string): number => text.indexOf(' ');
  return [...packages].sort((a, b) => nameLength(a) - nameLength(b) || byName(a, b));
}

/** CVE-2024-9999 before CVE-2024-10000. */
function sortKey(name: string): string {
  return name.replace(/\d+$/, (digits) => digits.padStart(8, '0'));
}

function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
