/** What a fault is, and what the campaign offers to bring it about. */
import { namesOf, type Names } from './calls';
import type { Deployment, States } from './deployment';
import type { Finished, Host } from './host';
import type { Proxy } from './proxy';
import type { Sampler } from './sampler';

/** What a strike says of itself. */
export interface Strike {
  /** How the deploy that was struck ended; none when it was killed with its operator. */
  readonly deploy?: Finished;
  /** Where it struck, when only the strike itself can tell. */
  readonly where?: string;
  /** It waited itself until the server had taken the deploy back. */
  readonly reverted?: boolean;
  /** The deploy was over before the strike came: nothing was tried, and nothing counts. */
  readonly missed?: boolean;
}

/** What `--only` knows, and what the summary counts by. */
export const KINDS = [
  'kill activate', 'kill confirm', 'kill receive', 'kill revert', 'kill apply', 'kill terraform', 'cut connection', 'cut confirmation', 'cut upload',
  'locked out', 'stopped process', 'errors of the disk', 'full disk', 'nginx', 'systemd', 'drift meanwhile', 'sync meanwhile', 'clock', 'lock',
  'two deploys', 'power', 'first deploy',
] as const; // prettier-ignore
export type Kind = (typeof KINDS)[number];

/** How a fault was got over, in the order of the table's columns. */
export const RECOVERIES = ['went on', 'nothing was changed', 'taken back by the deploy', 'reverted by itself', 'next deploy'] as const;
export type Recovery = (typeof RECOVERIES)[number];

export interface Fault {
  readonly kind: Kind;
  /** What happens, and where it strikes. */
  readonly what: string;
  /** Brings the server into the state that is struck, where that is not the one that the fault before left. */
  readonly prepare?: (field: Field) => Promise<void>;
  /** Deploys and strikes. Whatever it did is undone when it returns. */
  readonly strike: (field: Field) => Promise<Strike>;
  /** Nobody deploys again until the server has come to rest by itself. */
  readonly alone?: boolean;
  /** The generation that must serve when it has: without it, either. */
  readonly ends?: 'old' | 'new';
  /** What the deploy that was struck has to say. */
  readonly says?: RegExp;
  /** How many seconds longer than usual the server may take. */
  readonly patience?: number;
  /** Part of the short form. */
  readonly short?: boolean;
}

/** Where the campaign takes place. */
export interface Field {
  readonly host: Host;
  readonly states: States;
  readonly sampler: Sampler;
  readonly proxy: Proxy;
  /** Of the proxy. */
  readonly port: number;
  /** The state that is not deployed: what a fault deploys, and what the next deploy does. */
  there: Deployment;
  /** The state that serves. */
  here: Deployment;
  /** How long an undisturbed apply takes, in milliseconds. */
  readonly applyMs: number;
  /** From 0 to 1, by the seed. */
  random(): number;
}

/** Seconds that an unconfirmed generation has, in `app.ts`. */
export const CONFIRM_SECONDS = 5;

/** What was deployed serves now: the two states change places. */
export function swap(field: Field): void {
  [field.here, field.there] = [field.there, field.here];
}

/** Names in the paths of the deploy that comes next. */
export function namesOfNext(field: Field): Names {
  return namesOf(field.there.name.startsWith('a') ? 'a' : 'b', field.host.nextGeneration());
}
