/** What `mirrorctl lint` prints for people. */
import { LINT_RULES } from '../desired-state/lint-rules';
import type { Finding, LintOutcome } from './lint';
import { shortened } from './lines';

/** Of one kind so many are shown: they have one remedy. */
const SHOWN = 10;

/** Findings by kind, errors first, each kind with its remedy once, and a summary. */
export function lintLines({ where, level, deep, trees, packages, errors, warnings, findings }: LintOutcome): readonly string[] {
  const kinds = new Map<string, Finding[]>();
  for (const finding of findings) kinds.set(finding.code, [...(kinds.get(finding.code) ?? []), finding]);
  const sorted = [...kinds.values()].sort(([a], [b]) => rank(a as Finding) - rank(b as Finding));
  const lines = sorted.flatMap((same) => {
    const { severity, code, remedy } = same[0] as Finding;
    const places = same.map(({ path, message }) => `  ${printable(path)}: ${printable(message)}`);
    return [`${severity} ${code}: ${LINT_RULES[code].what}`, ...shortened(places, SHOWN), `  → ${remedy}`];
  });
  const looked = `${count(trees, 'tree')}, ${count(packages, 'package')}${deep ? ', every byte' : ''}`;
  return [
    ...lines,
    `${where}: ${level === undefined ? '' : `a ${level}, `}${looked}; ${count(errors, 'error')}, ${count(warnings, 'warning')}`,
  ];
}

/** Everything that can be found. */
export function ruleLines(): readonly string[] {
  return Object.entries(LINT_RULES).flatMap(([code, { severity, what, remedy }]) => [`${severity} ${code}: ${what}`, `  → ${remedy}`]);
}

function rank({ severity }: Finding): number {
  return severity === 'error' ? 0 : 1;
}

function count(number: number, word: string): string {
  return `${number} ${number === 1 ? word : `${word}s`}`;
}

/** Names and messages hold what others wrote: it is not for the terminal to obey. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, '?');
}
