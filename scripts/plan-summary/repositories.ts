/** Sentences about what is copied (repositories, file trees, downloads, lists), and its schedules: what changes, and what that means for clients. Pure. */
import { besides, differing, fieldsOf, plural, textField, UNKNOWN_BEFORE, UNPUBLISHED, type Change } from './changes';
import { downloadsSentences, newDownloads } from './downloads';
import { listsSentences, newLists } from './lists';
import { newSelectionSentences, selectionSentences, waiverSentences } from './selection';
import type { Triggers } from './terraform-plan';
import { treeSentences, treeTrustSentences } from './trees';

export function repositorySentences(changes: readonly Change[]): string[] {
  const repositories = changes.filter((one) => Object.hasOwn(NOUNS, one.kind));
  const timers = changes.filter((one) => one.kind === 'timer');
  const told = new Set<Change>();
  const take = (one: Change | undefined): Change | undefined => {
    if (one !== undefined) told.add(one);
    return one;
  };
  const sentences = repositories.flatMap((one) => {
    if (told.has(one)) return [];
    const timer = timers.find((t) => t.id === one.id && t.action === one.action);
    if (one.action === 'add') {
      const formerId = textField(one.after, 'formerId');
      const former = take(repositories.find((r) => formerId !== '' && r.kind === one.kind && r.id === formerId && r.action === 'remove'));
      const formerTimer = former && take(timers.find((t) => t.id === former.id && t.action === 'remove'));
      take(timer);
      return former === undefined
        ? [added(one, timer, formerId), ...newSelectionSentences(one.id, one.after)]
        : [renamed(one, former, timer, formerTimer), ...waiverSentences(one.id, former.before, one.after)];
    }
    if (one.action === 'remove') {
      // The one that is renamed to says so.
      if (repositories.some((r) => r.kind === one.kind && r.action === 'add' && textField(r.after, 'formerId') === one.id)) return [];
      take(timer);
      return [`removes ${nounOf(one)} ${one.id}: ${UNPUBLISHED}`];
    }
    // It says so itself.
    if (textField(one.after, 'retired') !== '') take(timers.find((t) => t.id === one.id && t.action === 'remove'));
    return changed(one);
  });
  return [...sentences, ...scheduleSentences(timers.filter((one) => !told.has(one))), ...otherRepoFiles(changes)];
}

/** What is copied from upstreams, by kind. */
const NOUNS: Readonly<Record<string, string>> = { repository: 'repository', tree: 'file tree', downloads: 'downloads', lists: 'lists' };

function nounOf(one: Change): string {
  return NOUNS[one.kind] ?? one.kind;
}

/** With how much there is, where that is known from the start. */
function namedWithSize(one: Change): string {
  const size = one.kind === 'downloads' ? ` (${newDownloads(one.after)})` : one.kind === 'lists' ? ` (${newLists(one.after)})` : '';
  return `${nounOf(one)} ${one.id}${size}`;
}

function added(one: Change, timer: Change | undefined, formerId: string): string {
  const synced = timer === undefined ? '' : `, synced ${calendar(timer.after)}`;
  if (formerId !== '') return `adds ${namedWithSize(one)}${synced}; it goes on with the content of ${formerId}`;
  const retired = textField(one.after, 'retired');
  if (retired !== '') return `adds ${namedWithSize(one)}, which is never synced: ${retired}`;
  return `adds ${namedWithSize(one)}${synced}; its first sync starts in the background`;
}

function renamed(one: Change, former: Change, timer: Change | undefined, formerTimer: Change | undefined): string {
  const [before, after] = [calendar(formerTimer?.before), calendar(timer?.after)];
  const schedule = formerTimer?.before === undefined || before === after ? '' : `; it is synced ${after} (was ${before})`;
  const [from, to] = [textField(former.before, 'publicPath'), textField(one.after, 'publicPath')];
  const path = from === '' || from === to ? 'stays public' : `is public at /${to}/; /${from}/ stops answering`;
  return `renames ${nounOf(one)} ${former.id} to ${one.id}: its content stays, and ${path}${schedule}`;
}

function changed(one: Change): string[] {
  if (one.before === undefined)
    return [`changes ${nounOf(one)} ${one.id} ${UNKNOWN_BEFORE}`, ...waiverSentences(one.id, undefined, one.after)];
  const { id, before, after } = one;
  const noun = nounOf(one);
  const names = differing(one).filter((name) => name !== 'repo_file');
  const sentences = names.flatMap((name): string[] => {
    switch (name) {
      case 'publicPath':
        return [`moves ${noun} ${id} from /${textField(before, name)}/ to /${textField(after, name)}/: the old path stops answering`];
      case 'publishedAs':
        return names.includes('publicPath') ? [] : [`calls ${noun} ${id} ${textField(after, name)}: its public path stays`];
      case 'trust':
        return one.kind === 'tree' ? treeTrustSentences(id, before, after) : trustSentences(id, before, after);
      case 'formerId':
        return textField(after, name) === ''
          ? [`forgets that ${noun} ${id} was called ${textField(before, name)}: nothing changes for clients`]
          : [`says that ${noun} ${id} was called ${textField(after, name)}`];
      default:
        return (
          fieldSentences(one.kind, name, id, before, after) ??
          selectionSentences(name, id, before, after) ?? [`changes ${noun} ${id} (${name})`]
        );
    }
  });
  return sentences;
}

/** Of fields that mean something else for each kind. */
function fieldSentences(
  kind: string,
  name: string,
  id: string,
  before: Triggers | undefined,
  after: Triggers | undefined,
): string[] | undefined {
  if (kind === 'lists') return listsSentences(name, id, before, after);
  return kind === 'downloads' ? downloadsSentences(name, id, before, after) : treeSentences(name, id, before, after);
}

interface TrustFields {
  readonly mode?: string;
  readonly reason?: string;
  readonly keys?: readonly { readonly file: string }[];
}

const MODES: Readonly<Record<string, string>> = {
  signedMetadata: 'signed metadata',
  signedPackages: 'signed packages',
  digestsOnly: 'digests only',
};

function trustSentences(id: string, before: Triggers | undefined, after: Triggers | undefined): string[] {
  const was = (fieldsOf(before)['trust'] ?? {}) as TrustFields;
  const now = (fieldsOf(after)['trust'] ?? {}) as TrustFields;
  const mode = (trust: TrustFields): string => MODES[trust.mode ?? ''] ?? 'nothing known';
  if (was.mode !== now.mode) {
    const signed = (trust: TrustFields): boolean => trust.mode !== 'digestsOnly';
    if (signed(was) && !signed(now))
      return [
        `trusts ${id} by digests only, weaker than by ${mode(was)} (${now.reason ?? 'no reason'}): clients that fetch its .repo file again check no signatures`,
      ];
    const how = signed(was) ? '' : ', stronger than';
    return [
      `trusts ${id} by ${mode(now)}${how === '' ? `, not by ${mode(was)}` : `${how} by ${mode(was)}`}: what does not verify is not published from its next sync on, and clients that fetch its .repo file again check as much`,
    ];
  }
  if (was.mode === 'digestsOnly') return [`gives another reason to trust ${id} by digests only: ${now.reason ?? ''}`];
  const names = (trust: TrustFields): string[] => (trust.keys ?? []).map((key) => key.file.replace(/^keys\//, ''));
  const more = besides(names(was), names(now));
  const less = besides(names(now), names(was));
  return [
    ...more.map((key) => `accepts the key ${key} for ${id}: clients that fetch its .repo file again ask for it`),
    ...less.map((key) => `accepts the key ${key} for ${id} no longer: what it alone signed is not published from the next sync on`),
    ...(more.length + less.length === 0 ? [`accepts another key of the same name for ${id}`] : []),
  ];
}

/** Timers that only a new version of this software changes are one sentence. */
function scheduleSentences(timers: readonly Change[]): string[] {
  const sameTime = timers.filter(
    (one) => one.action === 'change' && one.before !== undefined && calendar(one.before) === calendar(one.after),
  );
  const others = timers.filter((one) => !sameTime.includes(one)).map(scheduleSentence);
  const [first] = sameTime;
  if (first === undefined) return others;
  return [
    ...others,
    sameTime.length === 1
      ? `changes the timer of ${first.id}: its time stays`
      : `changes ${plural(sameTime.length, 'timer')}: their times stay`,
  ];
}

function scheduleSentence(one: Change): string {
  if (one.action === 'add') return `schedules ${one.id} ${calendar(one.after)}`;
  if (one.action === 'remove') return `removes the schedule of ${one.id}`;
  if (one.before === undefined) return `changes the schedule of ${one.id} to ${calendar(one.after)}`;
  return `changes the schedule of ${one.id} from ${calendar(one.before)} to ${calendar(one.after)}`;
}

/** Where only yum's configuration differs, as for another name of the site, one sentence says it for all. */
function otherRepoFiles(changes: readonly Change[]): string[] {
  const only = changes.filter(
    (one) =>
      ['repository', 'codename', 'packages', 'lists'].includes(one.kind) &&
      one.action === 'change' &&
      one.before !== undefined &&
      differing(one).join() === 'repo_file',
  );
  if (only.length === 0) return [];
  const [first] = only;
  return only.length === 1 && first !== undefined
    ? [`changes the .repo file of ${first.element.replace('/', ' ')}: clients fetch it again`]
    : [`changes the .repo files of ${only.length} repositories and codenames: clients fetch them again`];
}

/** "*-*-* 03:00:00 UTC" → "daily at 03:00 UTC"; anything else as it stands. */
export function calendar(triggers: Triggers | undefined): string {
  const expression = /^OnCalendar=(.*)$/m.exec(triggers?.['timer'] ?? '')?.[1] ?? 'at an unknown time';
  const daily = /^\*-\*-\* (\d\d:\d\d):00 UTC$/.exec(expression);
  if (daily) return `daily at ${daily[1]} UTC`;
  const hourly = /^\*-\*-\* \*:(\d\d):00 UTC$/.exec(expression);
  if (hourly) return `hourly at minute ${Number(hourly[1])}`;
  const weekly = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \*-\*-\* (\d\d:\d\d):00 UTC$/.exec(expression);
  return weekly ? `every ${weekly[1]} at ${weekly[2]} UTC` : expression;
}
