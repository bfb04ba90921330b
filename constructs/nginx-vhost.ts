import { Construct } from 'constructs';
import type { SiteDefinition } from '../desired-state/definitions';
import { CERTIFICATE_FILE, secretFile, ServerPaths, TLS_KEY } from '../desired-state/model';
import { servingSnippet, vhost, type TlsSettings } from '../desired-state/render/nginx';
import { definitionYaml } from '../desired-state/render/yaml';
import { dnsName, flag, port } from '../desired-state/validate';
import { check, checkMade, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { MirrorServer } from './mirror-server';
import { Http, Tls } from './tls';

export interface NginxVhostProps {
  /** DNS name that clients use; it is written into `.repo` files. */
  readonly serverName: string;
  /** @default 80 */
  readonly port?: number;
  /** Whether to listen on IPv6 too. @default true */
  readonly ipv6?: boolean;
  /** Where the certificate comes from; `.repo` files then say https://. @default plain HTTP only */
  readonly tls?: Tls;
  /** @default 443 */
  readonly tlsPort?: number;
  /** What becomes of plain HTTP beside TLS. @default Http.SERVED */
  readonly http?: Http;
}

/** The site that serves everything. Declared before what it serves, since `.repo` files carry its name. */
export class NginxVhost extends Construct {
  constructor(server: MirrorServer, id: string, props: NginxVhostProps) {
    super(server, id);
    checkProps(this, props, { serverName: true, port: true, ipv6: true, tls: true, tlsPort: true, http: true });
    check(this, 'serverName', props.serverName, dnsName);
    check(this, 'port', props.port ?? 80, port);
    check(this, 'ipv6', props.ipv6 ?? true, flag);
    const site = { serverName: props.serverName, port: props.port ?? 80 };
    const settings = this.tlsSettings(props, site.port);
    const { tls } = props;
    server.setSite(
      this,
      tls === undefined || settings === undefined ? site : { ...site, tls: { port: settings.port, certificate: tls.kind } },
    );
    const text = vhost({
      ...site,
      ipv6: props.ipv6 ?? true,
      storageRoot: server.storageRoot,
      ...(settings === undefined ? {} : { tls: settings }),
    });
    const serving = servingSnippet();
    const parts = tls?.parts(this, props.serverName) ?? { files: {}, texts: {} };
    const definition =
      tls === undefined || settings === undefined
        ? undefined
        : definitionYaml({
            kind: 'site',
            serverName: props.serverName,
            tlsPort: settings.port,
            certificate: tls.kind,
          } satisfies SiteDefinition);
    declare(
      this,
      {
        id: `vhost/${props.serverName}`,
        files: {
          'nginx/vhost.conf': text,
          'nginx/serving.conf': serving,
          ...(definition === undefined ? {} : { 'definitions/site.yaml': definition }),
          ...parts.files,
        },
        links: {},
      },
      {
        nginx: text,
        serving,
        ...(definition === undefined ? {} : { definition }),
        ...(tls === undefined || tls.needs.packages.length === 0 ? {} : { packages: tls.needs.packages.join('\n') }),
        ...parts.texts,
      },
    );
    if (tls !== undefined) server.needs(tls.needs.packages, tls.needs.secrets);
  }

  private tlsSettings({ serverName, tls, tlsPort, http }: NginxVhostProps, plainPort: number): TlsSettings | undefined {
    if (tls === undefined) {
      for (const [name, value] of Object.entries({ tlsPort, http })) {
        if (value === undefined) continue;
        throw invalid(this, name, show(value), {
          allowed: 'only a site with tls has it',
          fix: 'Declare tls: Tls.acme({ … }), or leave it out.',
        });
      }
      return undefined;
    }
    const fix = 'Tls.files({ … }), Tls.acme({ … }) or Tls.selfSigned().';
    checkMade(this, 'tls', tls, (tls as unknown) instanceof Tls, { allowed: 'where the certificate comes from', fix });
    check(this, 'tlsPort', tlsPort ?? 443, port);
    if ((tlsPort ?? 443) === plainPort)
      throw invalid(this, 'tlsPort', show(tlsPort ?? 443), {
        allowed: 'it is another port than that of plain HTTP',
        fix: 'Leave port out for 80, tlsPort for 443.',
      });
    if (http !== undefined && !Object.values(Http).includes(http))
      throw invalid(this, 'http', show(http), {
        allowed: `one of ${Object.values(Http).join(', ')}`,
        fix: 'Use the enum Http; leave it out for Http.SERVED.',
      });
    if (tls.kind === 'acme' && http === Http.CLOSED)
      throw invalid(this, 'http', show(http), {
        allowed: 'an ACME server looks over plain HTTP, and so that is open',
        fix: 'Use Http.REDIRECTED.',
      });
    const directory = `${ServerPaths.certificates}/${serverName}/${tls.kind === 'acme' ? 'serving' : 'self-signed'}`;
    const current = `${ServerPaths.configuration}/current`;
    return {
      port: tlsPort ?? 443,
      certificate: tls.kind === 'declared' ? `${current}/${CERTIFICATE_FILE}` : `${directory}/fullchain.pem`,
      key: tls.kind === 'declared' ? `${current}/${secretFile(TLS_KEY)}` : `${directory}/privkey.pem`,
      http: http ?? Http.SERVED,
      acme: tls.kind === 'acme',
    };
  }
}
