/** Sentences about old URLs, and about default sets. Pure. */
import { differing, fieldsOf, listField, textField, UNKNOWN_BEFORE, type Change } from './changes';
import type { Triggers } from './terraform-plan';

export function aliasSentences(changes: readonly Change[]): string[] {
  return changes.filter((one) => one.kind === 'alias').flatMap(aliasSentence);
}

function aliasSentence(one: Change): string[] {
  const { id, before, after } = one;
  if (one.action === 'add') return [`answers old URLs (${id}): ${leads(after)}`];
  if (one.action === 'remove') return [`answers the old URLs of ${id} no longer${before === undefined ? '' : `: ${oldUrls(before)}`}`];
  if (before === undefined) return [`changes the old URLs of ${id} ${UNKNOWN_BEFORE}`];
  const names = differing(one);
  return [
    ...(names.some((name) => ['path', 'components', 'codename', 'architecture'].includes(name))
      ? [`changes the old URLs of ${id}: ${leads(after)} (was ${leads(before)})`]
      : names.includes('nginx')
        ? [`changes how the old URLs of ${id} are served (nginx)`]
        : []),
    ...(names.includes('log') ? [`changes how uses of old URLs are logged (${id})`] : []),
  ];
}

function leads(side: Triggers | undefined): string {
  const components = Object.values(componentsOf(side)).join(', ');
  return `${oldUrls(side)} lead to ${components} of ${textField(side, 'codename')}, ${textField(side, 'architecture')} where they name no architecture`;
}

function oldUrls(side: Triggers | undefined): string {
  const path = textField(side, 'path');
  return Object.keys(componentsOf(side))
    .map((name) => `/${path}/${name}/`)
    .join(', ');
}

function componentsOf(side: Triggers | undefined): Readonly<Record<string, string>> {
  const { components } = fieldsOf(side);
  return typeof components === 'object' && components !== null ? (components as Record<string, string>) : {};
}

export function setSentences(changes: readonly Change[]): string[] {
  return changes.filter((one) => one.kind === 'set').flatMap(setSentence);
}

function setSentence(one: Change): string[] {
  const { id, before, after } = one;
  if (one.action === 'add') return [`adds default set ${id}: ${repositories(after)}`];
  if (one.action === 'remove') return [`removes default set ${id}: its .repo file can be fetched no longer`];
  if (before === undefined) return [`changes default set ${id} ${UNKNOWN_BEFORE}`];
  const again = 'clients fetch its .repo file again';
  const names = differing(one);
  if (names.includes('codenames') || names.includes('base'))
    return [`changes default set ${id}: ${repositories(after)} (was ${repositories(before)}); ${again}`];
  return [`changes the .repo file of default set ${id}: ${again}`];
}

function repositories(side: Triggers | undefined): string {
  const base = listField(side, 'base');
  return `${listField(side, 'codenames').join(' before ')}${base.length === 0 ? '' : `, with ${base.join(', ')} as the base`}`;
}
