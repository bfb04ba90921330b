import { Token } from 'cdktf';
import type { IConstruct } from 'constructs';
import { nearest } from '../../desired-state/nearest';
import type { Problem } from '../../desired-state/validate';

/** What a construct throws for a prop that cannot be: where, the value, what is allowed, and the fix. */
export class InvalidPropError extends Error {
  override readonly name = 'InvalidPropError';
}

/**
 * Validates one prop at once, so that the stack trace points at the caller's line.
 *
 * @param where the construct, or the name of a value object such as `SyncSchedule.daily`
 */
export function check(where: IConstruct | string, prop: string, value: unknown, validator: (value: unknown) => Problem | undefined): void {
  if (Token.isUnresolved(value)) {
    throw invalid(where, prop, '(an unresolved cdktf token)', {
      allowed: 'the value must be known at synthesis, since it is rendered into files that a reviewer reads',
      fix: 'Use a literal, or an environment variable read in main.ts.',
    });
  }
  const problem = validator(value);
  if (problem) throw invalid(where, prop, show(value), problem);
}

/** Validates a list: at least one value, each once, each good. */
export function checkList<T>(
  where: IConstruct | string,
  prop: string,
  values: readonly T[],
  one: string,
  validator: (value: unknown) => Problem | undefined,
  fix: string,
): void {
  if (!Array.isArray(values) || values.length === 0) throw invalid(where, prop, show(values), { allowed: `at least one ${one}`, fix });
  values.forEach((value: unknown, index) => {
    check(where, `${prop}[${index}]`, value, validator);
  });
  const twice = values.findIndex((value, index) => values.indexOf(value) !== index);
  if (twice >= 0)
    throw invalid(where, `${prop}[${twice}]`, show(values[twice]), { allowed: `each ${one} once`, fix: 'Remove the second one.' });
}

/**
 * Validates what a construct was given as its props: an object, of known props only. Synthesis checks no types, so that a misspelt optional
 * prop would be ignored in silence.
 *
 * @param known every prop; the type keeps the list complete
 * @param name what the object is called in `where`: its `props`, or one of them
 */
export function checkProps<P extends object>(
  where: IConstruct | string,
  props: P,
  known: Readonly<Record<keyof NoInfer<P>, true>>,
  name = 'props',
): void {
  const names = Object.keys(known);
  const list = names.join(', ');
  if (typeof (props as unknown) !== 'object' || (props as unknown) === null || Array.isArray(props))
    throw invalid(where, name, show(props), { allowed: `an object with ${list}`, fix: 'Write { … }.' });
  const unknown = Object.keys(props).find((prop) => !Object.hasOwn(known, prop));
  if (unknown === undefined) return;
  const meant = nearest(unknown, names);
  throw invalid(where, name === 'props' ? 'prop' : `${name}, prop`, JSON.stringify(unknown), {
    allowed: `there is no such prop; there are ${list}`,
    fix: meant === undefined ? 'Remove it.' : `Did you mean ${meant}?`,
  });
}

/** Validates that a value was made by one of our classes; `shown` hides a value that may be secret. */
export function checkMade(
  where: IConstruct | string,
  prop: string,
  value: unknown,
  made: boolean,
  problem: Problem,
  shown: string = show(value),
): void {
  if (!made) throw invalid(where, prop, shown, problem);
}

export function invalid(where: IConstruct | string, prop: string, value: string, problem: Problem): InvalidPropError {
  const path = typeof where === 'string' ? where : where.node.path;
  return new InvalidPropError(`${path}: ${prop} ${value}: ${problem.allowed}. ${problem.fix}`);
}

/** A value as an operator can recognise it: escaped, and cut when it is long. */
export function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : asJson(value);
  const visible = text.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return visible.length > 120 ? `${visible.slice(0, 117)}…` : visible;
}

/** Constructs hold each other, and are no JSON. */
function asJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return `(a ${(value as object).constructor?.name ?? 'value'})`;
  }
}
