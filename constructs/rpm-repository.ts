import { Construct } from 'constructs';
import type { RepositoryDefinition } from '../desired-state/definitions';
import { copiedRepoFile } from '../desired-state/render/repo-file';
import { definitionYaml } from '../desired-state/render/yaml';
import { distribution, id as validId, upstreamUrl } from '../desired-state/validate';
import { MirrorError } from '../desired-state/errors';
import { mirrorPath } from '../starlingx/url-mapping';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { TRUST_SOURCE, type TrustSource } from './private/source';
import { Distribution } from './distribution';
import { MirrorServer } from './mirror-server';
import { checkSchedule, type SyncSchedule } from './sync-schedule';
import { SyncTimer } from './sync-timer';
import { Trust } from './trust';

/** How upstream's content is shown to clients. */
export enum View {
  /** Upstream's metadata byte for byte, its signature intact; what upstream drops is gone with the next sync, after a grace period. */
  VERBATIM = 'verbatim',
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
  /** Where the bytes come from today, first choice first: base URLs (http or https) that hold `repodata/`. @default [publishedAs] */
  readonly fetchFrom?: readonly string[];
  /** What is verified before anything is published. */
  readonly trust: Trust;
  readonly view: View;
  /** @default daily, at a time between 02:00 and 05:59 UTC that follows from the id */
  readonly schedule?: SyncSchedule;
  /** First segment of the public path below `/mirror`. @default Distribution.CENTOS */
  readonly distribution?: Distribution;
}

/** An RPM repository that is copied from an upstream: synced on a schedule, verified, and published by one rename. */
export class RpmRepository extends Construct {
  constructor(server: MirrorServer, id: string, props: RpmRepositoryProps) {
    super(server, id);
    checkProps(this, props, {
      id: true,
      formerId: true,
      publishedAs: true,
      fetchFrom: true,
      trust: true,
      view: true,
      schedule: true,
      distribution: true,
    });
    const repositoryId = props.id ?? id;
    check(this, 'id', repositoryId, validId);
    if (props.formerId !== undefined) server.checkFormerId(this, 'repository', repositoryId, props.formerId);
    check(this, 'publishedAs', props.publishedAs, upstreamUrl);
    const fetchFrom = props.fetchFrom ?? [props.publishedAs];
    checkList(this, 'fetchFrom', fetchFrom, 'URL', upstreamUrl, 'Leave fetchFrom out to fetch from publishedAs.');
    check(this, 'distribution', props.distribution ?? Distribution.CENTOS, distribution);
    if (!((props.trust as unknown) instanceof Trust)) {
      throw invalid(this, 'trust', show(props.trust), {
        allowed: 'every repository declares its trust',
        fix: 'Trust.signedMetadata(keys), Trust.signedPackages(keys) or Trust.digestsOnly(reason).',
      });
    }
    if (!Object.values(View).includes(props.view))
      throw invalid(this, 'view', show(props.view), {
        allowed: `a view is one of ${Object.values(View).join(', ')}`,
        fix: 'View.VERBATIM.',
      });
    checkSchedule(this, props.schedule);

    const path = this.publicPath(props.publishedAs, props.distribution ?? Distribution.CENTOS);
    server.claimPath(this, path.decoded);
    const trust = props.trust.definition();
    const position = props.trust.declaredAt;
    if (position !== undefined) this.node.addMetadata(TRUST_SOURCE, { repository: repositoryId, position } satisfies TrustSource);
    const definition: RepositoryDefinition = {
      kind: 'repository',
      id: repositoryId,
      ...(props.formerId === undefined ? {} : { formerId: props.formerId }),
      publishedAs: props.publishedAs,
      publicPath: path.decoded,
      fetchFrom: [...fetchFrom],
      trust,
      view: props.view,
    };
    const yaml = definitionYaml(definition);
    const repoFile = copiedRepoFile({ id: repositoryId, name: repositoryId, siteUrl: server.siteUrl, publicUrlPath: path.encoded, trust });
    declare(
      this,
      {
        id: `repository/${repositoryId}`,
        files: {
          [`definitions/repositories/${repositoryId}.yaml`]: yaml,
          [`repo-files/${repositoryId}.repo`]: repoFile,
          ...Object.fromEntries(props.trust.keys.map((k) => [`keys/${k.name}`, k.armoured])),
        },
        links: { [path.decoded]: `repositories/${repositoryId}/current` },
        ...(props.formerId === undefined ? {} : { adopts: props.formerId }),
      },
      { definition: yaml, repo_file: repoFile },
    );
    new SyncTimer(this, 'Timer', { repositoryId, ...(props.schedule ? { schedule: props.schedule } : {}) });
  }

  private publicPath(url: string, distro: string): { decoded: string; encoded: string } {
    try {
      return mirrorPath(url, distro);
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      throw invalid(this, 'publishedAs', JSON.stringify(url), { allowed: error.message, fix: error.remedy });
    }
  }
}
