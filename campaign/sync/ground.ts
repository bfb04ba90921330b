/** Where the campaign takes place: packages, an upstream, a mirror of it, and the site that serves both. */
import { mkdirSync } from 'node:fs';
import { Mirror, type View } from './mirror';
import { buildPackages, makeKey, type Key, type Package } from './packages';
import { startSite, type Site } from './site';
import { Upstream, type UpstreamState } from './upstream';
import type { Workshop } from './workshop';

const NAMES = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'] as const;

export interface Ground {
  readonly workshop: Workshop;
  readonly upstream: Upstream;
  readonly site: Site;
  readonly pool: readonly Package[];
  readonly keys: { readonly upstream: Key; readonly mirror: Key };
  /** Where the storage root and the state are: a part may mount something there. */
  readonly disk: string;
  /** From 0 to 1, by the seed. */
  readonly random: () => number;
}

/** `states`: so many states of upstream have each a package that no other had before. */
export async function makeGround(workshop: Workshop, random: () => number, states: number): Promise<Ground> {
  const keys = { upstream: makeKey(workshop.path('keys/upstream'), 'upstream'), mirror: makeKey(workshop.path('keys/mirror'), 'mirror') };
  mkdirSync(workshop.path('pool'));
  const pool = await buildPackages(workshop.path('pool'), NAMES, Math.ceil(states / NAMES.length) + 1, keys.upstream);
  const upstream = new Upstream(workshop.path('upstream'), keys.upstream);
  const disk = workshop.path('disk');
  const plain = workshop.path('reposync');
  mkdirSync(disk);
  mkdirSync(plain);
  const site = await startSite(workshop, { storage: `${disk}/root`, upstream: upstream.root, plain });
  return { workshop, upstream, site, pool, keys, disk, random };
}

export function mirrorOf(ground: Ground, view: View): Mirror {
  return new Mirror(ground.workshop, {
    view,
    upstreamKey: ground.keys.upstream,
    mirrorKey: ground.keys.mirror,
    fetchFrom: ground.site.upstream,
    root: `${ground.disk}/root`,
    state: `${ground.disk}/state`,
  });
}

/** The packages of the n-th state: of each name one version. From state to state one of them gets its next version. Pure. */
export function choice(pool: readonly Package[], number: number): Package[] {
  const versions = pool.length / NAMES.length;
  return NAMES.map((name, index) => {
    const version = (Math.floor((number + NAMES.length - 1 - index) / NAMES.length) % versions) + 1;
    const found = pool.find((one) => one.name === name && one.version === version);
    if (found === undefined) throw new Error(`no ${name} of version ${version}`);
    return found;
  });
}

/** Makes the n-th state. Its revision is so many seconds after 1970; without one, now. */
export function makeState(ground: Ground, number: number, revision = Math.floor(Date.now() / 1000)): Promise<UpstreamState> {
  return ground.upstream.make(choice(ground.pool, number), revision);
}
