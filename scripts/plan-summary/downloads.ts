/** Sentences about downloads: which files, from where, and by which recorded digests. Pure. */
import { fieldsOf, plural } from './changes';
import type { Triggers } from './terraform-plan';

interface File {
  readonly path: string;
  readonly sha256?: string;
  /** All that says where it comes from. */
  readonly source: string;
  readonly url: string;
}

/** So many files are named; of more, their number is. */
const MAX_NAMED = 10;

/** How many files are new, and of how many nothing says what they must be. */
export function newDownloads(after: Triggers | undefined): string {
  const files = [...filesOf(after).values()];
  const unknown = files.filter(({ sha256 }) => sha256 === undefined).length;
  return `${plural(files.length, 'file')}${unknown === 0 ? '' : `, ${unknown} without a recorded digest`}`;
}

/** What a change of a field means, or undefined where the field is not one of downloads alone. */
export function downloadsSentences(
  name: string,
  id: string,
  before: Triggers | undefined,
  after: Triggers | undefined,
): string[] | undefined {
  if (name === 'lists')
    return JSON.stringify(fieldsOf(before)['files']) === JSON.stringify(fieldsOf(after)['files'])
      ? [`downloads ${id}: serves its list as it is now; the files stay`]
      : [];
  if (name !== 'files') return undefined;
  const [was, now] = [filesOf(before), filesOf(after)];
  const both = [...now.values()].flatMap((file) => {
    const former = was.get(file.path);
    return former === undefined ? [] : [{ file, former }];
  });
  const added = [...now.values()].filter(({ path }) => !was.has(path));
  const elsewhere = both.filter(({ file, former }) => file.source !== former.source);
  const digest = both.filter(({ file, former }) => file.sha256 !== former.sha256 && file.source === former.source);
  const of = (kind: (change: (typeof both)[number]) => boolean): string[] => digest.filter(kind).map(({ file }) => file.path);
  const told = (paths: readonly string[], words: (what: string, several: boolean) => string): string[] =>
    paths.length > MAX_NAMED
      ? [`downloads ${id}: ${words(plural(paths.length, 'file'), true)}`]
      : paths.map((path) => `downloads ${id}: ${words(path, false)}`);
  return [
    ...told(
      added.filter(({ sha256 }) => sha256 !== undefined).map(({ path }) => path),
      (what) => `adds ${what}, by the recorded digest`,
    ),
    ...told(
      added.filter(({ sha256 }) => sha256 === undefined).map(({ path }) => path),
      (what, several) => `adds ${what}, which ${several ? 'have' : 'has'} no recorded digest: the first that comes is taken`,
    ),
    ...told(
      [...was.keys()].filter((path) => !now.has(path)),
      (what) => `removes ${what}: what is there stays for the grace period`,
    ),
    ...(elsewhere.length > MAX_NAMED
      ? told(
          elsewhere.map(({ file }) => file.path),
          (what) => `fetches ${what} from elsewhere`,
        )
      : elsewhere.map(
          ({ file }) =>
            `downloads ${id}: fetches ${file.path} from ${file.source}${file.sha256 === undefined ? ', which has no recorded digest' : ''}`,
        )),
    ...told(
      of(({ former }) => former.sha256 === undefined),
      (what) => `records the digest of ${what}: what is served and differs is replaced`,
    ),
    ...told(
      of(({ file, former }) => file.sha256 !== undefined && former.sha256 !== undefined),
      (what) => `changes the recorded digest of ${what}: what is served is replaced by what has it`,
    ),
    ...told(
      of(({ file }) => file.sha256 === undefined),
      (what) => `no longer says the digest of ${what}: what is served stays`,
    ),
  ];
}

function filesOf(side: Triggers | undefined): ReadonlyMap<string, File> {
  const value = fieldsOf(side)['files'];
  const files = (Array.isArray(value) ? value : []) as {
    path: string;
    url: string;
    sha256?: string;
    ref?: string;
    members?: string[];
    directory?: string;
  }[];
  return new Map(
    files.map(({ path, url, sha256, ref, members, directory }) => {
      const what = [...(ref === undefined ? [] : [`at ${ref}`]), ...(members === undefined ? [] : [members.join(', ')])].join(' ');
      const below = directory === undefined ? '' : ` as ${directory}`;
      const source = `${url}${what === '' ? '' : ` (${what})`}${below}`;
      return [path, { path, url, source, ...(sha256 === undefined ? {} : { sha256 }) }];
    }),
  );
}
