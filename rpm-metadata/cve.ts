const NAME = /\bCVE[-\u2010-\u2015 ](\d{4})[-\u2010-\u2015](\d{4,7})(?!\d)/gi;

/** More in one text is nonsense: the largest kernel advisory names some hundreds. */
const MAX_NAMES = 5000;

/** The CVE names in a text, in its order. */
export function cvesIn(text: string): Set<string> {
  const names = new Set<string>();
  for (const [, year, number] of text.matchAll(NAME)) {
    names.add(`CVE-${year}-${number}`);
    if (names.size >= MAX_NAMES) break;
  }
  return names;
}
