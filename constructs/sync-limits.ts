import type { IConstruct } from 'constructs';
import type { SyncLimits as SyncLimitsDefinition } from '../desired-state/definitions';
import { withoutCredentials } from '../desired-state/state-location';
import { proxyException, proxyUrl, wholeNumber } from '../desired-state/validate-sync';
import { Bandwidth } from './bandwidth';
import { check, checkList, checkMade, checkProps, invalid, show } from './private/check';

/** An HTTP proxy that syncs go through. It knows the server by its address: credentials would have to be in the plan. */
export interface SyncProxy {
  /** `http://proxy.example.org:3128` */
  readonly url: string;
  /** Hosts that are asked directly: names (with what is below them), or addresses. @default none */
  readonly except?: readonly string[];
}

/** How much of the host, of the line and of the upstreams all syncs together may take. */
export interface SyncLimits {
  /** Repositories that are synced at a time; the others wait. @default 4 */
  readonly slots?: number;
  /** Of those, from one upstream host. @default 2 */
  readonly slotsPerUpstream?: number;
  /** Connections of one sync to one host. @default 8 */
  readonly connections?: number;
  /** All syncs together. @default what the line gives */
  readonly bandwidth?: Bandwidth;
  /** @default upstreams are asked directly */
  readonly proxy?: SyncProxy;
}

/** Validates the prop `sync` of a server. Returns it as `mirrorctl` reads it; undefined where nothing is declared. */
export function syncLimitsOf(where: IConstruct, limits: SyncLimits | undefined): SyncLimitsDefinition | undefined {
  if (limits === undefined) return undefined;
  checkProps(where, limits, { slots: true, slotsPerUpstream: true, connections: true, bandwidth: true, proxy: true }, 'sync');
  const { slots, slotsPerUpstream, connections, bandwidth, proxy } = limits;
  for (const [name, value] of Object.entries({ slots, slotsPerUpstream, connections }))
    if (value !== undefined) check(where, `sync.${name}`, value, wholeNumber(1, 64));
  if (slots !== undefined && slotsPerUpstream !== undefined && slotsPerUpstream > slots)
    throw invalid(where, 'sync.slotsPerUpstream', String(slotsPerUpstream), {
      allowed: `no more than sync.slots, which is ${slots}`,
      fix: 'Raise sync.slots, or leave sync.slotsPerUpstream out.',
    });
  checkMade(where, 'sync.bandwidth', bandwidth, bandwidth === undefined || (bandwidth as unknown) instanceof Bandwidth, {
    allowed: 'a bandwidth is made by Bandwidth',
    fix: 'Bandwidth.megabitsPerSecond(100), or leave it out for no limit.',
  });
  const definition = {
    ...(slots === undefined ? {} : { slots }),
    ...(slotsPerUpstream === undefined ? {} : { slotsPerUpstream }),
    ...(connections === undefined ? {} : { connections }),
    ...(bandwidth === undefined ? {} : { bandwidth: bandwidth.bytesPerSecond }),
    ...(proxy === undefined ? {} : { proxy: proxyOf(where, proxy) }),
  };
  return Object.keys(definition).length === 0 ? undefined : definition;
}

function proxyOf(where: IConstruct, proxy: SyncProxy): { url: string; except: string[] } {
  checkProps(where, proxy, { url: true, except: true }, 'sync.proxy');
  const problem = proxyUrl(proxy.url);
  // A password is no part of an error message either.
  const shown = typeof proxy.url === 'string' ? withoutCredentials(proxy.url) : proxy.url;
  if (problem !== undefined) throw invalid(where, 'sync.proxy.url', show(shown), problem);
  const except = proxy.except ?? [];
  if (proxy.except !== undefined)
    checkList(where, 'sync.proxy.except', except, 'host', proxyException, 'Leave it out where everything goes through the proxy.');
  return { url: proxy.url, except: [...except] };
}
