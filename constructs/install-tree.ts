import { Construct } from 'constructs';
import { sourceUrl, treePath } from '../desired-state/validate';
import { parseInstallList } from '../starlingx/install-list';
import type { Distribution } from './distribution';
import type { MirrorServer } from './mirror-server';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { copied } from './private/copied';
import { type CommonProps, declareDownloads } from './private/downloads';
import { parsed, readServedList } from './private/project-file';
import type { Releasable } from './private/releasable';
import type { Retention } from './retention';
import type { SyncSchedule } from './sync-schedule';
import type { Waiver } from './waiver';

export interface InstallTreeProps extends CommonProps {
  /** The URL below which the files are, the one that lists and clients know. The public path follows from it, as for a repository. */
  readonly publishedAs: string;
  /** Where the bytes come from today: a base URL (http, https). @default publishedAs */
  readonly fetchFrom?: string;
  /** The list, a file of the project: `other_downloads.lst`. Folders come into being by the files in them. Either this or `files`. */
  readonly list?: string;
  /** The files, relative to the base, where there is no list. */
  readonly files?: readonly string[];
  /** Recorded digests, a file of the project as sha256sum writes it, by path. @default each file is taken as it is found first, and nothing else under its URL after that */
  readonly digests?: string;
  /** First segment of the public path below `/mirror`. @default Distribution.CENTOS */
  readonly distribution?: Distribution;
  /** Name on the server, in units and commands; nothing else that is synced has the same. @default the construct's id */
  readonly id?: string;
  /** The id that it had before: what was mirrored under it stays. Remove this after the deploy. @default none */
  readonly formerId?: string;
  /** Files of the list that are not copied. @default none */
  readonly exclude?: readonly string[];
  /** What a sync refuses, and is meant here: `Waiver.incomplete`, `Waiver.privateAddresses`. @default none */
  readonly waivers?: readonly Waiver<'repository'>[];
  /** How long superseded snapshots stay, in the place of the server's rule. @default the server's */
  readonly retention?: Pick<Retention, 'snapshotDays'>;
  /** @default daily, at a time between 02:00 and 05:59 UTC that follows from the id */
  readonly schedule?: SyncSchedule;
}

/** The mirror's own there, so that all other names are upstream's. */
const OWN = '.mirror';
const SUMS = `${OWN}/SHA256SUMS`;

/**
 * Named files below one URL: what an installer boots from, as `other_downloads.lst` lists it. The digests, signed by the mirror, and the list are at `.mirror/`.
 * Where upstream has checksum files or listings, FileTree copies by those.
 */
export class InstallTree extends Construct {
  /** @internal */
  readonly releasable: readonly Releasable[];

  constructor(server: MirrorServer, id: string, props: InstallTreeProps) {
    super(server, id);
    checkProps(this, props, {
      publishedAs: true,
      fetchFrom: true,
      list: true,
      files: true,
      digests: true,
      distribution: true,
      id: true,
      formerId: true,
      exclude: true,
      waivers: true,
      retention: true,
      schedule: true,
    });
    const treeId = props.id ?? id;
    const { files, lists } = this.files(props);
    const own = [SUMS, `${SUMS}.asc`, ...Object.keys(lists).map((name) => `lists/${name}`)];
    const names = [...files.filter((file) => props.exclude?.includes(file) !== true), ...own].sort();
    const path = copied(this, server, 'downloads', treeId, props, names);
    if (Object.keys(path.files).length > 0) this.refuseMetadata(files);
    const { fetchFrom = props.publishedAs } = props;
    check(this, 'fetchFrom', fetchFrom, sourceUrl);
    if (!/^https?:/i.test(fetchFrom))
      throw invalid(this, 'fetchFrom', show(fetchFrom), {
        allowed: 'files by name come over http or https',
        fix: 'Declare a FileTree for an rsync module.',
      });
    const base = fetchFrom.endsWith('/') ? fetchFrom : `${fetchFrom}/`;
    this.releasable = declareDownloads(this, server, props, {
      id: treeId,
      publicPath: path.decoded,
      place: path,
      names,
      wanted: files.map((name) => ({ name, file: { path: name, url: base + name.split('/').map(encodeURIComponent).join('/') } })),
      sums: SUMS,
      lists,
    });
  }

  private files({ list, files }: InstallTreeProps): {
    readonly files: readonly string[];
    readonly lists: Readonly<Record<string, string>>;
  } {
    if ((list === undefined) === (files === undefined))
      throw invalid(this, 'list', show(list), {
        allowed: 'either a list or files',
        fix: 'Write list: "starlingx/3.0/other_downloads.lst", or files: ["isolinux/vmlinuz"].',
      });
    if (files !== undefined) {
      checkList(this, 'files', files, 'file', treePath, 'Name at least one, or a list.');
      this.refuseOwn('files', files);
      return { files, lists: {} };
    }
    const { name, bytes } = readServedList(this, 'list', list);
    const { files: listed } = parsed(this, 'list', list as string, () => parseInstallList(bytes, name));
    if (listed.length === 0)
      throw invalid(this, 'list', show(list), {
        allowed: 'a list with at least one file',
        fix: 'Add "file:<path>", or remove the construct.',
      });
    this.refuseOwn('list', listed);
    return { files: listed, lists: { [name]: bytes.toString('utf8') } };
  }

  /** In the tree of a repository its index is the repository's: another one would break it for everybody. */
  private refuseMetadata(files: readonly string[]): void {
    const found = files.find((file) => file.split('/').includes('repodata'));
    if (found === undefined) return;
    throw invalid(this, 'files', show(found), {
      allowed: 'a repository is declared at this URL, and this file belongs to it',
      fix: 'Leave the file out: the repository has it.',
    });
  }

  private refuseOwn(prop: string, files: readonly string[]): void {
    const own = files.find((file) => file === OWN || file.startsWith(`${OWN}/`));
    if (own === undefined) return;
    throw invalid(this, prop, show(own), { allowed: `${OWN}/ is the mirror's own`, fix: 'Leave the file out.' });
  }
}
