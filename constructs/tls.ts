import type { Construct } from 'constructs';
import { describeCertificate } from '../desired-state/certificates';
import { ACME_AUTHORITY_FILE, CERTIFICATE_FILE, CERTIFICATE_PACKAGES, TLS_KEY, type DesiredState } from '../desired-state/model';
import { certificateService, certificateTimer } from '../desired-state/render/systemd';
import { acmeDirectory, mailAddress } from '../desired-state/validate';
import { Certificate } from './certificate';
import { check, checkMade, checkProps, invalid, show } from './private/check';
import { Secret } from './secret';

/** What the site does where a client does not speak TLS. */
export enum Http {
  /** Everything is there over plain HTTP too, but for what needs a password or a certificate: for old clients. */
  SERVED = 'served',
  /** Each address is answered by the same one with https://, which very old clients do not follow. */
  REDIRECTED = 'redirected',
  /** Connections end without an answer. */
  CLOSED = 'closed',
}

export interface TlsFilesProps {
  /** The certificate, which names the site, then the chain of its issuers without the root. */
  readonly certificate: Certificate;
  /** The certificate's private key in PEM, without a passphrase. */
  readonly key: Secret;
}

export interface TlsAcmeProps {
  /** Where the ACME server writes to when something is wrong. */
  readonly email: string;
  /** The ACME server's directory. By giving one you agree to its terms. @default Let's Encrypt */
  readonly directory?: string;
  /** Root certificates by which the ACME server itself is known. @default those of Debian */
  readonly caCertificate?: Certificate;
}

const LETS_ENCRYPT = 'https://acme-v02.api.letsencrypt.org/directory';

type Kind = NonNullable<DesiredState['tls']>['certificate'];

/** Where the site's certificate comes from. */
export class Tls {
  /** From files: the certificate is part of the project, its key a secret. */
  static files(props: TlsFilesProps): Tls {
    checkProps('Tls.files', props, { certificate: true, key: true });
    const { certificate, key } = props;
    const made = (certificate as unknown) instanceof Certificate;
    const fix = "Certificate.fromFile('certificates/mirror.pem').";
    checkMade('Tls.files', 'certificate', certificate, made, { allowed: 'certificates are made by Certificate', fix });
    const problem = { allowed: 'the key is a secret, passed by name', fix: 'Secret.fromFile("~/mirror/mirror.key").' };
    checkMade('Tls.files', 'key', key, (key as unknown) instanceof Secret, problem, `(a value of type ${typeof key})`);
    const { chain } = certificate;
    const gap = chain.findIndex((one, index) => index > 0 && chain[index - 1]?.checkIssued(one) !== true);
    if (gap > 0)
      throw invalid('Tls.files', 'certificate', show(certificate.name), {
        allowed: `each certificate is followed by its issuer's; certificate ${gap + 1} of the file did not issue the one before it`,
        fix: "Put the site's own certificate first, then its issuer's, and leave out the root.",
      });
    return new Tls('declared', { certificate, key });
  }

  /** By certbot from an ACME server, which looks at http://<serverName>/.well-known/acme-challenge/. It is renewed in time. */
  static acme(props: TlsAcmeProps): Tls {
    checkProps('Tls.acme', props, { email: true, directory: true, caCertificate: true });
    check('Tls.acme', 'email', props.email, mailAddress);
    if (props.directory !== undefined) check('Tls.acme', 'directory', props.directory, acmeDirectory);
    if (props.caCertificate !== undefined) {
      const made = (props.caCertificate as unknown) instanceof Certificate;
      const fix = "Certificate.fromFile('certificates/acme-ca.pem').";
      checkMade('Tls.acme', 'caCertificate', props.caCertificate, made, { allowed: 'certificates are made by Certificate', fix });
    }
    return new Tls('acme', { acme: props });
  }

  /** Made by the server, once, for ten years: no client trusts it unless it is told to. For a lab, or while a real one is on its way. */
  static selfSigned(): Tls {
    return new Tls('made', {});
  }

  private constructor(
    /** @internal */
    readonly kind: Kind,
    private readonly of: { readonly certificate?: Certificate; readonly key?: Secret; readonly acme?: TlsAcmeProps },
  ) {}

  /**
   * What the server needs for it: files of the generation, and what the plan shows of them.
   * @internal
   */
  parts(where: Construct, serverName: string): { files: Record<string, string>; texts: Record<string, string> } {
    const { certificate, acme } = this.of;
    if (certificate !== undefined) {
      const [site] = certificate.chain;
      if (site?.checkHost(serverName) === undefined)
        throw invalid(where, 'tls', show(certificate.name), {
          allowed: `the first certificate of the file is for the site, ${serverName}; this one is ${site === undefined ? 'none' : describeCertificate(site)}`,
          fix: 'Name a certificate with the site in its subjectAltName, first in the file.',
        });
      return {
        files: { [CERTIFICATE_FILE]: certificate.pem },
        texts: { certificate: certificate.chain.map(describeCertificate).join('\n') },
      };
    }
    if (acme === undefined) return { files: {}, texts: {} };
    const units = {
      service: certificateService({
        name: serverName,
        email: acme.email,
        directory: acme.directory ?? LETS_ENCRYPT,
        hasAuthority: acme.caCertificate !== undefined,
      }),
      timer: certificateTimer(),
    };
    return {
      files: {
        'systemd/mirror-certificate.service': units.service,
        'systemd/mirror-certificate.timer': units.timer,
        ...(acme.caCertificate === undefined ? {} : { [ACME_AUTHORITY_FILE]: acme.caCertificate.pem }),
      },
      texts: {
        ...units,
        ...(acme.caCertificate === undefined ? {} : { acme_authority: acme.caCertificate.chain.map(describeCertificate).join('\n') }),
      },
    };
  }

  /** @internal */
  get needs(): { packages: readonly string[]; secrets: Readonly<Record<string, Secret>> } {
    const packages = this.kind === 'declared' ? [] : CERTIFICATE_PACKAGES[this.kind];
    return { packages, secrets: this.of.key === undefined ? {} : { [TLS_KEY]: this.of.key } };
  }
}
