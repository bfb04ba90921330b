import { lstat, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { copied, type Definitions, hostedComponents } from './definitions';
import { isAbsent } from './files';
import type { Layout } from './layout';
import { snapshotsHere } from './releases';
import { announcedUntil, goneSnapshots } from './retention-ledger';
import { timeOf } from './snapshot';

/** What a URL with `/@` in it gets. */
export type TimeAnswer =
  /** `file` is relative to `repositories/` of the storage root; `sunset` is when retention takes it (ISO). */
  | { readonly kind: 'file'; readonly file: readonly string[]; readonly sunset: string | undefined }
  /** A directory was asked for without its slash. */
  | { readonly kind: 'slash' }
  | { readonly kind: 'times'; readonly publicPath: string; readonly times: readonly SnapshotTime[] }
  | { readonly kind: 'refused'; readonly status: 400 | 404 | 410; readonly message: string };

export interface SnapshotTime {
  /** ISO, to the second. */
  readonly time: string;
  readonly snapshot: string;
  /** When retention takes it, where that is announced (ISO). */
  readonly goes?: string;
  /** When retention took it (ISO). */
  readonly gone?: string;
}

const FORMS = '20261122T023000Z, 2026-11-22T02:30:00Z, or 2026-11-22 (which is 00:00:00Z of that day)';

/** Milliseconds; undefined for what is no time in one of the forms, or not in the calendar. */
export function parseTime(text: string): number | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)Z)?$/.exec(text) ?? /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = '00', minute = '00', second = '00'] = match;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const time = Date.parse(iso);
  return Number.isNaN(time) || new Date(time).toISOString() !== iso ? undefined : time;
}

/** Answers for what is public now, as it was at any time since retention keeps it. Reads names only; bytes are nginx's. */
export class Times {
  private announced: { readonly mark: string; readonly until: ReadonlyMap<string, string> } | undefined;

  constructor(
    private readonly layoutOf: (definitions: Definitions) => Layout,
    private readonly definitions: () => Promise<Definitions>,
    private readonly now: () => Date,
  ) {}

  /** @param url path and query as nginx normalizes them */
  async answer(url: string): Promise<TimeAnswer> {
    const path = segmentsOf(url.split('?', 1)[0] as string);
    if (path === undefined) return refused(400, 'This path is not canonical: no empty segments, no dots, no encoded slashes.');
    const definitions = await this.definitions();
    const layout = this.layoutOf(definitions);
    const ids = publicPaths(definitions);
    const { segments, slash } = path;
    const places = segments.map((_, i) => i + 1).filter((length) => ids.has(segments.slice(0, length).join('/')));
    // A name of upstream's that begins with @ is below a repository, or is nothing: below the innermost, where one lies in another.
    const marked = places.find((length) => segments[length]?.startsWith('@') === true);
    const length = marked ?? places.at(-1);
    if (length !== undefined) {
      const publicPath = segments.slice(0, length).join('/');
      const time = marked === undefined ? undefined : (segments[length] as string).slice(1);
      return this.of(
        layout,
        ids.get(publicPath) as string,
        publicPath,
        time,
        segments.slice(marked === undefined ? length : length + 1),
        slash,
      );
    }
    return refused(
      404,
      'Nothing is published here that has snapshots: a time stands behind the path of a repository, <path>/@2026-11-22T02:30:00Z/.',
    );
  }

  private async of(
    layout: Layout,
    id: string,
    publicPath: string,
    text: string | undefined,
    rest: readonly string[],
    slash: boolean,
  ): Promise<TimeAnswer> {
    const times = await this.timesOf(layout, id);
    if (text === '') {
      if (rest.length > 0) return refused(400, `A time is missing behind the @: ${FORMS}. /${publicPath}/@/ lists those there are.`);
      return slash ? { kind: 'times', publicPath, times } : { kind: 'slash' };
    }
    const found = text === undefined ? times.filter(({ gone }) => gone === undefined).at(-1) : this.at(times, publicPath, text);
    if (found === undefined) return refused(404, `Nothing was published at /${publicPath}/ yet.`);
    if ('kind' in found) return found;
    if (found.gone !== undefined)
      return refused(
        410,
        `What /${publicPath}/ was then, the snapshot of ${found.time}, was removed on ${found.gone}, after it was announced. /${publicPath}/@/ lists those there are.`,
      );
    const file = [...id.split('/'), 'snapshots', found.snapshot, ...rest];
    const kind = await kindOf(join(layout.repository('.'), ...file));
    if (kind === undefined) return refused(404, `There is no ${rest.join('/')} in /${publicPath}/ as it was at ${found.time}.`);
    if (kind === 'directory' && !slash) return { kind: 'slash' };
    if (kind === 'file' && slash) return refused(404, `${rest.join('/')} is a file: ask for it without the slash at the end.`);
    return { kind: 'file', file: kind === 'directory' ? [...file, ''] : file, sunset: found.goes };
  }

  /** What was current at a time, or why there is no answer. */
  private at(times: readonly SnapshotTime[], publicPath: string, text: string): SnapshotTime | TimeAnswer | undefined {
    const time = parseTime(text);
    if (time === undefined) return refused(400, `${JSON.stringify(text.slice(0, 40))} is no time. UTC times are written ${FORMS}.`);
    const [oldest, newest] = [times[0], times.at(-1)];
    if (oldest === undefined || newest === undefined) return undefined;
    if (time > this.now().getTime())
      return refused(404, `This time is to come. The newest snapshot of /${publicPath}/ is of ${newest.time}.`);
    const found = times.filter((one) => Date.parse(one.time) <= time).at(-1);
    return found ?? refused(404, `The oldest snapshot of /${publicPath}/ is of ${oldest.time}: nothing is known of the time before.`);
  }

  /** Oldest first. */
  private async timesOf(layout: Layout, id: string): Promise<readonly SnapshotTime[]> {
    const here = await snapshotsHere(layout, id);
    const until = await this.until(layout);
    const times = new Map<string, SnapshotTime>();
    for (const [snapshot, gone] of goneSnapshots(layout, id))
      if (snapshot <= (here.at(-1) ?? snapshot)) times.set(snapshot, { time: timeIn(snapshot), snapshot, gone });
    for (const snapshot of here) {
      const goes = until.get(`${id}@${snapshot}`);
      times.set(snapshot, { time: timeIn(snapshot), snapshot, ...(goes === undefined ? {} : { goes }) });
    }
    return [...times.values()].sort((a, b) => (a.snapshot < b.snapshot ? -1 : 1));
  }

  /** What retention has announced; read again when it changed. */
  private async until(layout: Layout): Promise<ReadonlyMap<string, string>> {
    const found = await stat(layout.retentionLedger).catch((error: unknown) => {
      if (isAbsent(error)) return undefined;
      throw error;
    });
    const mark = found === undefined ? '' : `${found.ino} ${found.mtimeMs} ${found.size}`;
    if (this.announced?.mark !== mark) this.announced = { mark, until: await announcedUntil(layout) };
    return this.announced.until;
  }
}

function refused(status: 400 | 404 | 410, message: string): TimeAnswer {
  return { kind: 'refused', status, message };
}

function timeIn(snapshot: string): string {
  return (timeOf(snapshot) ?? '').replace('.000Z', 'Z');
}

/** Public path → id, of everything that has snapshots. */
function publicPaths(definitions: Definitions): ReadonlyMap<string, string> {
  return new Map([
    // Some named files may have the path of a repository or tree (downloads): its times are the other's, which stands behind it here.
    ...[...copied(definitions)]
      .sort((a, b) => Number(b.kind === 'downloads') - Number(a.kind === 'downloads'))
      .map(({ id, publicPath }) => [publicPath, id] as const),
    ...hostedComponents(definitions).map(({ id, codename, component }) => [`${codename.publicPath}/${component}`, id] as const),
  ]);
}

/**
 * The decoded segments of a path. Undefined where anybody could read it in another way than nginx, which decided by its own reading who may ask:
 * empty segments, dots, encoded slashes, control characters, broken encoding.
 */
export function segmentsOf(path: string): { readonly segments: readonly string[]; readonly slash: boolean } | undefined {
  if (!path.startsWith('/') || path.length > 4096) return undefined;
  const raw = path.slice(1).split('/');
  const slash = raw.at(-1) === '';
  if (slash) raw.pop();
  const segments: string[] = [];
  for (const one of raw) {
    let segment: string;
    try {
      segment = decodeURIComponent(one);
    } catch {
      return undefined;
    }
    if (segment === '' || segment === '.' || segment === '..' || /[/\\\u0000-\u001f\u007f#]/.test(segment)) return undefined;
    segments.push(segment);
  }
  return { segments, slash };
}

/** What is there; undefined for nothing, and for what a snapshot has no business with. */
async function kindOf(path: string): Promise<'file' | 'directory' | undefined> {
  try {
    const found = await lstat(path);
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : undefined;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
