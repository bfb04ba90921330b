import { lookup } from 'node:dns/promises';
import { connect as tcpConnect, type Socket } from 'node:net';
import { explainDialError, timedOut } from './errors';
import type { Hop, Timeouts } from './stages';

/** More addresses than this are not tried: a name with many is no name of one server. */
const MOST_ADDRESSES = 4;

/** A TCP connection to a hop: resolves its name, then tries its addresses in the resolver's order. Throws MirrorError. */
export async function dial(hop: Hop, timeouts: Timeouts): Promise<Socket> {
  const addresses = await resolve(hop, timeouts);
  let last: Error | undefined;
  for (const address of addresses) {
    try {
      return await connectTo(address, hop.endpoint.port, timeouts.connect / addresses.length);
    } catch (error) {
      last = error as Error;
    }
  }
  throw last instanceof TooLate ? timedOut(hop, 'connect', timeouts) : explainDialError(last as Error, hop, addresses);
}

async function resolve(hop: Hop, timeouts: Timeouts): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timedOut(hop, 'name', timeouts)), timeouts.name);
  });
  const found = lookup(hop.endpoint.address, { all: true }).then(
    (answers) => answers.slice(0, MOST_ADDRESSES).map((answer) => answer.address),
    (error: Error) => {
      throw explainDialError(error, hop);
    },
  );
  // When the limit wins, nobody listens to what the resolver says in the end.
  found.catch(() => undefined);
  return Promise.race([found, limit]).finally(() => clearTimeout(timer));
}

class TooLate extends Error {}

function connectTo(host: string, port: number, limit: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = tcpConnect({ host, port });
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(new TooLate()), limit);
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}
