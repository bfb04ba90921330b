import { Construct } from 'constructs';
import type { TreeDefinition } from '../desired-state/definitions';
import { definitionYaml } from '../desired-state/render/yaml';
import { sourceUrl, treeFolder, treeGlob, treePath } from '../desired-state/validate';
import { checkList, checkProps, invalid, show } from './private/check';
import { copied } from './private/copied';
import { declare } from './private/declare';
import type { Distribution } from './distribution';
import type { Releasable } from './private/releasable';
import { MirrorServer } from './mirror-server';
import { type Retention, snapshotRetentionOf } from './retention';
import { checkSchedule, type SyncSchedule } from './sync-schedule';
import { SyncTimer } from './sync-timer';
import { TreeTrust } from './tree-trust';
import { treeWaivers, type Waiver } from './waiver';

export interface FileTreeProps {
  /** Name on the server, in units and commands; no repository has the same. @default the construct's id */
  readonly id?: string;
  /** The id that it had before: what was mirrored under it stays, and stays public. Remove this after the deploy. @default none */
  readonly formerId?: string;
  /** The original URL of the tree's base, the one that lists and clients know. The public path follows from it, as for a repository. */
  readonly publishedAs: string;
  /** Where the bytes come from today, first choice first: base URLs (http, https, or a module and path of an rsync server). @default [publishedAs] */
  readonly fetchFrom?: readonly string[];
  /** What a file must be covered by, or it is refused. */
  readonly trust: TreeTrust;
  /**
   * Files to copy, relative to the base. `.treeinfo` stands for everything that it names: an install tree is copied whole wherever
   * `.treeinfo` is named here or in the trust. @default without `folders`: everything that the trust's checksum files list
   */
  readonly files?: readonly string[];
  /**
   * Folders to copy with everything below, relative to the base; `.` is the base itself. What is in them is read from the listings of the
   * web server (Apache, nginx), or of rsync. @default none
   */
  readonly folders?: readonly string[];
  /** Globs of what is not copied from folders and lists: a path, or without a slash a name at any depth (`*.torrent`). @default nothing */
  readonly exclude?: readonly string[];
  /** What a sync refuses of this upstream, and is meant here: `Waiver.shrunk`, `Waiver.olderRevision`. @default none */
  readonly waivers?: readonly Waiver<'repository'>[];
  /** How long superseded snapshots stay, in the place of the server's rule. @default the server's */
  readonly retention?: Pick<Retention, 'snapshotDays'>;
  /** @default daily, at a time between 02:00 and 05:59 UTC that follows from the id */
  readonly schedule?: SyncSchedule;
  /** First segment of the public path below `/mirror`. @default Distribution.CENTOS */
  readonly distribution?: Distribution;
}

/** A tree of files that is copied from an upstream: an installer, tarballs, images. Verified, and published by one rename. */
export class FileTree extends Construct {
  /** @internal */
  readonly releasable: readonly Releasable[];

  constructor(server: MirrorServer, id: string, props: FileTreeProps) {
    super(server, id);
    checkProps(this, props, {
      id: true,
      formerId: true,
      publishedAs: true,
      fetchFrom: true,
      trust: true,
      files: true,
      folders: true,
      exclude: true,
      waivers: true,
      retention: true,
      schedule: true,
      distribution: true,
    });
    const treeId = props.id ?? id;
    const path = copied(this, server, 'tree', treeId, props);
    const fetchFrom = props.fetchFrom ?? [props.publishedAs];
    checkList(this, 'fetchFrom', fetchFrom, 'URL', sourceUrl, 'Leave fetchFrom out to fetch from publishedAs.');
    if (!((props.trust as unknown) instanceof TreeTrust)) {
      throw invalid(this, 'trust', show(props.trust), {
        allowed: 'every tree declares its trust',
        fix: 'TreeTrust.signedChecksums({ files, keys }), TreeTrust.checksums({ files, reason }), TreeTrust.treeinfo(reason) or TreeTrust.none(reason).',
      });
    }
    const selection = this.selection(props);
    checkSchedule(this, props.schedule);
    const retired = props.schedule?.retired;
    this.releasable = [{ id: treeId, publicPath: path.decoded, section: () => undefined }];
    const definition: TreeDefinition = {
      kind: 'tree',
      id: treeId,
      ...(props.formerId === undefined ? {} : { formerId: props.formerId }),
      publishedAs: props.publishedAs,
      publicPath: path.decoded,
      fetchFrom: [...fetchFrom],
      trust: props.trust.definition,
      ...selection,
      ...(retired === undefined ? {} : { retired }),
    };
    const yaml = definitionYaml(definition);
    declare(
      this,
      {
        id: `tree/${treeId}`,
        files: {
          [`definitions/trees/${treeId}.yaml`]: yaml,
          ...path.files,
          ...Object.fromEntries(props.trust.keys.map((key) => [`keys/${key.name}`, key.armoured])),
        },
        links: path.links,
        ...(props.formerId === undefined ? {} : { adopts: props.formerId }),
      },
      { definition: yaml, ...path.texts },
    );
    if (retired === undefined)
      new SyncTimer(this, 'Timer', { repositoryId: treeId, ...(props.schedule ? { schedule: props.schedule } : {}) });
  }

  /** Which files are copied. */
  private selection({
    files,
    folders,
    exclude,
    retention,
    trust,
    waivers,
  }: FileTreeProps): Pick<TreeDefinition, 'files' | 'folders' | 'exclude' | 'retention' | 'waivers'> {
    if (files !== undefined) checkList(this, 'files', files, 'file', treePath, 'Leave files out to copy what the checksum files list.');
    if (folders !== undefined) checkList(this, 'folders', folders, 'folder', treeFolder, 'Leave folders out to copy files only.');
    if (exclude !== undefined) checkList(this, 'exclude', exclude, 'glob', treeGlob, 'Leave exclude out to copy everything.');
    if (files === undefined && folders === undefined && trust.definition.mode === 'none')
      throw invalid(this, 'files', 'undefined', {
        allowed: 'without checksum files nothing says which files there are',
        fix: 'Name files or folders; folders: ["."] is everything.',
      });
    const under = folders?.find((folder) => folders.some((other) => other !== folder && (other === '.' || folder.startsWith(`${other}/`))));
    if (under !== undefined)
      throw invalid(this, 'folders', show(under), {
        allowed: 'it lies below another folder of the list',
        fix: 'Remove it: folders come whole.',
      });
    const allowed = treeWaivers(this, waivers ?? []);
    const kept = snapshotRetentionOf(this, retention, 'a file tree');
    return {
      ...(files === undefined ? {} : { files: [...files] }),
      ...(folders === undefined ? {} : { folders: [...folders] }),
      ...(exclude === undefined ? {} : { exclude: [...exclude] }),
      ...(kept === undefined ? {} : { retention: kept }),
      ...(allowed.length === 0 ? {} : { waivers: allowed }),
    };
  }
}
