/** Who still uses old URLs: what nginx logged of requests for them. */
import { createReadStream, openSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { AliasDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { isAbsent } from './files';
import { tableLines } from './lines';

/** A log, or a rotated one. */
interface OpenedLog {
  readonly path: string;
  readonly fd: number;
}

export type LegacyLogs = readonly OpenedLog[];

/**
 * Opens a log and what logrotate made of it (`.1`, `.2.gz`, `-20261122.gz`), while a manual run is still root's: addresses of clients are not for
 * everybody. None where there was no request yet.
 */
export function openLegacyLogs(log: string): LegacyLogs {
  try {
    const names = readdirSync(dirname(log)).filter((name) => name.startsWith(basename(log)) && isLog(name.slice(basename(log).length)));
    return names.sort().map((name) => ({ path: join(dirname(log), name), fd: openSync(join(dirname(log), name), 'r') }));
  } catch (error) {
    if (isAbsent(error)) return [];
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    throw new MirrorError({
      code: 'LOG_UNREADABLE',
      message: `${(error as NodeJS.ErrnoException).path ?? log} cannot be read by this user: it holds addresses of clients`,
      remedy: 'Run it as root: sudo mirrorctl legacy.',
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}

function isLog(ending: string): boolean {
  return /^([.-]\d+)?(\.gz)?$/.test(ending);
}

/** A request as nginx's format `combined` has it. */
interface Request {
  readonly client: string;
  readonly at: Date;
  /** Decoded, without a query. */
  readonly path: string;
  readonly status: number;
  readonly agent: string;
}

/** One client that used one old directory. */
export interface LegacyUse {
  /** Id of the alias; absent where none is declared any more that has this path. */
  readonly alias?: string;
  /** For instance `/mos/centos-6/updates`; the whole path where no alias has it. */
  readonly directory: string;
  /** Its address. */
  readonly client: string;
  readonly requests: number;
  /** Of those, answered with 400 or more. */
  readonly refused: number;
  /** Times of the first and the last request. */
  readonly first: string;
  readonly last: string;
  /** Of the last request. */
  readonly agent: string;
  readonly path: string;
}

/** Uses since `since`, those of most requests first. Lines that nginx did not write are skipped. */
export async function legacyUses(logs: LegacyLogs, aliases: readonly AliasDefinition[], since: Date): Promise<readonly LegacyUse[]> {
  const directories = aliases.flatMap(({ id, path, components }) =>
    Object.keys(components).map((name) => ({ alias: id, directory: `/${path}/${name}` })),
  );
  const uses = new Map<string, { -readonly [K in keyof LegacyUse]: LegacyUse[K] }>();
  for (const log of logs) {
    for await (const line of createInterface({ input: contentOf(log), crlfDelay: Infinity })) {
      const request = parseRequest(line);
      if (request === undefined || request.at < since) continue;
      const { client, path, agent } = request;
      const place = directories.find(({ directory }) => path === directory || path.startsWith(`${directory}/`)) ?? { directory: path };
      const at = request.at.toISOString();
      const key = `${client} ${place.directory}`;
      const use = uses.get(key) ?? { ...place, client, requests: 0, refused: 0, first: at, last: at, agent, path };
      use.requests++;
      if (request.status >= 400) use.refused++;
      if (at < use.first) use.first = at;
      if (at >= use.last) Object.assign(use, { last: at, agent, path });
      uses.set(key, use);
    }
  }
  return [...uses.values()].sort((a, b) => b.requests - a.requests || (a.directory + a.client < b.directory + b.client ? -1 : 1));
}

function contentOf({ path, fd }: OpenedLog): Readable {
  const file = createReadStream(path, { fd });
  if (!path.endsWith('.gz')) return file;
  const gunzip = createGunzip();
  file.on('error', (error) => gunzip.destroy(error));
  return file.pipe(gunzip);
}

const COMBINED =
  /^(\S+) - .*? \[(\d{2})\/(\w{3})\/(\d{4}):(\d{2}:\d{2}:\d{2}) ([+-]\d{2})(\d{2})\] "[A-Z]+ (\S+) HTTP\/[\d.]+" (\d{3}) \d+ "[^"]*" "([^"]*)"$/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Undefined for what is no request, such as the line that a crash cut short. Pure. */
export function parseRequest(line: string): Request | undefined {
  const match = COMBINED.exec(line);
  if (match === null) return undefined;
  const [, client, day, month, year, time, hours, minutes, target, status, agent] = match as unknown as string[];
  const number = String(MONTHS.indexOf(month as string) + 1).padStart(2, '0');
  const at = new Date(`${year}-${number}-${day}T${time}${hours}:${minutes}`);
  if (Number.isNaN(at.getTime())) return undefined;
  return { client: client as string, at, path: normalized(target as string), status: Number(status), agent: agent as string };
}

/** The path that nginx looked up: decoded, one slash where there were several. */
function normalized(target: string): string {
  const path = target.replace(/\?.*$/, '').replace(/\/(\.?\/)+/g, '/');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** For people. */
export function legacyLines(uses: readonly LegacyUse[], days: number): readonly string[] {
  if (uses.length === 0) return [`nobody used an old URL in the last ${days === 1 ? 'day' : `${days} days`}`];
  const rows = uses.map((use) => [
    printable(use.alias === undefined ? `${use.directory} (no longer declared)` : use.directory),
    use.client,
    String(use.requests),
    String(use.refused),
    use.last.replace(/\.\d+Z$/, 'Z'),
    printable(use.agent),
  ]);
  return tableLines([['OLD URL', 'CLIENT', 'REQUESTS', 'REFUSED', 'LAST', 'PROGRAM'], ...rows]);
}

/** What clients send is not for the terminal to obey. */
function printable(text: string): string {
  const shown = text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, '?');
  return shown.length > 80 ? `${shown.slice(0, 79)}…` : shown;
}
