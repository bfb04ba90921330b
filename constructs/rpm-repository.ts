import { Construct } from 'constructs';
import type { RepositoryDefinition } from '../desired-state/definitions';
import { copiedRepoFile, type CopiedRepoFile, releasedCopy } from '../desired-state/render/repo-file';
import { definitionYaml } from '../desired-state/render/yaml';
import { maxAgeDays } from '../desired-state/validate-sync';
import { check, checkProps, invalid, show } from './private/check';
import { copied } from './private/copied';
import { declare } from './private/declare';
import type { Releasable } from './private/releasable';
import { TRUST_SOURCE, type TrustSource } from './private/source';
import type { Distribution } from './distribution';
import { MirrorServer } from './mirror-server';
import { filterOf, type PackageFilter } from './package-filter';
import { pinsOf, type Retention, retentionOf, snapshotRetentionOf } from './retention';
import { checkSchedule, type SyncSchedule } from './sync-schedule';
import { SyncTimer } from './sync-timer';
import { Trust } from './trust';
import { sourcesOf, type Upstream } from './upstream';
import { repositoryWaivers, type Waiver } from './waiver';

/** How upstream's content is shown to clients. */
export enum View {
  /** Upstream's metadata byte for byte, its signature intact; what upstream drops is gone with the next sync, after a grace period. */
  VERBATIM = 'verbatim',
  /**
   * All that upstream has, and what it dropped since: nothing vanishes, and a bad package does not hold up the others. Metadata is merged
   * (advisories, groups, modules) and signed by the mirror; packages stay as upstream signed them.
   */
  ACCUMULATE = 'accumulate',
}

export interface RpmRepositoryProps {
  /** Name on the server, in units and commands. @default the construct's id */
  readonly id?: string;
  /** The id that it had before: what was mirrored under it stays, and stays public. Remove this after the deploy. @default none */
  readonly formerId?: string;
  /**
   * The original URL, the one that lists and clients know. The public path follows from it, and stays when upstream moves:
   * `http://mirror.centos.org/centos/7/os/x86_64/` is served at `/mirror/centos/centos/mirror.centos.org/centos/7/os/x86_64/`.
   */
  readonly publishedAs: string;
  /**
   * Where the bytes come from today, first choice first: base URLs that hold `repodata/` (http, https, or a module and path of an rsync
   * server: `rsync://host/module/path/`), or lists of mirrors (`Upstream.metalink(url)`, `Upstream.mirrorlist(url)`).
   * @default [publishedAs]
   */
  readonly fetchFrom?: readonly (string | Upstream)[];
  /** What is verified before anything is published. */
  readonly trust: Trust;
  readonly view: View;
  /** Which packages are taken; of View.ACCUMULATE only. @default all that upstream lists */
  readonly filter?: PackageFilter;
  /**
   * Metadata that upstream made longer ago is refused: somebody in between holds back updates, or the upstream has ended. Days.
   * @default any age
   */
  readonly maxAgeDays?: number;
  /** What is kept beside what upstream has now, in the place of the server's rules. @default the server's */
  readonly retention?: Retention;
  /**
   * Package versions that stay whatever the rules say: `name-[epoch:]version-release[.arch]`. Of View.ACCUMULATE only.
   * @default none
   */
  readonly pins?: readonly string[];
  /** What a sync refuses of this upstream, and is meant here. @default none */
  readonly waivers?: readonly Waiver<'repository'>[];
  /** @default daily, at a time between 02:00 and 05:59 UTC that follows from the id */
  readonly schedule?: SyncSchedule;
  /** First segment of the public path below `/mirror`. @default Distribution.CENTOS */
  readonly distribution?: Distribution;
}

/** An RPM repository that is copied from an upstream: synced on a schedule, verified, and published by one rename. */
export class RpmRepository extends Construct {
  /** @internal */
  readonly releasable: readonly Releasable[];
  /**
   * What clients configure of it.
   * @internal
   */
  readonly clients: CopiedRepoFile;

  constructor(server: MirrorServer, id: string, props: RpmRepositoryProps) {
    super(server, id);
    checkProps(this, props, {
      id: true,
      formerId: true,
      publishedAs: true,
      fetchFrom: true,
      trust: true,
      view: true,
      filter: true,
      maxAgeDays: true,
      retention: true,
      pins: true,
      waivers: true,
      schedule: true,
      distribution: true,
    });
    const repositoryId = props.id ?? id;
    const path = copied(this, server, 'repository', repositoryId, props);
    const fetchFrom = sourcesOf(this, props.fetchFrom ?? [props.publishedAs]);
    if (!((props.trust as unknown) instanceof Trust)) {
      throw invalid(this, 'trust', show(props.trust), {
        allowed: 'every repository declares its trust',
        fix: 'Trust.signedMetadata(keys), Trust.signedPackages(keys) or Trust.digestsOnly(reason).',
      });
    }
    if (!Object.values(View).includes(props.view))
      throw invalid(this, 'view', show(props.view), {
        allowed: `a view is one of ${Object.values(View).join(', ')}`,
        fix: "View.VERBATIM for upstream's own metadata, View.ACCUMULATE where nothing may vanish.",
      });
    const selection = this.selection(props);
    checkSchedule(this, props.schedule);
    const retired = props.schedule?.retired;
    const trust = props.trust.definition();
    const position = props.trust.declaredAt;
    if (position !== undefined) this.node.addMetadata(TRUST_SOURCE, { repository: repositoryId, position } satisfies TrustSource);
    const definition: RepositoryDefinition = {
      kind: 'repository',
      id: repositoryId,
      ...(props.formerId === undefined ? {} : { formerId: props.formerId }),
      publishedAs: props.publishedAs,
      publicPath: path.decoded,
      fetchFrom,
      trust,
      view: props.view,
      ...selection,
      ...(retired === undefined ? {} : { retired }),
    };
    this.releasable = [
      {
        id: repositoryId,
        publicPath: path.decoded,
        section: (release) => releasedCopy(release, { id: repositoryId, publicUrlPath: path.encoded, trust, view: props.view }),
      },
    ];
    const yaml = definitionYaml(definition);
    const { siteUrl } = server;
    this.clients = { id: repositoryId, name: repositoryId, siteUrl, publicUrlPath: path.encoded, trust, view: props.view };
    const repoFile = copiedRepoFile(this.clients);
    declare(
      this,
      {
        id: `repository/${repositoryId}`,
        files: {
          [`definitions/repositories/${repositoryId}.yaml`]: yaml,
          [`repo-files/${repositoryId}.repo`]: repoFile,
          ...path.files,
          ...Object.fromEntries(props.trust.keys.map((k) => [`keys/${k.name}`, k.armoured])),
        },
        links: path.links,
        ...(props.formerId === undefined ? {} : { adopts: props.formerId }),
      },
      { definition: yaml, repo_file: repoFile, ...path.texts },
    );
    if (retired === undefined) new SyncTimer(this, 'Timer', { repositoryId, ...(props.schedule ? { schedule: props.schedule } : {}) });
  }

  /** What of upstream is taken, and what is accepted that is refused otherwise. */
  private selection(props: RpmRepositoryProps): Pick<RepositoryDefinition, 'filter' | 'maxAgeDays' | 'retention' | 'pins' | 'waivers'> {
    const filter = filterOf(this, props.filter);
    if (props.filter !== undefined && props.view === View.VERBATIM)
      throw invalid(this, 'filter', show(props.filter), {
        allowed: "a verbatim repository shows upstream's metadata byte for byte, and it names every package",
        fix: 'Remove the filter, or declare view: View.ACCUMULATE.',
      });
    if (props.maxAgeDays !== undefined) check(this, 'maxAgeDays', props.maxAgeDays, maxAgeDays);
    const isVerbatim = props.view === View.VERBATIM;
    const retention = isVerbatim ? snapshotRetentionOf(this, props.retention, 'a verbatim copy') : retentionOf(this, props.retention);
    const pins = pinsOf(this, props.pins);
    if (pins !== undefined && isVerbatim)
      throw invalid(this, 'pins', show(props.pins), {
        allowed: 'a verbatim copy has what its upstream has',
        fix: 'Declare view: View.ACCUMULATE, or pin the versions in a Release.',
      });
    const waivers = repositoryWaivers(this, props.waivers ?? []);
    if (props.maxAgeDays === undefined && waivers.some(({ allow }) => allow === 'staleMetadata'))
      throw invalid(this, 'waivers', 'Waiver.staleMetadata', {
        allowed: 'it waives maxAgeDays, and none is declared: metadata of any age is taken',
        fix: 'Remove the waiver.',
      });
    return {
      ...(filter === undefined ? {} : { filter }),
      ...(props.maxAgeDays === undefined ? {} : { maxAgeDays: props.maxAgeDays }),
      ...(retention === undefined ? {} : { retention }),
      ...(pins === undefined ? {} : { pins }),
      ...(waivers.length === 0 ? {} : { waivers }),
    };
  }
}
