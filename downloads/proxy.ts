import { isIP, type Socket } from 'node:net';
import type { Connect } from './connect';
import { buildConnector } from './undici';

/** A proxy for what is fetched. */
export interface Proxy {
  /** `http://proxy.example.org:3128` */
  readonly url: string;
  /** Hosts that are asked directly: a name, which stands for what is below it too, or an address. */
  readonly except: readonly string[];
}

/** The proxy did not do what it is for: `status` is its answer, where it gave one. */
export class ProxyFailed extends Error {
  readonly code = 'PROXY_FAILED';

  constructor(
    message: string,
    readonly status: number | undefined,
  ) {
    super(message);
  }
}

/** Whether this host is asked through the proxy. */
export function isProxied(proxy: Proxy, hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return !proxy.except.some((exception) => matches(exception.toLowerCase(), host));
}

function matches(exception: string, host: string): boolean {
  const name = exception.replace(/^\*?\./, '').replace(/^\[(.*)\]$/, '$1');
  return host === name || (isIP(host) === 0 && host.endsWith(`.${name}`));
}

/**
 * Connects to https places through a tunnel (CONNECT); the proxy sees where to, and nothing of what. The certificate is that of the place.
 */
export function tunnel(proxy: Proxy, timeout: number): Connect {
  const { protocol, hostname, port } = new URL(proxy.url);
  const secure = buildConnector({ timeout });
  // Not at each start of the program: it takes 4 ms, and most have no proxy.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { request } = require(protocol === 'https:' ? 'node:https' : 'node:http') as typeof import('node:http');
  return (options, callback) => {
    const target = `${options.hostname}:${options.port === '' ? '443' : options.port}`;
    const asked = request({
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
      method: 'CONNECT',
      path: target,
      headers: { host: target },
      agent: false,
      timeout,
    });
    let done = false;
    const end = (...result: [Error, null] | [null, Socket]): void => {
      if (done) return;
      done = true;
      if (result[0] === null) secure({ ...options, httpSocket: result[1] }, callback);
      else callback(result[0], null);
    };
    asked.once('connect', (answer, socket: Socket, head) => {
      socket.setTimeout(0);
      if (answer.statusCode === 200 && head.length === 0) return end(null, socket);
      socket.destroy();
      end(new ProxyFailed(`answers CONNECT ${target} with status ${answer.statusCode}`, answer.statusCode), null);
    });
    asked.once('response', (answer) => {
      asked.destroy();
      end(new ProxyFailed(`answers CONNECT ${target} with status ${answer.statusCode}`, answer.statusCode), null);
    });
    asked.once('timeout', () => asked.destroy(new ProxyFailed(`does not answer CONNECT ${target} for ${timeout} ms`, undefined)));
    asked.once('error', (error) => end(error instanceof ProxyFailed ? error : new ProxyFailed(error.message, undefined), null));
    asked.end();
  };
}
