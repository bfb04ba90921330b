import { lookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { isIP } from 'node:net';
import type { buildConnector as Connector } from 'undici';
import { isPrivate } from './addresses';
import { buildConnector } from './undici';

export type Connect = Connector.connector;

/** A host that is where no public mirror is. */
export class PrivateAddress extends Error {
  readonly code = 'PRIVATE_ADDRESS';

  constructor(host: string, address: string) {
    super(host === address ? `${host} is not a public address` : `${host} is at ${address}, which is not a public address`);
  }
}

/** Connects wherever a URL leads. Hosts with IPv6 addresses but no route are common; Node 18 would not try IPv4 by itself. */
export function connector(timeout: number): Connect {
  return buildConnector({ timeout, autoSelectFamily: true });
}

/**
 * Connects to public addresses only. What is looked at is the address that the connection is then made to, so a name that changes its mind
 * between two questions changes nothing.
 */
export function publicConnector(timeout: number): Connect {
  const connect = buildConnector({ timeout, autoSelectFamily: true, lookup: publicLookup as typeof lookup });
  return (options, callback) => {
    const problem = privateLiteral(options.hostname);
    if (problem === undefined) connect(options, callback);
    else callback(problem, null);
  };
}

/** A host that is given as an address is never looked up: it is judged as it stands. */
export function privateLiteral(hostname: string): PrivateAddress | undefined {
  const address = hostname.replace(/^\[(.*)\]$/, '$1');
  const local = address === 'localhost' || address.endsWith('.localhost');
  return local || (isIP(address) !== 0 && isPrivate(address)) ? new PrivateAddress(address, address) : undefined;
}

type Found = (error: Error | null, address?: string | LookupAddress[], family?: number) => void;

function publicLookup(hostname: string, options: LookupOptions, found: Found): void {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return found(error);
    const open = addresses.filter(({ address }) => !isPrivate(address));
    const [first] = open;
    if (first === undefined) return found(new PrivateAddress(hostname, addresses[0]?.address ?? 'no address'));
    if (options.all === true) found(null, open);
    else found(null, first.address, first.family);
  });
}
