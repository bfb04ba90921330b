/** How the network is reached: proxies of the environment, as curl and wget read them. */
import { HttpClient, type HttpOptions } from '../downloads/http';
import type { Proxy } from '../downloads/proxy';
import { usage } from './settings';

type Environment = Readonly<Record<string, string | undefined>>;

/** One client for each scheme, since each may have a proxy of its own; the same one where they have not. */
export class Web {
  private readonly clients: Readonly<Record<'http:' | 'https:', HttpClient>>;

  /** @param signal ends every request that is under way */
  constructor(options: { readonly jobs: number; readonly timeout: number }, environment: Environment, signal: AbortSignal) {
    const make = (proxy: Proxy | undefined): HttpClient => new HttpClient({ ...httpOptions(options, proxy), signal });
    const [http, https] = [proxyFor('http', environment), proxyFor('https', environment)];
    const first = make(http);
    this.clients = { 'http:': first, 'https:': http?.url === https?.url ? first : make(https) };
  }

  /**
   * The client for a URL. What an upstream redirects to must be a public address, unless it is the host itself; the mirror of an organisation
   * may redirect within it (`anywhere`).
   */
  to(url: string, anywhere = false): HttpClient {
    const client = this.clients[url.startsWith('https:') ? 'https:' : 'http:'];
    return anywhere ? client.reaching('all') : client;
  }

  async close(): Promise<void> {
    await Promise.all([...new Set(Object.values(this.clients))].map((client) => client.close()));
  }
}

function httpOptions({ jobs, timeout }: { readonly jobs: number; readonly timeout: number }, proxy: Proxy | undefined): HttpOptions {
  const milliseconds = timeout * 1000;
  return {
    connections: jobs,
    connectTimeout: Math.min(10_000, milliseconds),
    headersTimeout: milliseconds,
    idleTimeout: milliseconds,
    lowSpeedSeconds: timeout,
    userAgent: 'download-mirror',
    ...(proxy === undefined ? {} : { proxy }),
  };
}

/** The proxy for a scheme. `HTTP_PROXY` is not read, as by curl: a web server sets it from a request's header. */
export function proxyFor(scheme: 'http' | 'https', environment: Environment): Proxy | undefined {
  const names = scheme === 'http' ? ['http_proxy', 'all_proxy'] : ['https_proxy', 'HTTPS_PROXY', 'all_proxy'];
  const found = names.find((name) => (environment[name] ?? '') !== '');
  if (found === undefined) return undefined;
  const text = environment[found] as string;
  const except = (environment['no_proxy'] ?? environment['NO_PROXY'] ?? '').split(',').map((entry) => entry.trim());
  if (except.includes('*')) return undefined;
  let url: URL;
  try {
    url = new URL(text.includes('://') ? text : `http://${text}`);
  } catch {
    throw usage(`the environment variable ${found} is no URL`, 'Write it as http://proxy.example.org:3128.');
  }
  if (!/^https?:$/.test(url.protocol) || url.username !== '')
    throw usage(
      `the environment variable ${found} names a proxy that cannot be used`,
      'Only http and https proxies without a user are: http://proxy.example.org:3128.',
    );
  return { url: url.origin, except: except.filter((entry) => entry !== '').map((entry) => entry.replace(/:\d+$/, '')) };
}
