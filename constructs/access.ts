import { authorityName } from '../desired-state/certificates';
import type { ClientCertificates } from '../desired-state/render/nginx';
import { certificateSubject, network } from '../desired-state/validate';
import { Certificate } from './certificate';
import { checkList, checkMade, checkProps, invalid, show } from './private/check';
import { Secret } from './secret';

/** Whose certificates let a client read. */
export interface ClientCertificateProps {
  /** Root certificates of the authorities that issue them, one a file; two while one takes the place of the other. */
  readonly authorities: readonly Certificate[];
  /**
   * Only these, as `openssl x509 -noout -subject -nameopt RFC2253` prints them, for instance `CN=build1,O=Acme`.
   * @default whoever the authorities issued a certificate to
   */
  readonly subjects?: readonly string[];
}

/** Ways in. Without any, everyone may read. */
interface Ways {
  readonly networks?: readonly string[];
  readonly passwords?: Secret;
  readonly certificates?: ClientCertificates;
}

/** Who may read a customer's content. One list per customer: every codename, alias and snapshot below its prefix obeys it. */
export class Access {
  /** Everyone. */
  static public(): Access {
    return new Access({});
  }

  /**
   * Only clients from these networks.
   *
   * @param networks IPv4 or IPv6 addresses, or networks in CIDR notation
   */
  static networks(networks: readonly string[]): Access {
    checkList(
      'Access.networks',
      'networks',
      networks,
      'network',
      network,
      'Without a network nobody could read; declare one, or Access.public().',
    );
    return new Access({ networks: [...networks] });
  }

  /**
   * Only clients with the name and password of a user, over TLS.
   *
   * @param users lines of `user:hash` (htpasswd), hashed by bcrypt, SHA-512, SHA-256 or apr1
   */
  static passwords(users: Secret): Access {
    const fix = 'Secret.fromFile("~/mirror/acme.htpasswd"), or Secret.fromEnvironment("MIRROR_ACME_PASSWORDS").';
    const problem = { allowed: 'users and their hashed passwords are a secret, passed by name', fix };
    checkMade('Access.passwords', 'users', users, (users as unknown) instanceof Secret, problem, `(a value of type ${typeof users})`);
    return new Access({ passwords: users });
  }

  /** Only clients with a certificate of these authorities, over TLS. */
  static clientCertificates(props: ClientCertificateProps): Access {
    const where = 'Access.clientCertificates';
    checkProps(where, props, { authorities: true, subjects: true });
    const { authorities, subjects } = props;
    const fix = "Write authorities: [Certificate.fromFile('certificates/acme-ca.pem')].";
    checkMade(where, 'authorities', authorities, Array.isArray(authorities) && authorities.length > 0, {
      allowed: 'at least one authority',
      fix,
    });
    if (subjects !== undefined)
      checkList(where, 'subjects', subjects, 'subject', certificateSubject, 'Leave subjects out for all of them.');
    return new Access({
      certificates: {
        authorities: authorities.map((one, index) => {
          const prop = `authorities[${index}]`;
          checkMade(where, prop, one, (one as unknown) instanceof Certificate, { allowed: 'an authority is made by Certificate', fix });
          const [root, ...rest] = one.chain;
          if (root === undefined || rest.length > 0)
            throw invalid(where, prop, show(one.name), {
              allowed: `one authority a file, this one holds ${one.chain.length} certificates`,
              fix: 'Leave the root certificate only, or split it into one file each.',
            });
          const name = authorityName(root);
          if (typeof name !== 'string') throw invalid(where, prop, show(one.name), name);
          return { name, pem: one.pem };
        }),
        ...(subjects === undefined ? {} : { subjects: [...subjects] }),
      },
    });
  }

  /** Clients that one of these lets in: from a network, say, and from elsewhere with a password. */
  static anyOf(...ways: readonly Access[]): Access {
    const fix = 'For instance Access.anyOf(Access.networks([…]), Access.passwords(…)).';
    checkMade('Access.anyOf', 'ways', ways, ways.length > 1, { allowed: 'at least two ways in', fix });
    let all: Ways = {};
    ways.forEach((way, index) => {
      const prop = `ways[${index}]`;
      const made = (way as unknown) instanceof Access && way.isGuarded;
      checkMade('Access.anyOf', prop, way, made, { allowed: 'Access.networks, Access.passwords or Access.clientCertificates', fix }, '');
      const twice = Object.keys(way.ways).find((name) => name in all);
      if (twice !== undefined)
        throw invalid('Access.anyOf', prop, `(${twice})`, { allowed: 'each way once', fix: `Write all ${twice} in one list.` });
      all = { ...all, ...way.ways };
    });
    return new Access(all);
  }

  private constructor(
    /** @internal */
    readonly ways: Ways,
  ) {}

  /** Whether not everyone may read. */
  get isGuarded(): boolean {
    return Object.keys(this.ways).length > 0;
  }

  /** Whether clients show something that only TLS keeps to themselves. */
  get needsTls(): boolean {
    return this.ways.passwords !== undefined || this.ways.certificates !== undefined;
  }

  /** Who may read, for the plan: networks, and other ways in words; undefined for everyone. */
  get readers(): readonly string[] | undefined {
    const { networks = [], passwords, certificates } = this.ways;
    if (!this.isGuarded) return undefined;
    const subjects = certificates?.subjects;
    return [
      ...networks,
      ...(passwords === undefined ? [] : ['with a password']),
      ...(certificates?.authorities ?? []).flatMap(({ name }) =>
        subjects === undefined
          ? [`with a certificate of ${name}`]
          : subjects.map((subject) => `with the certificate ${subject} of ${name}`),
      ),
    ];
  }
}
