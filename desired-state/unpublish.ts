/** The rule that a deploy may not empty a mirror by accident: applied by the server, foretold by a plan. Pure. */

/** Ids of elements of which something public goes away, sorted. What moves to another element stays public. */
export function unpublished(published: Readonly<Record<string, readonly string[]>>, publicAfter: Iterable<string>): string[] {
  const after = new Set(publicAfter);
  return Object.entries(published)
    .filter(([, paths]) => paths.some((path) => !after.has(path)))
    .map(([id]) => id)
    .sort();
}

/** Whether so much goes that it needs a waiver which is not there: more than half, and not each of them waived. */
export function needsWaiver(going: readonly string[], publishedCount: number, waived: readonly string[]): boolean {
  return going.length * 2 > publishedCount && !going.every((id) => waived.includes(id));
}

const NAMED_AT_MOST = 8;

/** What goes, and the words for main.ts that make it meant. */
export function describeUnpublished(
  going: readonly string[],
  publishedCount: number,
  waived: readonly string[],
): { readonly what: string; readonly waiver: string } {
  const unwaived = going.filter((id) => !waived.includes(id));
  const named = unwaived.slice(0, NAMED_AT_MOST).join(', ');
  const list = unwaived.length > NAMED_AT_MOST ? `${named} and ${unwaived.length - NAMED_AT_MOST} more` : named;
  return {
    what: `unpublish ${going.length} of ${publishedCount} repositories and codenames (${list})`,
    waiver: `waivers: [Waiver.unpublish({ elements: [${going.map((id) => `'${id}'`).join(', ')}], reason: '…' })]`,
  };
}
