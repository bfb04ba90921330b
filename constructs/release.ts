import { Construct } from 'constructs';
import type { ReleaseDefinition } from '../desired-state/definitions';
import { packageVersion } from '../desired-state/pin';
import { INNER, type Inner, releasedInnerLocations } from '../desired-state/render/inner';
import { releaseRepoFile } from '../desired-state/render/repo-file';
import { releaseService, releaseTimer } from '../desired-state/render/systemd';
import { definitionYaml } from '../desired-state/render/yaml';
import { id as validId, snapshotName, utcTime } from '../desired-state/validate';
import type { BuildReference } from './build-archive';
import type { FileTree } from './file-tree';
import type { InstallTree } from './install-tree';
import { MirrorServer } from './mirror-server';
import type { ModifiedPackages } from './modified-packages';
import type { MosCodename } from './mos-codename';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { isReleasable, type Releasable } from './private/releasable';
import { releasedBuilds, timeOfBuilds } from './private/released-builds';
import type { PackageLists } from './package-lists';
import type { RpmRepository } from './rpm-repository';
import type { TarballDownloads } from './tarball-downloads';

export interface ReleaseProps {
  /** What it consists of; of a codename all components. With `at`, or with `builds`. */
  readonly of?: readonly (RpmRepository | FileTree | TarballDownloads | InstallTree | PackageLists | MosCodename | ModifiedPackages)[];
  /**
   * Of each the newest snapshot that is not younger than this UTC time, for instance `2026-11-01T00:00:00Z`. It may be to come: the release is
   * frozen then. With `of`.
   *
   * @default with builds: when the last of them began, so that it is frozen together with what it was built from
   */
  readonly at?: string;
  /**
   * Instead of both: names of snapshots, by id of a repository or tree, or of a component (`mos/mos7.0-centos6/os`), as `mirrorctl status` and
   * `<public path>/@/` show them.
   */
  readonly snapshots?: Readonly<Record<string, string>>;
  /**
   * Builds that are released: their inputs and outputs, at `/mirror/starlingx/release/<id>/<distribution>[/<layer>]/`. The release is called by its
   * version then, `<N.M.P>`. Beside the others, or alone. @default none
   */
  readonly builds?: readonly BuildReference[];
  /**
   * Package versions (`name-[epoch:]version-release[.arch]`) that clients of the release get instead, from a small repository of its own. They may
   * change; the release does not. @default none
   */
  readonly pins?: readonly string[];
}

/**
 * A named set of snapshots, and of builds, that never changes, in a URL tree of its own: `/releases/<id>/<public path>/`. The deploy freezes it, or a timer when its
 * time has come. What was frozen stays what it is, also when it is no longer declared: then it is no longer public.
 */
export class Release extends Construct {
  constructor(server: MirrorServer, id: string, props: ReleaseProps) {
    super(server, id);
    checkProps(this, props, { of: true, at: true, snapshots: true, builds: true, pins: true });
    check(this, 'id', id, validId);
    const builds = props.builds === undefined ? undefined : releasedBuilds(this, MirrorServer.of(this), props.builds);
    const at = props.at ?? (builds === undefined || props.of === undefined ? undefined : timeOfBuilds(builds));
    const isAlone = builds !== undefined && props.of === undefined && props.at === undefined && props.snapshots === undefined;
    const members = isAlone ? [] : this.members(MirrorServer.of(this), { ...props, ...(at === undefined ? {} : { at }) });
    this.refuseGuarded(members);
    if (props.pins !== undefined) checkList(this, 'pins', props.pins, 'pin', packageVersion, 'Leave pins out to pin nothing.');
    const publicPath = `releases/${id}`;
    server.claimPath(this, publicPath);
    for (const build of builds ?? []) server.claimPath(this, build.publicPath);
    const url = `${server.siteUrl}/${publicPath}`;
    const inner = innerOf(members);
    const definition: ReleaseDefinition = {
      kind: 'release',
      id,
      ...(at === undefined ? {} : { at }),
      members: members.map((member) => ({
        id: member.id,
        publicPath: inner.has(member) ? `${INNER}/${member.id}/${member.publicPath}` : member.publicPath,
        ...(props.snapshots === undefined ? {} : { snapshot: props.snapshots[member.id] as string }),
      })),
      ...(props.pins === undefined ? {} : { pins: [...props.pins] }),
      ...(builds === undefined ? {} : { builds: [...builds], url }),
    };
    const yaml = definitionYaml(definition);
    const sections = members.flatMap((member) => member.section({ id, url }) ?? []);
    const repoFile = releaseRepoFile({ id, url, sections, hasPins: props.pins !== undefined, hasBuilds: builds !== undefined });
    const service = releaseService({ root: server.storageRoot });
    const timer = releaseTimer();
    const location = inner.size === 0 ? undefined : releasedInnerLocations(id, [...inner.values()]);
    declare(
      this,
      {
        id: `release/${id}`,
        files: {
          ...(location === undefined ? {} : { [`nginx/locations/release+${id}.conf`]: location }),
          [`definitions/releases/${id}.yaml`]: yaml,
          [`repo-files/release-${id}.repo`]: repoFile,
          'systemd/mirror-release.service': service,
          'systemd/mirror-release.timer': timer,
        },
        links: Object.fromEntries([
          [publicPath, publicPath],
          ...(builds ?? []).map((build) => [build.publicPath, `${publicPath}/${build.publicPath}`] as const),
        ]),
      },
      { definition: yaml, repo_file: repoFile, service, timer, ...(location === undefined ? {} : { location }) },
    );
  }

  private members(server: MirrorServer, { of, at, snapshots }: ReleaseProps): readonly Releasable[] {
    const fix =
      "Write { of: [repository, tree, codename], at: '2026-11-01T00:00:00Z' }, or { snapshots: { id: name } }, or { builds: [archive.build(…)] }.";
    if (snapshots !== undefined) {
      if (of !== undefined || at !== undefined)
        throw invalid(this, 'snapshots', show(snapshots), { allowed: 'they say by themselves what a release is: without of and at', fix });
      return this.named(server, snapshots);
    }
    if (at === undefined) throw invalid(this, 'at', 'undefined', { allowed: 'a release is of a time, or of named snapshots', fix });
    check(this, 'at', at, utcTime);
    if (!Array.isArray(of) || of.length === 0)
      throw invalid(this, 'of', show(of), {
        allowed: 'at least one RpmRepository, FileTree, TarballDownloads, InstallTree, PackageLists, MosCodename or ModifiedPackages',
        fix,
      });
    const members = of.flatMap((one: unknown, index) => {
      if (!isReleasable(one) || MirrorServer.of(one) !== server)
        throw invalid(this, `of[${index}]`, show(one), {
          allowed:
            'an RpmRepository, a FileTree, TarballDownloads, an InstallTree, PackageLists, a MosCodename or ModifiedPackages of the same server',
          fix,
        });
      return one.releasable;
    });
    const twice = members.find(({ id }, index) => members.findIndex((other) => other.id === id) !== index);
    if (twice !== undefined) throw invalid(this, 'of', JSON.stringify(twice.id), { allowed: 'each once', fix: 'Remove the second one.' });
    return members;
  }

  private named(server: MirrorServer, snapshots: Readonly<Record<string, string>>): readonly Releasable[] {
    if (typeof (snapshots as unknown) !== 'object' || Array.isArray(snapshots) || Object.keys(snapshots ?? {}).length === 0)
      throw invalid(this, 'snapshots', show(snapshots), {
        allowed: 'an object with at least one id and the name of a snapshot of it',
        fix: "For instance { 'epel-7': '20261101T023000Z-0123456789ab' }.",
      });
    const known = new Map(
      server.node
        .findAll()
        .filter(isReleasable)
        .flatMap(({ releasable }) => releasable.map((one) => [one.id, one] as const)),
    );
    return Object.entries(snapshots).map(([id, name]) => {
      const found = known.get(id);
      if (found === undefined)
        throw invalid(this, 'snapshots', JSON.stringify(id), {
          allowed: `ids that are declared before: ${[...known.keys()].sort().join(', ')}`,
          fix: 'Declare the release after what it consists of.',
        });
      check(this, `snapshots[${JSON.stringify(id)}]`, name, snapshotName);
      return found;
    });
  }

  /** What only some may read would be there for everybody. */
  private refuseGuarded(members: readonly Releasable[]): void {
    const guarded = members.find(({ guardedBy }) => guardedBy !== undefined);
    if (guarded === undefined) return;
    throw invalid(this, 'of', JSON.stringify(guarded.id), {
      allowed: `everybody may read a release, and the access list of the customer ${guarded.guardedBy} would not hold for it there`,
      fix: 'Leave it out. Its own paths answer for any time, behind its list: <path>/@2026-11-01T00:00:00Z/.',
    });
  }
}

/** Of members that lie in another one's tree: what of that they answer for. What else is declared does not count: a release has its members for ever. */
function innerOf(members: readonly Releasable[]): ReadonlyMap<Releasable, Inner> {
  const found = new Map<Releasable, Inner>();
  for (const member of members) {
    const { id, publicPath, names } = member;
    if (members.some((other) => publicPath.startsWith(`${other.publicPath}/`))) found.set(member, { id, inner: [`${publicPath}/`] });
    else if (names !== undefined && members.some((other) => other.publicPath === publicPath && other !== member))
      found.set(member, { id, inner: names.map((name) => `${publicPath}/${name}`) });
  }
  return found;
}
