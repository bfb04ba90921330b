import { Construct } from 'constructs';
import { sourceUrl, treePath } from '../desired-state/validate';
import { parseInstallList } from '../starlingx/install-list';
import type { MirrorServer } from './mirror-server';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { copied } from './private/copied';
import { COMMON_PROPS, type CommonProps, declareDownloads } from './private/downloads';
import { parsed, readServedList } from './private/project-file';
import type { Releasable } from './private/releasable';

export interface InstallTreeProps extends CommonProps {
  /** The URL below which the files are, the one that lists and clients know. The public path follows from it, as for a repository. */
  readonly publishedAs: string;
  /** Where the bytes come from today: a base URL (http, https). @default publishedAs */
  readonly fetchFrom?: string;
  /** The list, a file of the project: `other_downloads.lst`. Folders come into being by the files in them. Either this or `files`. */
  readonly list?: string;
  /** The files, relative to the base, where there is no list. */
  readonly files?: readonly string[];
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
    checkProps(this, props, { ...COMMON_PROPS, publishedAs: true, fetchFrom: true, list: true, files: true });
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
