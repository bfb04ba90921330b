import { Construct } from 'constructs';
import type { CodenameDefinition, KeyReference } from '../desired-state/definitions';
import { PUBLIC_SNAPSHOTS } from '../desired-state/model';
import { codenameOf, keyFileName, PRODUCT_OWNER, PRODUCT_PREFIX, publicPathOf, SNAPSHOTS } from '../desired-state/mos-scheme';
import { COMPONENTS, codenameRepoFile, type CodenameRepoFile, releasedComponent } from '../desired-state/render/repo-file';
import { definitionYaml } from '../desired-state/render/yaml';
import { architecture, distribution, distributionVersion, id as validId, release } from '../desired-state/validate';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { checkKeys } from './private/public-keys';
import type { Releasable } from './private/releasable';
import { Customer } from './customer';
import type { Distribution } from './distribution';
import { MirrorServer } from './mirror-server';
import type { PublicKey } from './public-key';

/** Who a set of repositories is for, where it is not the OpenStack nodes. */
export enum Variant {
  /** Fuel master nodes. */
  FUEL = 'fuel',
}

export interface MosCodenameProps {
  /** Product release, for instance `7.0`. */
  readonly release: string;
  readonly distribution: Distribution;
  /** The distribution's major version, for instance `6`. */
  readonly version: string;
  /** @default OpenStack nodes */
  readonly variant?: Variant;
  /** @default ["x86_64"] */
  readonly architectures?: readonly string[];
  /** Names of the components. Others than the five have the priority of `updates`. @default COMPONENTS: os, updates, security, holdback, cr */
  readonly components?: readonly string[];
  /** Keys that sign its packages, beside those of the customer; handed out with each component, after the mirror's own. @default none */
  readonly keys?: readonly PublicKey[];
  /**
   * Keys that sign what may be held back besides: those of the distribution, since a held-back package is an older one of its own. They count for `holdback` only,
   * and are handed out with it. @default none
   */
  readonly holdbackKeys?: readonly PublicKey[];
}

/** Owner id and public prefix of the product's own codenames. */
const PRODUCT = { ownerId: PRODUCT_OWNER, formerId: undefined, prefix: PRODUCT_PREFIX, keys: [] } as const;

/**
 * A codename such as `mos7.0-centos6-fuel`: a hosted repository of one owner for each component, created empty, valid and signed by the deploy.
 *
 * Declared on the server it belongs to the product, at `/mos-repos/<distribution>/<codename>/<component>/<arch>/`; declared on a customer it
 * belongs to the customer, below the customer's prefix.
 */
export class MosCodename extends Construct {
  /** For instance `mos7.0-centos6-fuel`. */
  readonly codename: string;
  /** @internal */
  readonly releasable: readonly Releasable[];
  /**
   * What the server is told of it.
   * @internal
   */
  readonly definition: CodenameDefinition;
  /**
   * What clients configure of it.
   * @internal
   */
  readonly clients: CodenameRepoFile;

  constructor(scope: MirrorServer | Customer, id: string, props: MosCodenameProps) {
    super(scope, id);
    const server = MirrorServer.of(this);
    checkProps(this, props, {
      release: true,
      distribution: true,
      version: true,
      variant: true,
      architectures: true,
      components: true,
      keys: true,
      holdbackKeys: true,
    });
    const owner = scope instanceof Customer ? scope : PRODUCT;
    check(this, 'release', props.release, release);
    check(this, 'distribution', props.distribution, distribution);
    check(this, 'version', props.version, distributionVersion);
    if (props.variant !== undefined && !Object.values(Variant).includes(props.variant)) {
      throw invalid(this, 'variant', show(props.variant), {
        allowed: `a variant is one of ${Object.values(Variant).join(', ')}`,
        fix: 'Leave it out for OpenStack nodes.',
      });
    }
    const architectures = props.architectures ?? ['x86_64'];
    checkList(this, 'architectures', architectures, 'architecture', architecture, 'Leave it out for x86_64.');
    const components = props.components ?? COMPONENTS;
    checkList(this, 'components', components, 'component', validId, `Leave it out for ${COMPONENTS.join(', ')}.`);
    const ownKeys = props.keys ?? [];
    checkKeys(this, ownKeys);
    const holdbackKeys = props.holdbackKeys ?? [];
    checkKeys(this, holdbackKeys, 'holdbackKeys');
    if (props.holdbackKeys !== undefined && !components.includes('holdback')) {
      throw invalid(this, 'holdbackKeys', show(holdbackKeys.map(({ name }) => name)), {
        allowed: 'they count for the component holdback, which this codename does not have',
        fix: 'Name holdback among its components, or leave holdbackKeys out.',
      });
    }
    const keys = [...owner.keys, ...ownKeys.filter((key) => !owner.keys.some(({ fingerprint }) => fingerprint === key.fingerprint))];

    this.codename = codenameOf(props);
    const codenameId = `${owner.ownerId}/${this.codename}`;
    const publicPath = publicPathOf(owner.prefix, props);
    if (owner === PRODUCT) server.claimPath(this, publicPath);
    const reference = ({ name, fingerprint }: PublicKey): KeyReference => ({ file: `owners/${owner.ownerId}/${name}`, fingerprint });
    const definition: CodenameDefinition = {
      kind: 'codename',
      id: codenameId,
      ...(owner.formerId === undefined ? {} : { formerId: `${owner.formerId}/${this.codename}` }),
      owner: owner.ownerId,
      release: props.release,
      distribution: props.distribution,
      version: props.version,
      ...(props.variant ? { variant: props.variant } : {}),
      publicPath,
      components: [...components],
      architectures: [...architectures],
      keyFile: keyFileName(props.release),
      keys: keys.map(reference),
      ...(holdbackKeys.length === 0 ? {} : { holdbackKeys: holdbackKeys.map(reference) }),
    };
    this.definition = definition;
    const { codename } = this;
    const { keyFile } = definition;
    this.releasable = components.map((component) => ({
      id: `${codenameId}/${component}`,
      publicPath: `${publicPath}/${component}`,
      ...(scope instanceof Customer && scope.isGuarded ? { guardedBy: scope.ownerId } : {}),
      section: (release) =>
        releasedComponent(release, { owner: owner.ownerId, codename, publicPath, keyFile, distributionVersion: props.version }, component),
    }));
    const yaml = definitionYaml(definition);
    this.clients = {
      owner: owner.ownerId,
      codename,
      siteUrl: server.siteUrl,
      publicPath,
      components,
      keyFile,
      distributionVersion: props.version,
    };
    const repoFile = codenameRepoFile(this.clients);
    const repoFilePath = owner === PRODUCT ? `repo-files/${this.codename}.repo` : `owners/${owner.ownerId}/${this.codename}.repo`;
    declare(
      this,
      {
        id: `codename/${codenameId}`,
        files: {
          [`definitions/codenames/${codenameId}.yaml`]: yaml,
          [repoFilePath]: repoFile,
          ...Object.fromEntries([...ownKeys, ...holdbackKeys].map((key) => [`owners/${owner.ownerId}/${key.name}`, key.armoured])),
        },
        links: {
          ...Object.fromEntries(components.map((c) => [`${publicPath}/${c}`, `repositories/${codenameId}/${c}/current`])),
          [`${publicPath}/${SNAPSHOTS}`]: `${PUBLIC_SNAPSHOTS}/${codenameId}`,
        },
        ...(owner.formerId === undefined ? {} : { adopts: `${owner.formerId}/${this.codename}` }),
      },
      { definition: yaml, repo_file: repoFile },
    );
  }
}
