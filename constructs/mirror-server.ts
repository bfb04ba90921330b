import { DataLocalCommand } from '@cdktf/provider-local/lib/data-local-command';
import { Resource } from '@cdktf/provider-null/lib/resource';
import { Lazy, type TerraformResource } from 'cdktf';
import { Construct, type IConstruct } from 'constructs';
import {
  ANNOUNCEMENTS,
  MIRROR_KEY,
  MIRROR_PACKAGES,
  NOT_OBSERVED,
  SCHEMA_VERSION,
  type DesiredState,
  type Element,
} from '../desired-state/model';
import type { ServerDefinition } from '../desired-state/definitions';
import { foldedName } from '../desired-state/certificates';
import { PRODUCT_OWNER, STARLINGX_OWNER } from '../desired-state/mos-scheme';
import type { ClientCertificates } from '../desired-state/render/nginx';
import type { Target } from '../desired-state/target';
import {
  healthService,
  healthTimer,
  machineService,
  retentionService,
  retentionTimer,
  scrubService,
  scrubTimer,
  syncNewService,
  syncService,
  timeService,
  timeSocket,
} from '../desired-state/render/systemd';
import { definitionYaml } from '../desired-state/render/yaml';
import { wholeNumber } from '../desired-state/validate-sync';
import { confirmSeconds, flag, host, id as validId, port, storageRoot, user } from '../desired-state/validate';
import { check, checkProps, invalid } from './private/check';
import { authorizedKeysOf, type DeployAccountProps } from './private/deploy-account';
import { declare, literal } from './private/declare';
import { PublicPaths } from './private/public-paths';
import { deploymentFiles } from './private/deployment';
import { hostKeysOf, type HostKeyPin } from './private/host-keys';
import { MirrorStack } from './mirror-stack';
import { diskGuardOf, type DiskGuard } from './disk-guard';
import { generatedKeys, keyLines, signingKeysOf, supplied, type DeclaredKeys, type SigningKeyProps } from './signing-key';
import { serverRetentionOf, type ServerRetention } from './retention';
import type { Secret } from './secret';
import { syncLimitsOf, type SyncLimits } from './sync-limits';
import { checkServerWaivers, type Waiver } from './waiver';

/** A host that the operator's machine connects through. Pinned like the server itself: by `hostKey` or `knownHosts`. */
export interface JumpHost extends HostKeyPin {
  readonly address: string;
  /** @default 22 */
  readonly port?: number;
  readonly user: string;
}

/** The server's own SSH host key is pinned by `hostKey` or `knownHosts`. */
export interface MirrorServerProps extends HostKeyPin, DeployAccountProps, SigningKeyProps {
  /** DNS name or IP address that SSH connects to. */
  readonly address: string;
  /** @default 22 */
  readonly port?: number;
  /** @default the server is reached directly */
  readonly jumpHost?: JumpHost;
  /** Directory for all content. @default "/srv/mirror" */
  readonly storageRoot?: string;
  /**
   * Whether the storage root is a mount point of its own; if so, nothing is activated or synced while it is not mounted.
   * @default true
   */
  readonly storageOnOwnMount?: boolean;
  /**
   * A deploy that the operator cannot confirm over a new connection within this many seconds is taken back by the server.
   * @default 60
   */
  readonly confirmWithinSeconds?: number;
  /** What is refused as a likely accident, and meant this time. @default none */
  readonly waivers?: readonly Waiver<'server'>[];
  /** How much of the host, of the line and of the upstreams syncs may take together. @default 4 at a time, 2 from one upstream */
  readonly sync?: SyncLimits;
  /**
   * All content is read again, and compared with its digests, within so many days: each day as large a part of it.
   * @default 30
   */
  readonly scrubEveryDays?: number;
  /** What copies keep beside what their upstreams have, and how the rest goes. @default packages for ever, snapshots for 90 days */
  readonly retention?: ServerRetention;
  /** When the disk is too full for syncs, and when somebody is to hear of it. @default 95 %, 90 %, 30 days before it is full */
  readonly diskGuard?: DiskGuard;
}

/** Owners that are no customers, and what of theirs is in their directory of content. */
const OWN_DIRECTORY: ReadonlyMap<string, string> = new Map([
  [PRODUCT_OWNER, 'the product itself, whose codenames'],
  [STARLINGX_OWNER, 'StarlingX itself, whose modified packages'],
]);

/** Kinds of elements whose ids are names of directories below `repositories/`. */
const SHARE_DIRECTORY = ['repository', 'tree', 'downloads', 'lists', 'customer'] as const;

/** What the vhost tells the server about itself. */
interface Site {
  readonly serverName: string;
  readonly port: number;
  readonly tls?: NonNullable<DesiredState['tls']>;
}

/**
 * A bare-metal server. Everything declared below it (vhost, repositories, customers) becomes part of one activation: one SSH session that
 * makes the server match, or leaves it as it was.
 */
export class MirrorServer extends Construct {
  /** The server that a construct was declared on. */
  static of(scope: IConstruct): MirrorServer {
    const found = scope.node.scopes.find((s): s is MirrorServer => s instanceof MirrorServer);
    if (!found) {
      throw invalid(scope, 'scope', scope.node.path, {
        allowed: 'this construct belongs to a MirrorServer',
        fix: 'Pass the MirrorServer, or a construct below it, as the first argument.',
      });
    }
    return found;
  }

  readonly storageRoot: string;
  private readonly ownMount: boolean;
  private readonly target: Target;
  private readonly settings: Pick<DesiredState, 'secrets' | 'generatedKeys' | 'deployAccount' | 'confirmSeconds'>;
  private readonly keys: DeclaredKeys;
  private readonly waivers: readonly Waiver[];
  private readonly elements = new Map<string, { element: Element; declaredAt: string }>();
  private readonly files = new Map<string, { text: string; declaredAt: string }>();
  private readonly publicPaths = new PublicPaths();
  /** `<kind>/<former id>` → construct that had it. */
  private readonly formerIds = new Map<string, string>();
  /** What constructs need besides: Debian packages, and secrets by name. */
  private readonly morePackages = new Set<string>();
  private readonly moreSecrets = new Map<string, Secret>();
  /** Name of an authority of clients, folded → who has it. */
  private readonly authorities = new Map<string, { scope: IConstruct; pem: string; hasSubjects: boolean }[]>();
  private readonly activation: Resource;
  private site: Site | undefined;

  constructor(scope: Construct, id: string, props: MirrorServerProps) {
    super(scope, id);
    const stack = MirrorStack.of(this);
    if (!(stack instanceof MirrorStack)) {
      throw invalid(this, 'scope', stack.node.path, {
        allowed: 'a MirrorServer belongs to a MirrorStack',
        fix: 'Declare it in a MirrorStack.',
      });
    }
    if (stack.node.findAll().some((c) => c instanceof MirrorServer && c !== this)) {
      throw invalid(this, 'scope', stack.node.path, {
        allowed: 'a stack has one MirrorServer',
        fix: 'Declare the second server in a MirrorStack of its own.',
      });
    }
    checkProps(this, props, {
      address: true,
      port: true,
      user: true,
      hostKey: true,
      knownHosts: true,
      jumpHost: true,
      storageRoot: true,
      storageOnOwnMount: true,
      signingKey: true,
      previousSigningKey: true,
      authorizedKeys: true,
      bootstrapUser: true,
      confirmWithinSeconds: true,
      waivers: true,
      sync: true,
      scrubEveryDays: true,
      retention: true,
      diskGuard: true,
    });
    check(this, 'address', props.address, host);
    check(this, 'port', props.port ?? 22, port);
    const authorizedKeys = authorizedKeysOf(this, props);
    check(this, 'confirmWithinSeconds', props.confirmWithinSeconds ?? 60, confirmSeconds);
    checkServerWaivers(this, props.waivers ?? []);
    const limits = syncLimitsOf(this, props.sync);
    if (props.scrubEveryDays !== undefined) check(this, 'scrubEveryDays', props.scrubEveryDays, wholeNumber(1, 365));
    const hostKeys = hostKeysOf(this, '', props, { address: props.address, port: props.port ?? 22 });
    let jumpHost: Target['jumpHost'];
    if (props.jumpHost !== undefined) {
      checkProps(this, props.jumpHost, { address: true, port: true, user: true, hostKey: true, knownHosts: true }, 'jumpHost');
      check(this, 'jumpHost.address', props.jumpHost.address, host);
      check(this, 'jumpHost.port', props.jumpHost.port ?? 22, port);
      check(this, 'jumpHost.user', props.jumpHost.user, user);
      const jump = { address: props.jumpHost.address, port: props.jumpHost.port ?? 22 };
      jumpHost = { ...jump, user: props.jumpHost.user, hostKeys: hostKeysOf(this, 'jumpHost.', props.jumpHost, jump) };
    }
    check(this, 'storageRoot', props.storageRoot ?? '/srv/mirror', storageRoot);
    check(this, 'storageOnOwnMount', props.storageOnOwnMount ?? true, flag);
    const keys = signingKeysOf(this, props);
    this.storageRoot = props.storageRoot ?? '/srv/mirror';
    this.ownMount = props.storageOnOwnMount ?? true;
    this.target = {
      address: props.address,
      port: props.port ?? 22,
      user: props.user ?? 'root',
      hostKeys,
      ...(jumpHost ? { jumpHost } : {}),
      ...(authorizedKeys === undefined ? {} : { bootstrapUser: props.bootstrapUser ?? 'root' }),
      secrets: Object.fromEntries(supplied(keys).map(([name, { source }]) => [name, source])),
    };
    stack.deploysTo(props.address);
    this.settings = {
      secrets: Object.fromEntries(supplied(keys).map(([name, { version }]) => [name, version])),
      ...generatedKeys(keys),
      ...(authorizedKeys === undefined ? {} : { deployAccount: this.target.user }),
      confirmSeconds: props.confirmWithinSeconds ?? 60,
    };
    this.keys = keys;
    this.claimPath(this, MIRROR_KEY.publicPath);
    this.claimPath(this, ANNOUNCEMENTS.publicPath);
    this.waivers = props.waivers ?? [];
    const files = deploymentFiles(this, () => ({ target: this.completeTarget(), desiredState: this.desiredState() }));
    this.activation = this.activate(files);
    const retention = serverRetentionOf(this, props.retention);
    const diskGuard = diskGuardOf(this, props.diskGuard);
    this.declareServices(authorizedKeys, {
      ...(limits === undefined ? {} : { sync: limits }),
      ...(props.scrubEveryDays === undefined ? {} : { scrubEveryDays: props.scrubEveryDays }),
      ...(retention === undefined ? {} : { retention }),
      ...(diskGuard === undefined ? {} : { diskGuard }),
    });
    this.node.addValidation({
      validate: () =>
        this.site
          ? []
          : [
              `${this.node.path}: no NginxVhost was declared, so nothing would be served. Add: new NginxVhost(server, "vhost", { serverName: … })`,
            ],
    });
  }

  /** The base URL that clients use: `http://mirror.example.org`, or with https where the site has TLS. */
  get siteUrl(): string {
    const { serverName, port: plain, tls } = this.declaredSite;
    if (tls !== undefined) return `https://${serverName}${tls.port === 443 ? '' : `:${tls.port}`}`;
    return `http://${serverName}${plain === 80 ? '' : `:${plain}`}`;
  }

  /**
   * Whether the site answers TLS.
   * @internal
   */
  get hasTls(): boolean {
    return this.declaredSite.tls !== undefined;
  }

  private get declaredSite(): Site {
    if (this.site) return this.site;
    throw invalid(this, 'vhost', 'undefined', {
      allowed: 'the NginxVhost is declared before what it serves',
      fix: 'Move new NginxVhost(…) up, directly below the server.',
    });
  }

  /**
   * The name that clients know the site by.
   * @internal
   */
  get siteName(): string {
    return new URL(this.siteUrl).hostname;
  }

  /**
   * Versions of signing keys that the server makes.
   * @internal
   */
  get generatedKeyVersions(): readonly string[] {
    return Object.values(this.settings.generatedKeys ?? {});
  }

  /**
   * The account that deploys log in as.
   * @internal
   */
  get loginUser(): string {
    return this.target.user;
  }

  /**
   * Notes what a construct needs on the server besides its element.
   * @internal
   */
  needs(packages: readonly string[], secrets: Readonly<Record<string, Secret>>): void {
    for (const name of packages) this.morePackages.add(name);
    for (const [name, secret] of Object.entries(secrets)) this.moreSecrets.set(name, secret);
  }

  /**
   * Notes the authorities of a customer's clients. Which authority issued a certificate says whose client it is, and the name is all that nginx tells
   * of it: two of one name are refused, and so is one of two customers, unless each names the certificates that are its own.
   * @internal
   */
  claimAuthorities(scope: IConstruct, { authorities, subjects }: ClientCertificates): void {
    for (const { name, pem } of authorities) {
      const claims = this.authorities.get(foldedName(name)) ?? [];
      for (const other of claims) {
        if (other.scope === scope || (other.pem === pem && other.hasSubjects && subjects !== undefined)) continue;
        throw invalid(scope, 'access', JSON.stringify(name), {
          allowed: `an authority of this name is that of ${other.scope.node.path} already, and its clients could read both`,
          fix: 'Use an authority of its own; where it is the very same one, name the certificates of each customer in subjects.',
        });
      }
      this.authorities.set(foldedName(name), [...claims, { scope, pem, hasSubjects: subjects !== undefined }]);
    }
  }

  /** @internal */
  setSite(scope: IConstruct, site: Site): void {
    if (this.site) throw invalid(scope, 'scope', this.node.path, { allowed: 'a server has one NginxVhost', fix: 'Remove the second one.' });
    this.site = site;
  }

  /**
   * Claims a public path for one construct; refuses one that is taken, or lies under or above another.
   *
   * @param path decoded, without slashes at its ends
   * @internal
   */
  claimPath(scope: IConstruct, path: string): void {
    this.publicPaths.claim(scope, path);
  }

  /**
   * Claims the public path of a copy, which may lie in another one's. Where the path is another copy's own, its files are claimed one by one.
   *
   * @param names all files that it has
   * @returns what it answers for where it lies in another one: files, or a directory with a slash at its end
   * @internal
   */
  claimCopy(scope: IConstruct, path: string, names: readonly string[] | undefined): readonly string[] | undefined {
    if (names === undefined || !this.publicPaths.isCopy(path)) return this.publicPaths.claimCopy(scope, path) ? [`${path}/`] : undefined;
    for (const name of names) this.publicPaths.claimCopy(scope, `${path}/${name}`);
    return names.map((name) => `${path}/${name}`);
  }

  /**
   * Puts a link among an element's where nothing else is public, however late that is declared.
   *
   * @internal
   */
  linkWhereFree(path: string, target: string, links: Record<string, string>): void {
    this.publicPaths.linkWhereFree(path, target, links);
  }

  /** @internal */
  register(scope: IConstruct, element: Element, resource: TerraformResource): void {
    const taken = this.elements.get(element.id);
    if (taken) {
      throw invalid(scope, 'id', JSON.stringify(element.id), {
        allowed: `this id was declared at ${taken.declaredAt} already`,
        fix: 'Ids are unique on a server: pass another id.',
      });
    }
    this.refuseSharedDirectory(scope, element.id);
    for (const [file, text] of Object.entries(element.files)) {
      const other = this.files.get(file);
      if (other !== undefined && other.text !== text) {
        throw invalid(scope, 'key', JSON.stringify(file), {
          allowed: `${other.declaredAt} declares another content for this file`,
          fix: 'Rename one of the two key files.',
        });
      }
      this.files.set(file, { text, declaredAt: scope.node.path });
    }
    this.elements.set(element.id, { element, declaredAt: scope.node.path });
    (this.activation.dependsOn ??= []).push(`${resource.terraformResourceType}.${resource.friendlyUniqueId}`);
  }

  /** Content is in `repositories/<id>` of what is copied, an owner's codenames in `repositories/<owner>/`: one name, one of them. */
  private refuseSharedDirectory(scope: IConstruct, elementId: string): void {
    const [kind, name] = elementId.split('/') as [string, string];
    if (!(SHARE_DIRECTORY as readonly string[]).includes(kind)) return;
    const other = SHARE_DIRECTORY.filter((one) => one !== kind).flatMap((one) => this.elements.get(`${one}/${name}`)?.declaredAt ?? [])[0];
    const reserved = kind === 'customer' ? undefined : OWN_DIRECTORY.get(name);
    if (other === undefined && reserved === undefined) return;
    throw invalid(scope, 'id', JSON.stringify(name), {
      allowed:
        reserved !== undefined
          ? `${JSON.stringify(name)} is ${reserved} have this directory on the server`
          : `${other} has this id, and repositories, file trees, downloads, lists and customers share one directory on the server`,
      fix: 'Use another id.',
    });
  }

  /**
   * Validates the id that a repository, file tree, set of downloads, lists or a customer had before: no other one has it, now or before.
   *
   * @internal
   */
  checkFormerId(scope: IConstruct, kind: (typeof SHARE_DIRECTORY)[number], id: string, formerId: string): void {
    check(scope, 'formerId', formerId, validId);
    const taken = this.formerIds.get(`${kind}/${formerId}`) ?? (formerId === id ? scope.node.path : undefined);
    if (taken !== undefined) {
      throw invalid(scope, 'formerId', JSON.stringify(formerId), {
        allowed: taken === scope.node.path ? 'it is the id' : `it is the former id of ${taken} already`,
        fix: 'Name the id that the content on the server has.',
      });
    }
    this.formerIds.set(`${kind}/${formerId}`, scope.node.path);
    const still = `${scope.node.path}: formerId ${JSON.stringify(formerId)}: a ${kind} with this id is still declared. Remove one of the two.`;
    scope.node.addValidation({ validate: () => (this.declares(`${kind}/${formerId}`) ? [still] : []) });
  }

  /**
   * Whether an element was declared already.
   * @internal
   */
  declares(elementId: string): boolean {
    return this.elements.has(elementId);
  }

  private completeTarget(): Target {
    const more = Object.fromEntries([...this.moreSecrets].map(([name, { source }]) => [name, source]));
    return { ...this.target, secrets: { ...this.target.secrets, ...more } };
  }

  /** Everything declared below this server, in a fixed order. */
  private desiredState(): DesiredState {
    const { tls, ...probe } = this.site ?? { serverName: 'undeclared', port: 80 };
    const takenOver = this.waivers.find(({ owner }) => owner !== undefined)?.owner;
    return {
      schemaVersion: SCHEMA_VERSION,
      owner: this.node.path,
      storage: { root: this.storageRoot, ownMount: this.ownMount },
      probe,
      ...(tls === undefined ? {} : { tls }),
      packages: [...new Set([...this.packages, ...this.morePackages])],
      ...this.settings,
      secrets: { ...this.settings.secrets, ...Object.fromEntries([...this.moreSecrets].map(([name, { version }]) => [name, version])) },
      waivers: {
        unpublish: this.waivers.flatMap((waiver) => waiver.elements).sort(),
        ...(takenOver === undefined ? {} : { takeOver: takenOver }),
      },
      elements: [...this.elements.values()].map((e) => e.element).sort((a, b) => (a.id < b.id ? -1 : 1)),
    };
  }

  private get packages(): string[] {
    return [...MIRROR_PACKAGES, ...(this.settings.deployAccount === undefined ? [] : ['sudo'])];
  }

  private declareServices(authorizedKeys: string | undefined, settings: Omit<ServerDefinition, 'kind' | 'storageRoot' | 'ownMount'>): void {
    const yaml = definitionYaml({ kind: 'server', storageRoot: this.storageRoot, ownMount: this.ownMount, ...settings });
    const storage = { root: this.storageRoot };
    const units = {
      'mirror-sync@.service': syncService(storage),
      'mirror-sync-new.service': syncNewService(storage),
      'mirror-scrub.service': scrubService(storage),
      'mirror-scrub.timer': scrubTimer(),
      'mirror-retention.service': retentionService(storage),
      'mirror-retention.timer': retentionTimer(),
      'mirror-machine.service': machineService(),
      'mirror-health.service': healthService(storage),
      'mirror-health.timer': healthTimer(),
      'mirror-time.service': timeService(storage),
      'mirror-time.socket': timeSocket(),
    };
    declare(
      new Construct(this, 'Services'),
      {
        id: 'server/services',
        files: {
          'definitions/server.yaml': yaml,
          ...Object.fromEntries(Object.entries(units).map(([unit, text]) => [`systemd/${unit}`, text])),
        },
        links: {},
      },
      {
        definition: yaml,
        packages: this.packages.join('\n'),
        // mirror-sync@.service → sync_service
        ...Object.fromEntries(
          Object.entries(units).map(([unit, text]) => [unit.replace(/^mirror-/, '').replaceAll(/[^a-z]+/g, '_'), text]),
        ),
      },
    );
    if (authorizedKeys === undefined) return;
    declare(
      new Construct(this, 'Account'),
      { id: `account/${this.target.user}`, files: { 'ssh/authorized_keys': authorizedKeys }, links: {} },
      { authorized_keys: authorizedKeys },
    );
  }

  /** The activation depends on everything declared, carries its digest, and alone talks to the server. */
  private activate(files: { desiredStateDigest(): string; programsDigest: string }): Resource {
    const scope = new Construct(this, 'Activation');
    // Planning without access to the server: the last observation stays in state, and its trigger is ignored.
    const observe = process.env['MIRROR_OBSERVE'] !== '0';
    const lastDrift = observe
      ? new DataLocalCommand(scope, 'Observation', { command: 'node', arguments: ['mirror/observe.cjs'] }).stdout
      : NOT_OBSERVED;
    const target = this.target;
    return new Resource(scope, 'Resource', {
      dependsOn: [],
      triggers: {
        element: 'activation',
        server: `${target.user}@${target.address}:${target.port} ${target.hostKeys.join(' ')}`,
        desired_state: Lazy.stringValue({ produce: () => files.desiredStateDigest() }),
        programs: files.programsDigest,
        secrets: Lazy.stringValue({ produce: () => keyLines(new Map([...this.keys, ...this.moreSecrets])) }),
        confirm: `within ${this.settings.confirmSeconds} s`,
        ...(this.waivers.length === 0 ? {} : { waivers: literal(this.waivers.map((waiver) => waiver.text).join('\n')) }),
        last_drift: lastDrift,
      },
      ...(observe ? {} : { lifecycle: { ignoreChanges: ['triggers["last_drift"]'] } }),
      provisioners: [
        {
          type: 'local-exec',
          command: 'node mirror/apply.cjs',
          environment: {
            MIRROR_DESIRED_STATE_SHA256: '${self.triggers.desired_state}',
            MIRROR_PROGRAMS_SHA256: '${self.triggers.programs}',
            MIRROR_LAST_DRIFT: '${self.triggers.last_drift}',
          },
        },
      ],
    });
  }
}
