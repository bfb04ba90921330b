import type { Endpoint } from '../desired-state/target';

/** What a connection goes through, in this order; an error names the one that it failed in. */
export type Stage = 'name' | 'connect' | 'handshake' | 'authentication' | 'session';

/** How long each stage may take, in milliseconds. */
export interface Timeouts {
  readonly name: number;
  /** For all addresses of a name together. */
  readonly connect: number;
  /** Greeting, version and key exchange. */
  readonly handshake: number;
  /** Somebody may have to touch a hardware key. */
  readonly authentication: number;
  /** Until the server has opened a session. */
  readonly session: number;
  /** From the opened session until the login shell, and sudo, have started our command. */
  readonly start: number;
  /** Between two keep-alive messages; after `SILENT_INTERVALS` of them without an answer the connection is lost. */
  readonly keepAlive: number;
}

export const SILENT_INTERVALS = 3;

export const TIMEOUTS: Timeouts = {
  name: 10_000,
  connect: 15_000,
  handshake: 20_000,
  authentication: 60_000,
  session: 20_000,
  start: 60_000,
  keepAlive: 10_000,
};

/** One SSH connection of the way to the server. */
export interface Hop {
  readonly endpoint: Endpoint;
  /** The jump host that it goes through. */
  readonly through?: Endpoint | undefined;
  readonly isJumpHost?: boolean;
}

/** What errors call a hop, so that nobody looks at the wrong host. */
export function place({ endpoint, through, isJumpHost }: Hop): string {
  const at = `${endpoint.address} port ${endpoint.port}`;
  if (isJumpHost === true) return `the jump host ${at}`;
  return through === undefined ? at : `${at} (through the jump host ${through.address})`;
}

/** The same with the account. */
export function account(hop: Hop): string {
  const text = place(hop);
  const role = hop.isJumpHost === true ? 'the jump host ' : '';
  return `${role}${hop.endpoint.user}@${text.slice(role.length)}`;
}

/** Seconds for people. */
export function seconds(milliseconds: number): string {
  return `${Math.round(milliseconds / 100) / 10} s`;
}

/** What a server said, as it can be shown in one line: printable, and cut. */
export function said(text: string, length = 120): string {
  const line = text
    .replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
    .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufffd]+/g, ' ')
    .trim();
  return JSON.stringify(line.length > length ? `${line.slice(0, length - 1)}…` : line);
}
