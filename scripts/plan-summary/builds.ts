/** Sentences about builds of StarlingX: where they are and how long they stay. Pure. */
import { besides, type Change, differing, fieldsOf, listField, UNKNOWN_BEFORE } from './changes';
import type { Triggers } from './terraform-plan';

export function buildSentences(changes: readonly Change[]): string[] {
  return changes.filter((one) => one.kind === 'builds').flatMap(sentences);
}

function sentences(one: Change): string[] {
  const { id, before, after } = one;
  const series = (side: Triggers | undefined): string => listField(side, 'series').join(', ');
  if (one.action === 'remove') return [`removes builds ${id}: ${series(before)} no longer public; the builds stay on the server`];
  if (one.action === 'add') return [`adds builds ${id}: ${series(after)}${terms(after)}`];
  if (before === undefined) return [`changes builds ${id} ${UNKNOWN_BEFORE}`];
  const [was, now] = [listField(before, 'series'), listField(after, 'series')];
  const names = differing(one);
  return [
    ...besides(was, now).map((name) => `builds ${id}: adds ${name}`),
    ...besides(now, was).map((name) => `builds ${id}: ${name} no longer public; its builds stay on the server`),
    ...(names.includes('retention') ? [`builds ${id}: they stay by other rules${terms(after)}`] : []),
    ...(names.includes('service') || names.includes('timer') ? [`changes how builds expire (builds ${id})`] : []),
  ];
}

const UNITS: Readonly<Record<string, (value: unknown) => string>> = {
  greenDays: (days) => `green ones ${String(days)} days`,
  yellowDays: (days) => `yellow ones ${String(days)} days`,
  otherDays: (days) => `others ${String(days)} days`,
  atLeast: (number) => `at least ${String(number)}`,
};

/** What is declared; the rest stays by the defaults. */
function terms(side: Triggers | undefined): string {
  const retention = (fieldsOf(side)['retention'] ?? {}) as Readonly<Record<string, unknown>>;
  const said = Object.entries(UNITS).flatMap(([name, text]) => (retention[name] === undefined ? [] : [text(retention[name])]));
  return said.length === 0 ? ', by the default rules' : `, ${said.join(', ')}`;
}
