import { dirname, join } from 'node:path';
import type { Construct } from 'constructs';
import { compressionOf } from '../../desired-state/archives';
import type { DownloadedFile, DownloadsDefinition } from '../../desired-state/definitions';
import { nearest } from '../../desired-state/nearest';
import { definitionYaml } from '../../desired-state/render/yaml';
import { fileInTheWay } from '../../desired-state/served-names';
import { parseDigests, uncompressedName } from '../../starlingx/digests';
import type { Distribution } from '../distribution';
import type { MirrorServer } from '../mirror-server';
import { type Retention, snapshotRetentionOf } from '../retention';
import { checkSchedule, type SyncSchedule } from '../sync-schedule';
import { SyncTimer } from '../sync-timer';
import { downloadsWaivers, type Waiver } from '../waiver';
import { checkList, invalid, show } from './check';
import type { copied } from './copied';
import { declare } from './declare';
import { parsed, readProjectList } from './project-file';
import type { Releasable } from './releasable';

/** Props that all downloads have. */
export interface CommonProps {
  /** First segment of the public path below `/mirror`, or the one that says it. @default Distribution.CENTOS */
  readonly distribution?: Distribution;
  /** Name on the server, in units and commands; nothing else that is synced has the same. @default the construct's id */
  readonly id?: string;
  /** The id that it had before: what was mirrored under it stays. Remove this after the deploy. @default none */
  readonly formerId?: string;
  /**
   * Recorded digests, a file of the project as sha256sum writes it, by path; of archives that the mirror makes, the digest of the uncompressed tar. What differs
   * is refused. @default each file is taken as it is found first, and nothing else under its URL after that
   */
  readonly digests?: string;
  /** Files of the list, by their names, that are not copied. @default none */
  readonly exclude?: readonly string[];
  /** What a sync refuses, and is meant here: `Waiver.incomplete`, `Waiver.privateAddresses`. @default none */
  readonly waivers?: readonly Waiver<'repository'>[];
  /** How long superseded snapshots stay, in the place of the server's rule. @default the server's */
  readonly retention?: Pick<Retention, 'snapshotDays'>;
  /** @default daily, at a time between 02:00 and 05:59 UTC that follows from the id */
  readonly schedule?: SyncSchedule;
}

/** For `checkProps`, beside those of a construct's own. */
export const COMMON_PROPS: Readonly<Record<keyof CommonProps, true>> = {
  distribution: true,
  id: true,
  formerId: true,
  digests: true,
  exclude: true,
  waivers: true,
  retention: true,
  schedule: true,
};

/** What is downloaded, before it is known with which digest. */
export interface Wanted {
  /** What `exclude` calls it: its name in the list. */
  readonly name: string;
  readonly file: DownloadedFile;
  /** Another place where it is public, decoded, relative to the document root. */
  readonly place?: string;
}

export interface Parts {
  readonly id: string;
  /** Claimed before. */
  readonly publicPath: string;
  /** Where that is, if not simply there. @default a link at the public path */
  readonly place?: Pick<ReturnType<typeof copied>, 'files' | 'links' | 'texts'>;
  /** All that is served, where the path may be another copy's own. */
  readonly names?: readonly string[];
  readonly wanted: readonly Wanted[];
  readonly sums: string;
  /** Name → text. */
  readonly lists: Readonly<Record<string, string>>;
}

/** Declares downloads, with their timer. Returns what a release can be made of. */
export function declareDownloads(where: Construct, server: MirrorServer, props: CommonProps, parts: Parts): readonly Releasable[] {
  const { id, publicPath, sums, lists, place: at } = parts;
  checkSchedule(where, props.schedule);
  const wanted = withoutExcluded(where, props.exclude, parts.wanted);
  refuseFoldersOfFiles(where, wanted, sums);
  const digests = digestsOf(where, props.digests, parts.wanted);
  const waivers = downloadsWaivers(where, props.waivers ?? []);
  const retention = snapshotRetentionOf(where, props.retention, 'a set of downloads');
  const retired = props.schedule?.retired;
  const definition: DownloadsDefinition = {
    kind: 'downloads',
    id,
    ...(props.formerId === undefined ? {} : { formerId: props.formerId }),
    publicPath,
    files: wanted.map(({ file }) => {
      const sha256 = digests.get(recordedName(file));
      return sha256 === undefined ? file : { ...file, sha256 };
    }),
    sums,
    ...(Object.keys(lists).length === 0 ? {} : { lists }),
    ...(retention === undefined ? {} : { retention }),
    ...(retired === undefined ? {} : { retired }),
    ...(waivers.length === 0 ? {} : { waivers }),
  };
  const yaml = definitionYaml(definition);
  const current = `repositories/${id}/current`;
  const links: Record<string, string> = { ...(at?.links ?? { [publicPath]: current }) };
  for (const { place, file } of wanted) if (place !== undefined) server.linkWhereFree(place, `${current}/${file.path}`, links);
  if (wanted.some(({ file }) => 'method' in file && file.method === 'git')) server.needs(['git'], {});
  declare(
    where,
    {
      id: `downloads/${id}`,
      files: { [`definitions/downloads/${id}.yaml`]: yaml, ...at?.files },
      links,
      ...(props.formerId === undefined ? {} : { adopts: props.formerId }),
    },
    { definition: yaml, ...at?.texts },
  );
  if (retired === undefined) new SyncTimer(where, 'Timer', { repositoryId: id, ...(props.schedule ? { schedule: props.schedule } : {}) });
  return [{ id, publicPath, ...(parts.names === undefined ? {} : { names: parts.names }), section: () => undefined }];
}

/** A path that is a file cannot be a folder of another one, nor of what the mirror has there itself. */
function refuseFoldersOfFiles(where: Construct, wanted: readonly Wanted[], sums: string): void {
  const found = fileInTheWay([...wanted.map(({ file }) => file.path), sums, `${sums}.asc`, join(dirname(sums), 'lists/x')]);
  if (found !== undefined)
    throw invalid(where, 'files', show(found[1]), {
      allowed: `${found[0]} is a file, and cannot be a folder as well`,
      fix: 'Rename one of them, or leave one out: exclude: [...].',
    });
  for (const { name, file } of wanted) {
    const members = 'members' in file ? fileInTheWay(file.members) : undefined;
    if (members !== undefined)
      throw invalid(where, 'list', show(members[1]), {
        allowed: `in the file list of ${name}, ${members[0]} is a file, and cannot be a folder as well`,
        fix: 'Remove one of the lines.',
      });
  }
}

/** The name under which a file's digest is recorded: of what the mirror makes that of the uncompressed tar. */
function recordedName(file: DownloadedFile): string {
  return 'method' in file ? uncompressedName(file.path) : file.path;
}

function withoutExcluded(where: Construct, exclude: readonly string[] | undefined, wanted: readonly Wanted[]): readonly Wanted[] {
  if (exclude === undefined) return wanted;
  const names = wanted.map(({ name }) => name);
  const isThere = (value: unknown): { allowed: string; fix: string } | undefined =>
    names.includes(value as string) ? undefined : notThere(value, names, 'the list asks for no such file');
  checkList(where, 'exclude', exclude, 'file', isThere, 'Leave exclude out to copy everything.');
  const rest = wanted.filter(({ name }) => !exclude.includes(name));
  if (rest.length > 0) return rest;
  throw invalid(where, 'exclude', show(exclude), {
    allowed: 'at least one file stays',
    fix: 'Remove the construct where nothing is wanted.',
  });
}

/** Recorded digests by recorded name. One of a file that nothing asks for is a mistake: it would protect nothing. */
function digestsOf(where: Construct, path: string | undefined, wanted: readonly Wanted[]): ReadonlyMap<string, string> {
  if (path === undefined) return new Map();
  const { name, bytes } = readProjectList(where, 'digests', path);
  const digests = parsed(where, 'digests', path, () => parseDigests(bytes, name));
  const names = wanted.map(({ file }) => recordedName(file));
  const stray = [...digests.keys()].find((one) => !names.includes(one));
  if (stray === undefined) return digests;
  throw invalid(
    where,
    'digests',
    show(path),
    notThere(stray, names, `${name} has a digest of ${show(stray)}, which the list does not ask for`),
  );
}

function notThere(value: unknown, names: readonly string[], allowed: string): { readonly allowed: string; readonly fix: string } {
  const meant = typeof value === 'string' ? nearest(value, names) : undefined;
  return { allowed, fix: meant === undefined ? 'Remove it.' : `Did you mean ${meant}? Else remove it.` };
}

/** Refuses an archive that cannot be made under its name. */
export function checkArchiveName(where: Construct, prop: string, file: string, line: number): void {
  if (compressionOf(file) !== undefined) return;
  throw invalid(where, prop, show(file), {
    allowed: `line ${line}: the mirror makes this archive, and its name does not say how it is compressed`,
    fix: 'Name it *.tar, *.tar.gz, *.tgz, *.tar.bz2 or *.tar.xz.',
  });
}
