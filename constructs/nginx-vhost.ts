import { Construct } from 'constructs';
import { servingSnippet, vhost } from '../desired-state/render/nginx';
import { dnsName, flag, port } from '../desired-state/validate';
import { check, checkProps } from './private/check';
import { declare } from './private/declare';
import { MirrorServer } from './mirror-server';

export interface NginxVhostProps {
  /** DNS name that clients use; it is written into `.repo` files. */
  readonly serverName: string;
  /** @default 80 */
  readonly port?: number;
  /** Whether to listen on IPv6 too. @default true */
  readonly ipv6?: boolean;
}

/** The site that serves everything. Declared before what it serves, since `.repo` files carry its name. */
export class NginxVhost extends Construct {
  constructor(server: MirrorServer, id: string, props: NginxVhostProps) {
    super(server, id);
    checkProps(this, props, { serverName: true, port: true, ipv6: true });
    check(this, 'serverName', props.serverName, dnsName);
    check(this, 'port', props.port ?? 80, port);
    check(this, 'ipv6', props.ipv6 ?? true, flag);
    const site = { serverName: props.serverName, port: props.port ?? 80 };
    server.setSite(this, site);
    const text = vhost({ ...site, ipv6: props.ipv6 ?? true, storageRoot: server.storageRoot });
    const serving = servingSnippet();
    declare(
      this,
      { id: `vhost/${props.serverName}`, files: { 'nginx/vhost.conf': text, 'nginx/serving.conf': serving }, links: {} },
      { nginx: text, serving },
    );
  }
}
