import { Construct } from 'constructs';
import { type UploadDefinition, uploadDirectory } from '../desired-state/definitions';
import { CONTENT_USER, UPLOAD_PACKAGES, UPLOADS } from '../desired-state/model';
import { PRODUCT_OWNER } from '../desired-state/mos-scheme';
import { rsyncText } from '../desired-state/render/rsync';
import { uploadPath, uploadService, uploadTimer } from '../desired-state/render/systemd';
import { definitionYaml } from '../desired-state/render/yaml';
import { sshPublicKey } from '../desired-state/ssh-public-key';
import { id as validId, type Problem, user } from '../desired-state/validate';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { authorizedKeysText, checkAccountLength } from './private/deploy-account';
import { declare } from './private/declare';
import { BuildArchive } from './build-archive';
import { Customer } from './customer';
import { MirrorServer } from './mirror-server';
import { ModifiedPackages } from './modified-packages';
import { MosCodename } from './mos-codename';

/** How build systems upload. */
export enum UploadProtocol {
  /** Any client of SFTP. The account sees its directories, and nothing else of the server. */
  SFTP = 'sftp',
  /** rsync over SSH, which resumes within large files: `rsync -rt … ACCOUNT@SERVER::uploads/…`. */
  RSYNC = 'rsync',
}

export interface UploadAccountProps {
  /** Account on the server. @default the construct's id */
  readonly name?: string;
  /** OpenSSH public keys (lines of `.pub` files) that may upload. */
  readonly authorizedKeys: readonly string[];
  /** Codenames, of the same owner, that it may publish to; on the server modified packages, too. @default none */
  readonly codenames?: readonly (MosCodename | ModifiedPackages)[];
  /** Of those, the components. @default every component of each codename */
  readonly components?: readonly string[];
  /** Archives of the same server that it may publish builds to, each layer in a directory `<archive>/<layer>` (`<archive>/builds` of one without layers); for an account that is declared on the server. @default none */
  readonly builds?: readonly BuildArchive[];
  /** @default UploadProtocol.SFTP */
  readonly protocol?: UploadProtocol;
}

/**
 * An account by which a build system uploads packages or builds over SFTP or rsync, into a directory for each component or layer; it can do
 * nothing else on the server. What is complete is published by the rules of `mirrorctl publish`, or of `mirrorctl build publish`. Declared on the
 * server it is for the product's codenames and for builds, on a customer for that customer's codenames.
 */
export class UploadAccount extends Construct {
  /** The account that build systems log in as. */
  readonly account: string;

  constructor(scope: MirrorServer | Customer, id: string, props: UploadAccountProps) {
    super(scope, id);
    const server = MirrorServer.of(this);
    checkProps(this, props, { name: true, authorizedKeys: true, codenames: true, components: true, builds: true, protocol: true });
    this.account = props.name ?? id;
    check(this, 'name', this.account, user);
    checkAccountLength(this, 'name', this.account, 'build');
    if (['root', CONTENT_USER, server.loginUser].includes(this.account))
      throw invalid(this, 'name', show(this.account), {
        allowed: `an account for uploads is none that does anything else: not root, not ${CONTENT_USER}, not the one that deploys`,
        fix: 'For instance name: "build".',
      });
    checkList(this, 'authorizedKeys', props.authorizedKeys, 'key', sshPublicKey, 'Without any key nobody could upload.');
    const owner = scope instanceof Customer ? scope.ownerId : PRODUCT_OWNER;
    if (props.codenames === undefined && props.builds === undefined)
      throw invalid(this, 'codenames', show(undefined), {
        allowed: 'an account publishes to codenames, to archives of builds, or to both',
        fix: 'Add codenames: [ … ] or builds: [ … ].',
      });
    const byRsync = this.isRsync(props.protocol);
    const builds = props.builds === undefined ? [] : this.seriesOf(scope, props.builds);
    const definition: UploadDefinition = {
      kind: 'upload',
      id: this.account,
      owner,
      ...(byRsync ? { protocol: 'rsync' } : {}),
      components: this.componentsOf(scope, props),
      ...(builds.length === 0 ? {} : { builds }),
    };
    const directories = [...definition.components.map(uploadDirectory), ...builds.map(({ directory }) => directory)];
    this.checkDirectories(directories);
    const yaml = definitionYaml(definition);
    const authorizedKeys = authorizedKeysText(props.authorizedKeys);
    const service = uploadService({ root: server.storageRoot });
    const path = uploadPath(this.account, directories);
    const timer = uploadTimer(this.account);
    const rsync = byRsync ? rsyncText(this.account) : undefined;
    server.needs(UPLOAD_PACKAGES, {});
    declare(
      this,
      {
        id: `upload/${this.account}`,
        files: {
          [`definitions/uploads/${this.account}.yaml`]: yaml,
          [`ssh/uploads/${this.account}`]: authorizedKeys,
          ...(rsync === undefined ? {} : { [`ssh/rsync/${this.account}.conf`]: rsync }),
          'systemd/mirror-uploads@.service': service,
          [`systemd/mirror-uploads@${this.account}.path`]: path,
          [`systemd/mirror-uploads@${this.account}.timer`]: timer,
        },
        links: {},
        uploads: { account: this.account, directories, ...(byRsync ? { protocol: 'rsync' } : {}) },
      },
      { definition: yaml, authorized_keys: authorizedKeys, path, timer, service, ...(rsync === undefined ? {} : { rsync }) },
    );
  }

  /** Ids of the components, in the order of the codenames. Throws where a codename is another owner's, or has none of the components. */
  private componentsOf(scope: MirrorServer | Customer, { codenames, components }: UploadAccountProps): string[] {
    if (codenames === undefined) {
      if (components === undefined) return [];
      throw invalid(this, 'components', show(components), {
        allowed: 'components are those of codenames, and there are none',
        fix: 'Add codenames, or leave components out.',
      });
    }
    const fix = 'Pass the MosCodename or ModifiedPackages that was declared on the same server or customer.';
    const isCodename = (value: unknown): Problem | undefined =>
      value instanceof MosCodename || value instanceof ModifiedPackages
        ? undefined
        : { allowed: 'a codename is a MosCodename or ModifiedPackages', fix };
    checkList(this, 'codenames', codenames, 'codename', isCodename, fix);
    codenames.forEach((codename, index) => {
      if (codename.node.scope !== scope)
        throw invalid(this, `codenames[${index}]`, show(codename instanceof MosCodename ? codename.codename : codename.node.id), {
          allowed: `it belongs to another owner (${codename.node.path})`,
          fix,
        });
    });
    const all = codenames.flatMap(({ releasable }) => releasable.map((one) => one.id));
    if (components === undefined) return all;
    checkList(this, 'components', components, 'component', validId, 'Leave it out for every component.');
    const nameOf = (componentId: string): string => componentId.split('/')[2] as string;
    const unknown = components.findIndex((component) => !all.some((one) => nameOf(one) === component));
    if (unknown >= 0)
      throw invalid(this, `components[${unknown}]`, show(components[unknown]), {
        allowed: `the codenames have ${[...new Set(all.map(nameOf))].join(', ')}`,
        fix: 'Name one of these, or leave it out for every component.',
      });
    return all.filter((one) => components.includes(nameOf(one)));
  }

  /** Throws for what is no protocol. */
  private isRsync(protocol: UploadProtocol = UploadProtocol.SFTP): boolean {
    if (Object.values(UploadProtocol).includes(protocol)) return protocol === UploadProtocol.RSYNC;
    throw invalid(this, 'protocol', show(protocol), {
      allowed: 'uploads are by UploadProtocol.SFTP or UploadProtocol.RSYNC',
      fix: 'Leave it out for SFTP.',
    });
  }

  /** In the order of the archives. Throws where an archive is another server's, or the account a customer's. */
  private seriesOf(scope: MirrorServer | Customer, builds: readonly BuildArchive[]): { series: string; directory: string }[] {
    const fix = 'Pass the BuildArchive that was declared on the same server.';
    if (scope instanceof Customer)
      throw invalid(this, 'builds', show(builds), {
        allowed: "builds are the product's, and not a customer's",
        fix: 'Declare the UploadAccount on the server: new UploadAccount(server, …).',
      });
    const isArchive = (value: unknown): Problem | undefined =>
      value instanceof BuildArchive ? undefined : { allowed: 'an archive of builds is a BuildArchive', fix };
    checkList(this, 'builds', builds, 'archive', isArchive, fix);
    builds.forEach((archive, index) => {
      if (archive.node.scope !== scope)
        throw invalid(this, `builds[${index}]`, show(archive.node.id), {
          allowed: `it belongs to another server (${archive.node.path})`,
          fix,
        });
    });
    return builds.flatMap(({ node, series, layers }) =>
      series.map((one, index) => ({ series: one, directory: `${node.id}/${layers?.[index] ?? 'builds'}` })),
    );
  }

  /** What has a directory of its own beside those of results must not have their name, nor two things one directory. */
  private checkDirectories(directories: readonly string[]): void {
    const reserved: readonly string[] = [UPLOADS.results, UPLOADS.refused];
    const taken = directories.find((one, index) => directories.indexOf(one) !== index || reserved.includes(one.split('/')[0] as string));
    if (taken !== undefined)
      throw invalid(this, 'builds', show(taken), {
        allowed: `each archive and codename has a directory of its own, beside ${reserved.join(' and ')}`,
        fix: 'Give the BuildArchive another id, or declare an account of its own for it.',
      });
  }
}
