/** `mirrorctl changes`: what publishes changed, for people. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { readChanges } from './change-records';
import type { ChangeRecord } from './changes';
import { type Definitions, hostedComponents } from './definitions';
import type { Layout } from './layout';
import { notDeclared } from './status';

export interface ChangesQuery {
  readonly ids: readonly string[];
  readonly since?: Date | undefined;
  /** Only publishes that fix CVEs. */
  readonly cves: boolean;
}

/** The records that were asked for, oldest first. Throws a MirrorError for an id that is not declared. */
export async function changesOf(
  layout: Layout,
  definitions: Definitions,
  query: ChangesQuery,
  warn: (line: string) => void,
): Promise<readonly ChangeRecord[]> {
  const declared = [...definitions.repositories, ...definitions.lists, ...hostedComponents(definitions)].map(({ id }) => id);
  const unknown = query.ids.find((id) => !declared.includes(id));
  if (unknown !== undefined)
    throw [...definitions.trees, ...definitions.downloads].some(({ id }) => id === unknown) ? noPackages(unknown) : notDeclared(unknown);
  const records: ChangeRecord[] = [];
  for (const id of declared)
    if (query.ids.length === 0 || query.ids.includes(id)) records.push(...(await readChanges(layout, id, query.since, warn)));
  return records
    .filter(({ cves }) => !query.cves || cves.length > 0)
    .sort((a, b) => (a.at === b.at ? (a.id < b.id ? -1 : 1) : a.at < b.at ? -1 : 1));
}

function noPackages(id: string): MirrorError {
  return new MirrorError({
    code: 'NO_PACKAGES',
    message: `${id} is no repository: it has no packages of which changes are recorded`,
    remedy: `mirrorctl status ${id} says what is published, and since when.`,
    exitCode: ExitCode.usage,
  });
}

/** Reads the value of `--since`: a day or a time in UTC. */
export function parseSince(text: string): Date {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?Z?)?$/.exec(text);
  const iso = match === null ? '' : `${match[1]}T${match[2] ?? '00:00'}${match[3] ?? ':00'}.000Z`;
  const date = new Date(iso);
  // The 30th of February is a day in March for Date.
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) {
    throw new MirrorError({
      code: 'USAGE',
      message: `--since ${JSON.stringify(text.slice(0, 60))} is no day and no time`,
      remedy: 'Write 2026-11-22 or 2026-11-22T03:10, in UTC.',
      exitCode: ExitCode.usage,
    });
  }
  return date;
}

const MAX_NAMED = 10;

/** One line for a publish: `2026-11-22 03:10 epel-7: 3 added, 2 updated, 0 removed; fixes CVE-2024-1234 (bind 9.11.4-26.el7)`. */
export function changeLine({ id, at, from, counts, cves, cvesUnknown }: ChangeRecord): string {
  const what =
    from === undefined
      ? `first publish, ${counts.added} packages`
      : `${counts.added} added, ${counts.updated} updated, ${counts.removed} removed`;
  const byName = new Map<string, string[]>();
  for (const { name, packages } of cves) byName.set(name, [...(byName.get(name) ?? []), ...packages]);
  const named = [...byName].slice(0, MAX_NAMED).map(([name, packages]) => `${name} (${shortened([...new Set(packages)])})`);
  const more = counts.cves - named.length;
  const fixes = named.length === 0 ? '' : `; fixes ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return `${timeText(at)} ${id}: ${what}${fixes}${cvesUnknown === undefined ? '' : `; CVEs are not known: ${cvesUnknown}`}`;
}

/** A line for each CVE name that a publish fixes. */
export function cveLines({ id, at, cves }: ChangeRecord): readonly string[] {
  return cves.map(
    ({ name, packages, advisory }) =>
      `${timeText(at)} ${id}: ${name} (${shortened(packages)})${advisory === undefined ? '' : `, ${advisory}`}`,
  );
}

function shortened([first, ...others]: readonly string[]): string {
  return `${first ?? ''}${others.length === 0 ? '' : ` and ${others.length} more`}`;
}

function timeText(at: string): string {
  return at.slice(0, 16).replace('T', ' ');
}
