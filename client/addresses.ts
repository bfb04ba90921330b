/** The address that a line of a list gives: at the upstream itself, or at its place on the mirror. */
import { MirrorError } from '../desired-state/errors';
import { Sources } from '../downloads/sources';
import type { Keys } from './keys';
import type { Offer, Place } from './places';
import type { Side } from './settings';
import type { Wanted } from './wanted';
import type { Web } from './web';

export class Addresses implements Place {
  readonly authority = false;

  constructor(
    readonly name: string,
    readonly side: Side,
    private readonly web: Web,
    private readonly urlOf: (wanted: Wanted) => string | undefined,
    private readonly packageKeys: Keys,
    private readonly keysRemedy: string,
  ) {}

  offers(wanted: readonly Wanted[]): Promise<ReadonlyMap<Wanted, Offer>> {
    const offers = new Map<Wanted, Offer>();
    for (const one of wanted) {
      const url = this.addressOf(one);
      if (url === undefined) continue;
      if (url instanceof MirrorError) {
        offers.set(one, { ...this.offerAt(one.url as string), refused: url });
        continue;
      }
      offers.set(one, {
        ...this.offerAt(url),
        ...(one.made === undefined || this.side === 'mirror' ? {} : { make: { ...one.made, url } }),
        ...(one.kind === 'package' ? { packageKeys: this.packageKeys, keysRemedy: this.keysRemedy } : {}),
      });
    }
    return Promise.resolve(offers);
  }

  private offerAt(url: string): Offer {
    const { base, href } = placeOf(url);
    const client = this.web.to(url, this.side === 'mirror');
    return { client, sources: new Sources([base]), href, checksum: undefined, size: undefined, proof: undefined };
  }

  private addressOf(wanted: Wanted): string | undefined | MirrorError {
    try {
      return this.urlOf(wanted);
    } catch (error) {
      if (error instanceof MirrorError) return error;
      throw error;
    }
  }
}

/** The directory of a URL, with its slash, and what is below it. */
export function placeOf(url: string): { readonly base: string; readonly href: string } {
  const { origin, pathname, search } = new URL(url);
  const cut = pathname.lastIndexOf('/') + 1;
  return { base: origin + pathname.slice(0, cut), href: pathname.slice(cut) + search };
}
