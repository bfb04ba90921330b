import { type Connect, connector, privateLiteral, publicConnector } from './connect';
import { Connections } from './connections';
import { connectionFailure, DownloadError } from './errors';
import { isProxied, type Proxy, tunnel } from './proxy';

export interface RouteOptions {
  readonly connections: number;
  readonly pipelining: number;
  readonly connectTimeout?: number;
  readonly headersTimeout?: number;
  readonly idleTimeout?: number;
  readonly proxy?: Proxy;
}

/** How a URL is asked for. */
export interface Route {
  readonly connections: Connections;
  /** What the request line says. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Names the proxy in errors. */
  readonly via: string;
}

/** Finds the connections for a URL: direct or through the proxy, to any address or to public ones only. They are kept apart. */
export class Routes {
  private readonly places = new Map<string, Connections>();
  private readonly anywhere: Connect;
  private readonly toPublic: Connect;

  constructor(private readonly options: RouteOptions) {
    const timeout = options.connectTimeout ?? 10_000;
    this.anywhere = connector(timeout);
    this.toPublic = publicConnector(timeout);
  }

  /** Throws a DownloadError for a private address in the URL itself, unless it may lead anywhere. */
  to(url: string, anywhere: boolean): Route {
    const target = new URL(url);
    const path = target.pathname + target.search;
    if (target.protocol !== 'http:' && target.protocol !== 'https:') {
      throw new DownloadError({ kind: 'refused', message: `${url} is not http or https` });
    }
    const { proxy } = this.options;
    if (proxy === undefined || !isProxied(proxy, target.hostname)) {
      const connect = anywhere ? this.anywhere : this.toPublic;
      return {
        connections: this.place(`${anywhere ? 'any' : 'public'} ${target.origin}`, target.origin, connect),
        path,
        headers: {},
        via: '',
      };
    }
    // Names are the proxy's to look up, and what it reaches is its operator's decision; an address can be judged here.
    const problem = anywhere ? undefined : privateLiteral(target.hostname);
    if (problem !== undefined) throw connectionFailure(url, problem);
    const via = `through the proxy ${proxy.url}: `;
    const key = `proxy ${target.origin}`;
    if (target.protocol === 'https:') {
      const connect = tunnel(proxy, this.options.connectTimeout ?? 10_000);
      return { connections: this.place(key, target.origin, connect), path, headers: {}, via };
    }
    const connections = this.place(key, new URL(proxy.url).origin, this.anywhere);
    return { connections, path: target.origin + path, headers: { host: target.host }, via };
  }

  distrust(url: string): void {
    const { origin } = new URL(url);
    for (const kind of ['any', 'public', 'proxy']) this.places.get(`${kind} ${origin}`)?.distrust();
  }

  async close(): Promise<void> {
    await Promise.all([...this.places.values()].map((place) => place.close()));
  }

  private place(key: string, origin: string, connect: Connect): Connections {
    const known = this.places.get(key);
    if (known !== undefined) return known;
    const { connections, pipelining, headersTimeout, idleTimeout } = this.options;
    const client = { headersTimeout: headersTimeout ?? 30_000, bodyTimeout: idleTimeout ?? 30_000, keepAliveTimeout: 10_000 };
    const place = new Connections(origin, connect, { connections, pipelining, client });
    this.places.set(key, place);
    return place;
  }
}
