import { Construct } from 'constructs';
import type { KeyReference, ListsDefinition } from '../desired-state/definitions';
import { MirrorError } from '../desired-state/errors';
import { copiedRepoFile, releasedCopy } from '../desired-state/render/repo-file';
import { definitionYaml } from '../desired-state/render/yaml';
import { distribution as validDistribution, id as validId } from '../desired-state/validate';
import { askedPackages } from '../starlingx/asked';
import { parseDigests } from '../starlingx/digests';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { parsed, readProjectList, readServedList } from './private/project-file';
import { checkKeys } from './private/public-keys';
import type { Releasable } from './private/releasable';
import { Distribution } from './distribution';
import type { MirrorServer } from './mirror-server';
import type { PublicKey } from './public-key';
import { type Retention, retentionOf } from './retention';
import { checkSchedule, type SyncSchedule } from './sync-schedule';
import { SyncTimer } from './sync-timer';
import { listsWaivers, type Waiver } from './waiver';

export interface PackageListsProps {
  /** Lists, files of the project: `rpms_centos.lst`, `rpms_centos3rdparties.lst`, `rpms_3rdparties.lst`. Each is served under its base name. */
  readonly lists: readonly string[];
  /** Which release's lists they are: a segment of the public path. */
  readonly release: string;
  /** Which layer's, where each has lists of its own: the last segment of the public path. @default the release has one set of lists */
  readonly layer?: string;
  /**
   * Recorded digests of packages that a line gives a URL, a file of the project as sha256sum writes it. Another file is refused.
   * @default what comes first under a URL is taken, if `keys` let it, and nothing else under it after that
   */
  readonly digests?: string;
  /** One of these must have signed a package that a line gives a URL, where no digest of it is recorded. @default such packages need no signature */
  readonly keys?: readonly PublicKey[];
  /** @default Distribution.CENTOS */
  readonly distribution?: Distribution;
  /** Name on the server, in units and commands; nothing else that is synced has the same. @default the construct's id */
  readonly id?: string;
  /** The id that it had before: what was published under it stays. Remove this after the deploy. @default none */
  readonly formerId?: string;
  /** What a sync refuses, and is meant here: `Waiver.incomplete`, `Waiver.privateAddresses`. @default none */
  readonly waivers?: readonly Waiver<'repository'>[];
  /** What is kept of packages that the lists ask for no more, in the place of the server's rules. @default the server's */
  readonly retention?: Retention;
  /** @default daily, between 06:00 and 06:59 UTC, when the repositories have been synced: what they bring is found */
  readonly schedule?: SyncSchedule;
}

/**
 * The packages that lists of StarlingX ask for, each line a pin: a repository of exactly these, and of what the lists asked for before, at
 * `/mirror/starlingx/lists/<release>/<distribution>[/<layer>]/`, signed by the mirror. They come from the repositories that are declared on the server, now or
 * in an earlier snapshot, or from the URL that the line says. While a list asks for a package, no repository's retention takes it, and it passes every filter.
 */
export class PackageLists extends Construct {
  /** @internal */
  readonly releasable: readonly Releasable[];

  constructor(server: MirrorServer, id: string, props: PackageListsProps) {
    super(server, id);
    checkProps(this, props, {
      lists: true,
      release: true,
      layer: true,
      digests: true,
      keys: true,
      distribution: true,
      id: true,
      formerId: true,
      waivers: true,
      retention: true,
      schedule: true,
    });
    const listsId = props.id ?? id;
    check(this, 'id', listsId, validId);
    if (props.formerId !== undefined) server.checkFormerId(this, 'lists', listsId, props.formerId);
    const publicPath = this.publicPath(props);
    server.claimPath(this, publicPath);
    const { lists, digests } = this.asked(props);
    const keys = this.keys(props);
    checkSchedule(this, props.schedule);
    const waivers = listsWaivers(this, props.waivers ?? []);
    const retention = retentionOf(this, props.retention);
    const retired = props.schedule?.retired;
    const definition: ListsDefinition = {
      kind: 'lists',
      id: listsId,
      ...(props.formerId === undefined ? {} : { formerId: props.formerId }),
      publicPath,
      lists,
      ...(digests === undefined ? {} : { digests }),
      ...(keys === undefined ? {} : { keys }),
      ...(retention === undefined ? {} : { retention }),
      ...(retired === undefined ? {} : { retired }),
      ...(waivers.length === 0 ? {} : { waivers }),
    };
    const yaml = definitionYaml(definition);
    // Packages of several upstreams: clients check each by the metadata, which the mirror signs.
    const clients = {
      ...{ id: listsId, publicUrlPath: publicPath },
      ...{ trust: { mode: 'digestsOnly' as const, reason: 'the mirror verified each package' }, view: 'accumulate' as const },
    };
    this.releasable = [{ id: listsId, publicPath, section: (release) => releasedCopy(release, clients) }];
    const repoFile = copiedRepoFile({ ...clients, name: listsId, siteUrl: server.siteUrl });
    declare(
      this,
      {
        id: `lists/${listsId}`,
        files: {
          [`definitions/lists/${listsId}.yaml`]: yaml,
          [`repo-files/${listsId}.repo`]: repoFile,
          ...Object.fromEntries((props.keys ?? []).map((key) => [`keys/${key.name}`, key.armoured])),
        },
        links: { [publicPath]: `repositories/${listsId}/current` },
        ...(props.formerId === undefined ? {} : { adopts: props.formerId }),
      },
      { definition: yaml, repo_file: repoFile },
    );
    if (retired === undefined)
      new SyncTimer(this, 'Timer', { repositoryId: listsId, ...(props.schedule ? { schedule: props.schedule } : {}) });
  }

  private publicPath({ release, layer, distribution = Distribution.CENTOS }: PackageListsProps): string {
    check(this, 'release', release, validId);
    if (layer !== undefined) check(this, 'layer', layer, validId);
    check(this, 'distribution', distribution, validDistribution);
    return ['mirror/starlingx/lists', release, distribution, ...(layer === undefined ? [] : [layer])].join('/');
  }

  /** The texts of the lists, and the recorded digests, by name. */
  private asked({ lists: paths, digests: digestsFile }: PackageListsProps): Pick<ListsDefinition, 'lists' | 'digests'> {
    checkList(this, 'lists', paths, 'list', () => undefined, 'Name the lists, for instance ["lists/3.0/rpms_centos.lst"].');
    const lists: Record<string, string> = {};
    for (const path of paths) {
      const { name, bytes } = readServedList(this, 'lists', path);
      if (Object.hasOwn(lists, name))
        throw invalid(this, 'lists', show(path), {
          allowed: `another of the lists is called ${name}, and each is served under its name`,
          fix: 'Rename one, or declare the lists of another layer by a construct of their own.',
        });
      parsed(this, 'lists', path, () => askedPackages({ [name]: bytes.toString('utf8') }));
      lists[name] = bytes.toString('utf8');
    }
    const digests = digestsFile === undefined ? undefined : this.digests(digestsFile);
    this.together(lists, digests, digestsFile);
    return { lists, ...(digests === undefined || Object.keys(digests).length === 0 ? {} : { digests }) };
  }

  /** What the lists ask for together, with the digests: they must not contradict one another. */
  private together(lists: ListsDefinition['lists'], digests: ListsDefinition['digests'], digestsFile: string | undefined): void {
    try {
      const asked = askedPackages(lists, digests);
      const needless = asked.find(({ url, sha256 }) => url === undefined && sha256 !== undefined);
      if (needless === undefined) return;
      throw invalid(this, 'digests', show(digestsFile), {
        allowed: `${needless.file} has a digest and no URL (${needless.list} line ${needless.line}): it comes from a repository, which says what it must be`,
        fix: 'Remove its digest, or give the line a URL.',
      });
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      const prop = error.code === 'LIST_DIGEST' ? 'digests' : 'lists';
      throw invalid(this, prop, show(prop === 'digests' ? digestsFile : Object.keys(lists)), { allowed: error.message, fix: error.remedy });
    }
  }

  private digests(path: string): Record<string, string> {
    const { name, bytes } = readProjectList(this, 'digests', path);
    return Object.fromEntries(parsed(this, 'digests', path, () => parseDigests(bytes, name)));
  }

  private keys({ keys }: PackageListsProps): KeyReference[] | undefined {
    if (keys === undefined) return undefined;
    checkList(this, 'keys', keys, 'key', () => undefined, 'Put the public key into keys/ and pass key("<file>"), or leave keys out.');
    checkKeys(this, keys);
    return keys.map(({ name, fingerprint }) => ({ file: `keys/${name}`, fingerprint }));
  }
}
