/** The name that is fewest edits away, where that is few enough to be a slip. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const [best] = byDistance(word, names).filter(({ name, edits }) => edits <= Math.max(2, name.length / 3) && edits <= name.length / 2);
  return best?.name;
}

/** All names, the one that is fewest edits away first. */
export function byDistance(word: string, names: readonly string[]): readonly { readonly name: string; readonly edits: number }[] {
  return names.map((name) => ({ name, edits: distance(word.toLowerCase(), name.toLowerCase()) })).sort((a, b) => a.edits - b.edits);
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  [...a].forEach((letter, i) => {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const kept = (row[j] as number) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(kept, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  });
  return row[b.length] as number;
}
