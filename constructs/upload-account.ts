import { Construct } from 'constructs';
import { type UploadDefinition, uploadDirectory } from '../desired-state/definitions';
import { CONTENT_USER, UPLOAD_PACKAGES } from '../desired-state/model';
import { PRODUCT_OWNER } from '../desired-state/mos-scheme';
import { uploadPath, uploadService, uploadTimer } from '../desired-state/render/systemd';
import { definitionYaml } from '../desired-state/render/yaml';
import { sshPublicKey } from '../desired-state/ssh-public-key';
import { id as validId, type Problem, user } from '../desired-state/validate';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { authorizedKeysText, checkAccountLength } from './private/deploy-account';
import { declare } from './private/declare';
import { Customer } from './customer';
import { MirrorServer } from './mirror-server';
import { ModifiedPackages } from './modified-packages';
import { MosCodename } from './mos-codename';

export interface UploadAccountProps {
  /** Account on the server. @default the construct's id */
  readonly name?: string;
  /** OpenSSH public keys (lines of `.pub` files) that may upload. */
  readonly authorizedKeys: readonly string[];
  /** Codenames, of the same owner, that it may publish to; on the server modified packages, too. */
  readonly codenames: readonly (MosCodename | ModifiedPackages)[];
  /** Of those, the components. @default every component of each codename */
  readonly components?: readonly string[];
}

/**
 * An account by which a build system uploads packages over SFTP, into a directory for each component; it can do nothing else on the server.
 * What is complete is published by the rules of `mirrorctl publish`. Declared on the server it is for the product's codenames, on a customer
 * for that customer's.
 */
export class UploadAccount extends Construct {
  /** The account that build systems log in as. */
  readonly account: string;

  constructor(scope: MirrorServer | Customer, id: string, props: UploadAccountProps) {
    super(scope, id);
    const server = MirrorServer.of(this);
    checkProps(this, props, { name: true, authorizedKeys: true, codenames: true, components: true });
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
    const definition: UploadDefinition = {
      kind: 'upload',
      id: this.account,
      owner,
      components: this.componentsOf(scope, props),
    };
    const directories = definition.components.map(uploadDirectory);
    const yaml = definitionYaml(definition);
    const authorizedKeys = authorizedKeysText(props.authorizedKeys);
    const service = uploadService({ root: server.storageRoot });
    const path = uploadPath(this.account, directories);
    const timer = uploadTimer(this.account);
    server.needs(UPLOAD_PACKAGES, {});
    declare(
      this,
      {
        id: `upload/${this.account}`,
        files: {
          [`definitions/uploads/${this.account}.yaml`]: yaml,
          [`ssh/uploads/${this.account}`]: authorizedKeys,
          'systemd/mirror-uploads@.service': service,
          [`systemd/mirror-uploads@${this.account}.path`]: path,
          [`systemd/mirror-uploads@${this.account}.timer`]: timer,
        },
        links: {},
        uploads: { account: this.account, directories },
      },
      { definition: yaml, authorized_keys: authorizedKeys, path, timer, service },
    );
  }

  /** Ids of the components, in the order of the codenames. Throws where a codename is another owner's, or has none of the components. */
  private componentsOf(scope: MirrorServer | Customer, { codenames, components }: UploadAccountProps): string[] {
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
}
