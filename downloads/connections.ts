import type { Socket } from 'node:net';
import type { buildConnector, Client as ClientOf } from 'undici';
import { codeOf, isCertificateError } from './errors';
import type { Exchange } from './exchange';
import { Client } from './undici';

/** A connection, and how many exchanges are on it. */
interface Lane {
  readonly client: ClientOf;
  socket: Socket | undefined;
  running: number;
  /** Answers since it was opened. */
  answered: number;
  /** One exchange has it for itself. */
  taken: boolean;
}

interface Job {
  readonly exchange: Exchange;
  shared: boolean;
  /** How often it was sent again without an answer. */
  again: number;
}

/** After so many connections that ended while several requests were on them, each gets one at a time. */
const MAX_BREAKS = 3;
const MAX_AGAIN = 2;
/** The certificate is of another host. */
const OTHER_HOST = 'ERR_TLS_CERT_ALTNAME_INVALID';

/**
 * The connections to one place. Small requests share them, sent ahead of the answers (HTTP pipelining), once the server has shown that it
 * keeps connections open; large ones have one for themselves. First come, first served.
 */
export class Connections {
  private readonly lanes: Lane[] = [];
  private waiting: Job[] = [];
  private depth = 1;
  private breaks = 0;
  private pumping = false;

  constructor(
    private readonly origin: string,
    private readonly connect: buildConnector.connector,
    private readonly options: { readonly connections: number; readonly pipelining: number; readonly client: ClientOf.Options },
  ) {}

  send(exchange: Exchange, shared: boolean): void {
    this.waiting.push({ exchange, shared, again: 0 });
    this.pumpSoon();
  }

  /** Something came over a shared connection that was not what was asked for: no more sharing here. */
  distrust(): void {
    this.breaks = MAX_BREAKS;
    this.depth = 1;
    for (const { client } of this.lanes) client.pipelining = 1;
  }

  async close(): Promise<void> {
    await Promise.all(this.lanes.map(({ client }) => client.destroy()));
  }

  private pumpSoon(): void {
    if (this.pumping) return;
    this.pumping = true;
    queueMicrotask(() => {
      this.pumping = false;
      this.pump();
    });
  }

  private pump(): void {
    const corked = new Set<Socket>();
    let sent = 0;
    for (const job of this.waiting) {
      if (!job.exchange.isSettled) {
        const lane = this.laneFor(job);
        if (lane === undefined) break;
        // Requests that are sent together leave in one packet: a system call for each would cost more than all the rest.
        if (lane.socket !== undefined && !corked.has(lane.socket)) {
          lane.socket.cork();
          corked.add(lane.socket);
        }
        this.dispatch(job, lane);
      }
      sent++;
    }
    if (sent > 0) this.waiting = this.waiting.slice(sent);
    for (const socket of corked) socket.uncork();
  }

  private laneFor(job: Job): Lane | undefined {
    let best: Lane | undefined;
    for (const lane of this.lanes) if (!lane.taken && (best === undefined || lane.running < best.running)) best = lane;
    if (best?.running === 0) return best;
    if (this.lanes.length < this.options.connections) return this.newLane();
    return best !== undefined && job.shared && best.running < this.depth ? best : undefined;
  }

  private newLane(): Lane {
    const connect: buildConnector.connector = (options, callback) =>
      this.connect(options, (...result) => {
        lane.socket = result[1] ?? undefined;
        callback(...result);
      });
    const client = new Client(this.origin, {
      ...this.options.client,
      pipelining: this.breaks < MAX_BREAKS ? this.options.pipelining : 1,
      connect,
    });
    const lane: Lane = { client, socket: undefined, running: 0, answered: 0, taken: false };
    client.on('disconnect', () => {
      lane.answered = 0;
      lane.socket = undefined;
    });
    this.lanes.push(lane);
    return lane;
  }

  private dispatch(job: Job, lane: Lane): void {
    const { exchange } = job;
    lane.running++;
    lane.taken = !job.shared;
    exchange.released = (error) => this.release(job, lane, error);
    lane.client.dispatch({ path: exchange.options.path, method: 'GET', headers: exchange.options.headers }, exchange);
  }

  /** True when the exchange is sent again. */
  private release(job: Job, lane: Lane, error: unknown): boolean {
    const company = lane.running > 1;
    const used = lane.answered > 0;
    lane.running--;
    lane.taken = false;
    this.pumpSoon();
    const { head, isSettled } = job.exchange;
    if (error === undefined) {
      lane.answered++;
      if (this.breaks < MAX_BREAKS && head?.header('connection')?.toLowerCase() !== 'close') this.depth = this.options.pipelining;
      return false;
    }
    // undici keeps a place in its queue for such a request, and an assertion that fails at the next one would end the process.
    if (codeOf(error) === OTHER_HOST) this.lanes.splice(this.lanes.indexOf(lane), 1);
    if (isSettled) return false;
    if (cannotConnect(error) && this.lanes.every((other) => other.answered === 0)) {
      // Nobody gets through: those who wait need not find it out one by one.
      for (const { exchange } of this.waiting) exchange.disconnected(error);
      this.waiting = [];
      return false;
    }
    if (company && ++this.breaks >= MAX_BREAKS) this.distrust();
    // A server may close a connection that it has kept open while a request is on its way: that is nobody's fault.
    if (head !== undefined || job.again >= MAX_AGAIN || !(company || used) || !isBroken(error)) return false;
    job.again++;
    job.shared = false;
    this.waiting.unshift(job);
    return true;
  }
}

function isBroken(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error));
}

function cannotConnect(error: unknown): boolean {
  const code = codeOf(error);
  const unreachable = [
    'UND_ERR_CONNECT_TIMEOUT',
    'ECONNREFUSED',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ETIMEDOUT',
    'PRIVATE_ADDRESS',
    'PROXY_FAILED',
  ];
  return unreachable.includes(code) || isCertificateError(code);
}
