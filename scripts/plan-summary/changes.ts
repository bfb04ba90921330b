/** What changes on the server, thing by thing: by what the server says it has, and by Terraform's state where it did not say. Pure. */
import { parse } from 'yaml';
import type { Planned, Triggers } from './terraform-plan';

export interface Change {
  /** `customer/acme`. */
  readonly element: string;
  /** `customer`. */
  readonly kind: string;
  /** `acme`. */
  readonly id: string;
  readonly action: 'add' | 'change' | 'remove';
  /** Its texts as the server has them; undefined where neither the server nor the state tells. */
  readonly before: Triggers | undefined;
  readonly after: Triggers | undefined;
}

/** What the server lacks, has otherwise, or has too much. `exact`: nothing else differs, whatever the state says. */
export interface Pending {
  readonly exact: boolean;
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** The changes, in the order of the plan. */
export function changesOf(planned: readonly Planned[], pending: Pending): Change[] {
  const things = planned.filter((one) => one.element !== 'activation');
  const known = new Set(things.map((one) => one.element));
  const gone = pending.removed.filter((element) => !known.has(element)).map((element) => change(element, 'remove', undefined, undefined));
  return [
    ...things.flatMap((one) => {
      const action = actionOf(one, pending);
      return action === undefined
        ? []
        : [change(one.element, action, textsBefore(one, action), action === 'remove' ? undefined : one.after)];
    }),
    ...gone,
  ];
}

function actionOf(one: Planned, pending: Pending): Change['action'] | undefined {
  if (pending.added.includes(one.element)) return 'add';
  if (pending.changed.includes(one.element)) return 'change';
  if (pending.removed.includes(one.element)) return 'remove';
  // Packages are no file of the element: only the state knows which were asked for.
  const packagesOnly = one.action === 'change' && one.before?.['packages'] !== one.after?.['packages'];
  if (pending.exact && !packagesOnly) return undefined;
  return one.action === 'keep' ? undefined : one.action;
}

/** The state has the texts of the server only where it was not ahead of it, as it is after a failed apply. */
function textsBefore(one: Planned, action: Change['action']): Triggers | undefined {
  if (action === 'add') return undefined;
  if (action === 'remove') return one.before;
  return one.action === 'change' ? one.before : undefined;
}

function change(element: string, action: Change['action'], before: Triggers | undefined, after: Triggers | undefined): Change {
  const slash = element.indexOf('/');
  return { element, kind: element.slice(0, slash), id: element.slice(slash + 1), action, before, after };
}

/** A definition's fields; none when there is no definition. */
export function fieldsOf(triggers: Triggers | undefined): Readonly<Record<string, unknown>> {
  try {
    const fields: unknown = parse(triggers?.['definition'] ?? '');
    return fields !== null && typeof fields === 'object' ? (fields as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

export function textField(triggers: Triggers | undefined, name: string): string {
  const value = fieldsOf(triggers)[name];
  return typeof value === 'string' ? value : '';
}

export function listField(triggers: Triggers | undefined, name: string): string[] {
  const value = fieldsOf(triggers)[name];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

/** The lines of a trigger that has one thing a line. */
export function linesOf(triggers: Triggers | undefined, name: string): string[] {
  return (triggers?.[name] ?? '').split('\n').filter((line) => line !== '');
}

/** Names of the definition's fields, and of other texts, that differ. */
export function differing(one: Change): string[] {
  const [before, after] = [fieldsOf(one.before), fieldsOf(one.after)];
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  );
  const texts = [...new Set([...Object.keys(one.before ?? {}), ...Object.keys(one.after ?? {})])].filter(
    (name) => name !== 'definition' && name !== 'element' && one.before?.[name] !== one.after?.[name],
  );
  return [...fields, ...texts];
}

/** What is in the second list and not in the first. */
export function besides(first: readonly string[], second: readonly string[]): string[] {
  return second.filter((item) => !first.includes(item));
}

export function plural(count: number, word: string): string {
  return `${count} ${count === 1 ? word : word.endsWith('y') ? `${word.slice(0, -1)}ies` : `${word}s`}`;
}

/** The first few, and how many more there are. */
export function listed(items: readonly string[], most = 8, separator = ', '): string {
  return items.length <= most ? items.join(separator) : `${items.slice(0, most).join(separator)} and ${items.length - most} more`;
}

export const UNPUBLISHED = 'unpublished at once, its content stays on the server';
/** A change whose former text is unknown: the state was ahead of the server, or did not know it. */
export const UNKNOWN_BEFORE = 'to what main.ts declares (this state does not tell what the server has)';
