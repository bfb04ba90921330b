import { compareElements } from './manifest';

/** How many deviations a text names: it becomes an environment variable and a line of a plan. */
const NAMED_AT_MOST = 20;

/** What an observation found, before it is put into words. */
export interface DriftFacts {
  readonly generation: number;
  /** Owner of the generation, and who asks. */
  readonly owner: string;
  readonly askedBy: string;
  /** `<path or unit> <what is wrong>`, in any order. */
  readonly deviations: readonly string[];
  /** Element digests of the generation, and as declared. */
  readonly actual: Readonly<Record<string, string>>;
  readonly declared: Readonly<Record<string, string>>;
}

/** The text of a drift: deterministic, sorted, without a time. Undefined when the server is intact and nothing is pending. Pure. */
export function driftText(facts: DriftFacts): string | undefined {
  const parts: string[] = [];
  if (facts.owner !== facts.askedBy) parts.push(`deployed by ${facts.owner}, not by ${facts.askedBy}`);
  parts.push(...limited([...new Set(facts.deviations)].sort()));
  const { added, changed, removed } = compareElements(facts.actual, facts.declared);
  const pending = [...added.map((id) => `+ ${id}`), ...changed.map((id) => `~ ${id}`), ...removed.map((id) => `- ${id}`)];
  if (pending.length > 0) parts.push(`pending: ${limited(pending).join(', ')}`);
  return parts.length === 0 ? undefined : `generation ${facts.generation}: ${parts.join('; ')}`;
}

/** The first few, and how many more there are. */
function limited(items: readonly string[]): string[] {
  if (items.length <= NAMED_AT_MOST) return [...items];
  return [...items.slice(0, NAMED_AT_MOST), `and ${items.length - NAMED_AT_MOST} more`];
}

/** Compares digests by name: what is missing, modified, or there without being declared. `label` makes the path. Pure. */
export function compareDigests(
  wanted: Readonly<Record<string, string>>,
  found: Readonly<Record<string, string>>,
  label: (name: string) => string,
  options: { readonly unexpected: boolean },
): string[] {
  const deviations: string[] = [];
  for (const [name, digest] of Object.entries(wanted)) {
    if (found[name] === undefined) deviations.push(`${label(name)} missing`);
    else if (found[name] !== digest) deviations.push(`${label(name)} modified`);
  }
  if (options.unexpected) {
    for (const name of Object.keys(found)) if (wanted[name] === undefined) deviations.push(`${label(name)} unexpected`);
  }
  return deviations;
}
