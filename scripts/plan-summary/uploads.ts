/** Sentences about accounts that upload packages or builds. Pure. */
import { besides, differing, fieldsOf, listField, textField, UNKNOWN_BEFORE, type Change } from './changes';
import { people } from './owners';
import type { Triggers } from './terraform-plan';

export function uploadSentences(changes: readonly Change[]): string[] {
  return changes.filter((one) => one.kind === 'upload').flatMap(sentences);
}

function sentences(one: Change): string[] {
  const { id, action, before, after } = one;
  const [was, now] = [people(before), people(after)];
  const [from, to] = [targets(before), targets(after)];
  if (action === 'add') return [`makes the upload account ${id}${byRsync(after)}: lets ${now.join(', ')} publish to ${to.join(', ')}`];
  if (action === 'remove') return [`removes the upload account ${id}: what it uploaded and was not taken stays on the server`];
  if (before === undefined) return [`changes the upload account ${id} ${UNKNOWN_BEFORE}`];
  const told = [
    ...besides(was, now).map((who) => `lets ${who} upload as ${id}`),
    ...besides(now, was).map((who) => `lets ${who} upload as ${id} no longer`),
    ...besides(from, to).map((target) => `lets ${id} publish to ${target}`),
    ...besides(to, from).map((target) => `lets ${id} publish to ${target} no longer: what lies in its directory stays there`),
    ...(byRsync(before) === byRsync(after) ? [] : [`lets ${id} upload${byRsync(after) || ' by SFTP'}, and no other way`]),
  ];
  return told.length > 0 ? told : [`changes the upload account ${id} (${differing(one).join(', ')})`];
}

function byRsync(triggers: Triggers | undefined): string {
  return textField(triggers, 'protocol') === 'rsync' ? ' by rsync' : '';
}

/** Components, and builds of series. */
function targets(triggers: Triggers | undefined): string[] {
  const { builds } = fieldsOf(triggers) as { builds?: unknown };
  const series = Array.isArray(builds) ? builds.map((one: { series?: unknown } | null) => `builds of ${String(one?.series)}`) : [];
  return [...listField(triggers, 'components'), ...series];
}
