/** Sentences about accounts that upload packages. Pure. */
import { besides, differing, listField, UNKNOWN_BEFORE, type Change } from './changes';
import { people } from './owners';

export function uploadSentences(changes: readonly Change[]): string[] {
  return changes.filter((one) => one.kind === 'upload').flatMap(sentences);
}

function sentences(one: Change): string[] {
  const { id, action, before, after } = one;
  const [was, now] = [people(before), people(after)];
  const [from, to] = [listField(before, 'components'), listField(after, 'components')];
  if (action === 'add') return [`makes the upload account ${id}: lets ${now.join(', ')} publish to ${to.join(', ')}`];
  if (action === 'remove') return [`removes the upload account ${id}: what it uploaded and was not taken stays on the server`];
  if (before === undefined) return [`changes the upload account ${id} ${UNKNOWN_BEFORE}`];
  const told = [
    ...besides(was, now).map((who) => `lets ${who} upload as ${id}`),
    ...besides(now, was).map((who) => `lets ${who} upload as ${id} no longer`),
    ...besides(from, to).map((component) => `lets ${id} publish to ${component}`),
    ...besides(to, from).map((component) => `lets ${id} publish to ${component} no longer: what lies in its directory stays there`),
  ];
  return told.length > 0 ? told : [`changes the upload account ${id} (${differing(one).join(', ')})`];
}
