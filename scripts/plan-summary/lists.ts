/** Sentences about package lists: what they ask for, and no more. Pure. */
import { MirrorError } from '../../desired-state/errors';
import { askedName, type AskedPackage, askedPackages } from '../../starlingx/asked';
import { besides, fieldsOf, plural } from './changes';
import type { Triggers } from './terraform-plan';

/** So many packages of a kind are named; of more, their number is. */
const MAX_NAMED = 10;

/** How many packages are asked for. */
export function newLists(after: Triggers | undefined): string {
  const asked = askedBy(after);
  const byUrl = asked.filter(({ url }) => url !== undefined).length;
  return `${plural(asked.length, 'package')}${byUrl === 0 ? '' : `, ${byUrl} with a URL`}`;
}

/** What a change of a field means, or undefined where the field is not one of lists alone. */
export function listsSentences(name: string, id: string, before: Triggers | undefined, after: Triggers | undefined): string[] | undefined {
  switch (name) {
    case 'lists':
      return requests(id, askedBy(before), askedBy(after));
    case 'digests':
      return digests(id, before, after);
    case 'keys': {
      const [was, now] = [keysOf(before), keysOf(after)];
      return [
        ...besides(was, now).map((key) => `lists ${id}: accepts packages with a URL that ${key} signed`),
        ...besides(now, was).map((key) => `lists ${id}: accepts packages with a URL that ${key} signed no longer`),
        ...(now.length === 0 ? [`lists ${id}: packages with a URL and no recorded digest need no signature any more`] : []),
      ];
    }
    default:
      return undefined;
  }
}

function requests(id: string, before: readonly AskedPackage[], after: readonly AskedPackage[]): string[] {
  const [was, now] = [byName(before), byName(after)];
  const added = [...now.values()].filter((one) => !was.has(askedName(one)));
  const gone = [...was.values()].filter((one) => !now.has(askedName(one)));
  // Another version of the same package: what is asked for once before and once after.
  const sole = (list: readonly AskedPackage[], one: AskedPackage): AskedPackage | undefined => {
    const same = list.filter(({ name, arch }) => name === one.name && arch === one.arch);
    return same.length === 1 ? same[0] : undefined;
  };
  const instead = added.flatMap((one) => {
    const former = sole(added, one) === undefined ? undefined : sole(gone, one);
    return former === undefined ? [] : [{ one, former }];
  });
  const more = added.filter((one) => !instead.some((pair) => pair.one === one));
  const less = gone.filter((one) => !instead.some(({ former }) => former === one));
  const moved = [...now.values()].flatMap((one) => {
    const url = was.get(askedName(one))?.url;
    return was.has(askedName(one)) && url !== one.url
      ? [`${askedName(one)} ${one.url === undefined ? 'without a URL' : `at ${one.url}`}`]
      : [];
  });
  const sentences = [
    ...told(
      id,
      instead.map(({ one, former }) => `asks for ${described(one)} instead of ${askedName(former)}, which stays beside it`),
      (count) => `asks for other versions of ${count}; the former ones stay beside them`,
    ),
    ...told(
      id,
      more.map((one) => `asks for ${described(one)}`),
      (count) => `asks for ${count} more`,
    ),
    ...told(
      id,
      less.map((one) => `asks for ${askedName(one)} no more: what is published stays by the rules of retention`),
      (count) => `asks for ${count} no more: what is published stays by the rules of retention`,
    ),
    ...told(
      id,
      moved.map((what) => `asks for ${what}`),
      (count) => `asks for ${count} at other URLs`,
    ),
  ];
  return sentences.length > 0 ? sentences : [`lists ${id}: serves its lists as they are now; the packages stay`];
}

function told(id: string, sentences: readonly string[], inAll: (count: string) => string): string[] {
  if (sentences.length <= MAX_NAMED) return sentences.map((sentence) => `lists ${id}: ${sentence}`);
  return [`lists ${id}: ${inAll(plural(sentences.length, 'package'))}`];
}

function described(one: AskedPackage): string {
  return `${askedName(one)}${one.url === undefined ? '' : ` from ${one.url}`}`;
}

function digests(id: string, before: Triggers | undefined, after: Triggers | undefined): string[] {
  const [was, now] = [digestsOf(before), digestsOf(after)];
  const names = [...new Set([...Object.keys(was), ...Object.keys(now)])].filter((name) => was[name] !== now[name]);
  return told(
    id,
    names.map((name) => {
      if (now[name] === undefined) return `no longer says the digest of ${name}: what is published stays`;
      return `${was[name] === undefined ? 'records the digest' : 'changes the recorded digest'} of ${name}: what is published and differs is replaced`;
    }),
    (count) => `records other digests of ${count}: what is published and differs is replaced`,
  );
}

function byName(asked: readonly AskedPackage[]): ReadonlyMap<string, AskedPackage> {
  return new Map(asked.map((one) => [askedName(one), one]));
}

function askedBy(side: Triggers | undefined): readonly AskedPackage[] {
  const lists = fieldsOf(side)['lists'];
  if (lists === null || typeof lists !== 'object') return [];
  try {
    return askedPackages(lists as Record<string, string>);
  } catch (error) {
    // What an earlier version of this software took.
    if (!(error instanceof MirrorError)) throw error;
    return [];
  }
}

function digestsOf(side: Triggers | undefined): Readonly<Record<string, string>> {
  return (fieldsOf(side)['digests'] ?? {}) as Record<string, string>;
}

function keysOf(side: Triggers | undefined): string[] {
  return ((fieldsOf(side)['keys'] ?? []) as { file: string }[]).map(({ file }) => file.replace(/^keys\//, ''));
}
