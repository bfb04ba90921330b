import { Construct } from 'constructs';
import { passwordsSecret } from '../desired-state/model';
import { PRODUCT_OWNER, STARLINGX_OWNER } from '../desired-state/mos-scheme';
import { ownerLocation } from '../desired-state/render/nginx';
import { definitionYaml } from '../desired-state/render/yaml';
import { id as validId, prefix } from '../desired-state/validate';
import { Access } from './access';
import { check, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { checkKeys } from './private/public-keys';
import { MirrorServer } from './mirror-server';
import type { PublicKey } from './public-key';

export interface CustomerProps {
  /** Name on the server and in commands. @default the construct's id */
  readonly id?: string;
  /** The id that it had before: what its codenames hold stays. Remove this after the deploy. @default none */
  readonly formerId?: string;
  /** First part of the customer's public path: `acme` gives `/acme/<distribution>/<codename>/…`. @default the customer's id */
  readonly prefix?: string;
  /** Who may read. One list for everything below the prefix. */
  readonly access: Access;
  /** Keys that sign the customer's packages; handed out beside each component, after the mirror's own. @default none */
  readonly keys?: readonly PublicKey[];
}

/** A customer or team with codenames of its own: same structure as the product's, isolated on disk, in the URL space and in access. */
export class Customer extends Construct {
  /** Id of the customer, and of the owner of its repositories. */
  readonly ownerId: string;
  /** The id that it had before. */
  readonly formerId: string | undefined;
  readonly prefix: string;
  readonly keys: readonly PublicKey[];
  /** Whether an access list says who may read. */
  readonly isGuarded: boolean;

  constructor(server: MirrorServer, id: string, props: CustomerProps) {
    super(server, id);
    checkProps(this, props, { id: true, formerId: true, prefix: true, access: true, keys: true });
    this.ownerId = props.id ?? id;
    check(this, 'id', this.ownerId, validId);
    this.formerId = props.formerId;
    if (props.formerId !== undefined) server.checkFormerId(this, 'customer', this.ownerId, props.formerId);
    if (this.ownerId === PRODUCT_OWNER)
      throw invalid(this, 'id', '"mos"', {
        allowed: '"mos" is the product itself',
        fix: 'Use another id; codenames of the product are declared on the server.',
      });
    if (this.ownerId === STARLINGX_OWNER)
      throw invalid(this, 'id', '"starlingx"', {
        allowed: '"starlingx" is StarlingX itself, which owns its modified packages',
        fix: 'Use another id; modified packages are declared on the server.',
      });
    this.prefix = props.prefix ?? this.ownerId;
    check(this, 'prefix', this.prefix, prefix);
    if (!((props.access as unknown) instanceof Access)) {
      throw invalid(this, 'access', show(props.access), {
        allowed: 'every customer declares who may read',
        fix: 'Access.public(), Access.networks([…]), Access.passwords(…) or Access.clientCertificates({ … }).',
      });
    }
    this.isGuarded = props.access.isGuarded;
    this.checkTls(server, props.access);
    const { networks, passwords, certificates } = props.access.ways;
    this.keys = props.keys ?? [];
    checkKeys(this, this.keys);
    server.claimPath(this, this.prefix);

    if (certificates !== undefined) server.claimAuthorities(this, certificates);

    const location = ownerLocation({
      owner: this.ownerId,
      prefix: this.prefix,
      networks,
      passwords: passwords !== undefined,
      ...(certificates === undefined ? {} : { certificates }),
    });
    const authorities = certificates?.authorities.map(({ pem }) => pem).join('');
    const definition = definitionYaml({
      kind: 'customer',
      id: this.ownerId,
      ...(this.formerId === undefined ? {} : { formerId: this.formerId }),
      prefix: this.prefix,
      access: props.access.readers ?? 'public',
      keys: this.keys.map((k) => ({ file: k.name, fingerprint: k.fingerprint })),
    });
    declare(
      this,
      {
        id: `customer/${this.ownerId}`,
        files: {
          [`nginx/locations/${this.ownerId}.conf`]: location,
          ...(authorities === undefined ? {} : { [`nginx/client-authorities/${this.ownerId}.pem`]: authorities }),
          ...Object.fromEntries(this.keys.map((k) => [`owners/${this.ownerId}/${k.name}`, k.armoured])),
        },
        links: {},
      },
      { definition, nginx: location, ...(authorities === undefined ? {} : { client_authorities: authorities }) },
    );
    if (passwords !== undefined) server.needs([], { [passwordsSecret(this.ownerId)]: passwords });
  }

  /** Over plain HTTP everybody on the way would learn a password, and there are no certificates. */
  private checkTls(server: MirrorServer, access: Access): void {
    if (!access.needsTls || server.hasTls) return;
    throw invalid(this, 'access', show(access.readers), {
      allowed: 'passwords and certificates count over TLS only, and the site has none',
      fix: 'Declare it on the NginxVhost: tls: Tls.acme({ email: … }), Tls.files({ … }) or Tls.selfSigned().',
    });
  }
}
