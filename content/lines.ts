/** What commands print for people has in common. */

/** The first lines of a long list, and how many more there are. */
export function shortened(lines: readonly string[], most: number, indent = '  '): readonly string[] {
  return lines.length <= most ? lines : [...lines.slice(0, most), `${indent}and ${lines.length - most} more (--json names all)`];
}

/** The first of a list in a sentence, and how many more there are. */
export function someOf(items: readonly string[], most: number): string {
  const more = items.length - most;
  return more <= 0 ? items.join(', ') : `${items.slice(0, most).join(', ')} and ${more} more`;
}

/** Cells below one another, the first row the heading. */
export function tableLines(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  );
}

/** To a tenth. */
export function secondsBetween(started: Date, ended: Date): number {
  return Math.round((ended.getTime() - started.getTime()) / 100) / 10;
}
