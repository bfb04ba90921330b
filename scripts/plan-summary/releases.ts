/** Sentences about releases. Pure. */
import { besides, differing, fieldsOf, listField, plural, textField, UNKNOWN_BEFORE, type Change } from './changes';
import type { Triggers } from './terraform-plan';

export function releaseSentences(changes: readonly Change[]): string[] {
  return changes.filter((one) => one.kind === 'release').flatMap(sentences);
}

function sentences(one: Change): string[] {
  const { id, before, after } = one;
  if (one.action === 'remove') return [`removes release ${id}: no longer public; what was frozen stays on the server`];
  if (one.action === 'add') return [`adds release ${id}: ${contents(after)}; once frozen it never changes`, ...pinSentences(one)];
  if (before === undefined) return [`changes release ${id} ${UNKNOWN_BEFORE}`];
  const names = differing(one);
  return [
    ...(names.includes('at') || names.includes('members') || names.includes('builds')
      ? [`declares release ${id} as ${contents(after)} (was ${contents(before)}): refused by the server if it was frozen otherwise`]
      : []),
    ...pinSentences(one),
    ...(names.includes('repo_file') ? [`changes the .repo file of release ${id}: clients fetch it again`] : []),
    ...(names.includes('service') || names.includes('timer') ? [`changes how releases are frozen that wait (release ${id})`] : []),
  ];
}

function pinSentences({ id, before, after }: Change): string[] {
  const [was, now] = [listField(before, 'pins'), listField(after, 'pins')];
  return [
    ...besides(was, now).map((pin) => `pins ${pin} for clients of release ${id}`),
    ...besides(now, was).map((pin) => `pins ${pin} no longer for clients of release ${id}`),
  ];
}

function contents(side: Triggers | undefined): string {
  const { members, builds } = fieldsOf(side);
  const at = textField(side, 'at');
  const count = Array.isArray(members) ? members.length : 0;
  const repositories = plural(count, 'repository');
  const named = at === '' ? `named snapshots of ${repositories}` : `${repositories} as of ${at}`;
  const built = Array.isArray(builds) ? builds.map(buildText).join(', ') : '';
  return [...(count === 0 ? [] : [named]), ...(built === '' ? [] : [`the builds ${built}`])].join(', and ');
}

function buildText(build: unknown): string {
  const { series, timestamp } = build as Readonly<Record<string, unknown>>;
  return `${String(series)}/${String(timestamp)}`;
}
