/** What the commands for builds tell: rows for programs, lines for people. */
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildsDefinition } from '../desired-state/definitions';
import { type BuildLink, STARLINGX } from '../starlingx/build-layout';
import type { BuildRecord } from './build-record';
import type { Expired, Standing } from './build-expire';
import type { Marked } from './build-marks';
import type { Colour, LinkChange } from './builds';
import { BRING_BACK, type LostFile, readLost } from './damage';
import type { Layout } from './layout';
import { tableLines } from './lines';
import { size } from './progress';
import { count, day } from './retention-text';

/** A build in `mirrorctl build list`. */
export interface BuildRow {
  readonly series: string;
  readonly build: string;
  readonly result: 'succeeded' | 'failed' | 'no-new-content';
  readonly colour?: Colour;
  /** Why it is kept; empty where nobody said why. */
  readonly kept?: string;
  /** Undefined where its record is lost, as the next two. */
  readonly files?: number;
  readonly bytes?: number;
  readonly newBytes?: number;
  /** So many files of it are damaged, and not served. */
  readonly lostFiles: number;
  readonly links: readonly BuildLink[];
  /** What keeps it whatever its age. */
  readonly protection?: string;
  /** How long builds like it stay. */
  readonly rule: string;
  /** When that is over (ISO). */
  readonly until: string;
  /** Whether the next run of `mirrorctl build expire` removes it. */
  readonly goes: boolean;
}

export function buildRow({ build, links, protection, rule, until, goes }: Standing): BuildRow {
  const { series, timestamp, succeeded, noNewContent, colour, kept, record, lostFiles } = build;
  return {
    series,
    build: timestamp,
    result: !succeeded ? 'failed' : noNewContent ? 'no-new-content' : 'succeeded',
    ...(colour === undefined ? {} : { colour }),
    ...(kept === undefined ? {} : { kept }),
    ...(record === undefined ? {} : { files: record.files, bytes: record.bytes, newBytes: record.newBytes }),
    lostFiles,
    links,
    ...(protection === undefined ? {} : { protection }),
    rule,
    until,
    goes,
  };
}

const SHORT: Readonly<Record<BuildLink, string>> = {
  latest_build: 'latest',
  latest_green_build: 'green',
  latest_yellow_build: 'yellow',
  latest_docker_image_build: 'docker image',
};

export function listLines(series: string, rows: readonly BuildRow[]): readonly string[] {
  if (rows.length === 0) return [`${series}: no build`];
  const cells = rows.map((row) => [
    row.build,
    resultOf(row),
    row.colour ?? '-',
    row.files === undefined ? '?' : String(row.files),
    row.bytes === undefined ? '?' : size(row.bytes),
    row.newBytes === undefined ? '?' : size(row.newBytes),
    row.links.map((link) => SHORT[link]).join(', ') || '-',
    stays(row),
  ]);
  return [`${series}:`, ...tableLines([['build', 'result', 'colour', 'files', 'size', 'new', 'links', 'stays'], ...cells])];
}

function resultOf({ result, lostFiles }: Pick<BuildRow, 'result' | 'lostFiles'>): string {
  return `${result.replaceAll('-', ' ')}${lostFiles === 0 ? '' : `, ${count(lostFiles, 'file')} lost`}`;
}

function stays({ protection, goes, until }: Pick<BuildRow, 'protection' | 'goes' | 'until'>): string {
  if (protection !== undefined) return protection;
  return goes ? `no: its time was over on ${day(until)}` : `until ${day(until)}`;
}

/** Everything that is known of a build. */
export interface BuildDetails extends BuildRow {
  readonly directory: string;
  /** Decoded, from the root of the site. */
  readonly publicPath: string;
  /** The same as clients ask for it. */
  readonly url?: string;
  readonly publishedAt?: string;
  readonly repositories: readonly (BuildRecord['repositories'][number] & { readonly url: string })[];
  /** Files that are damaged, and not served. */
  readonly lost: readonly Pick<LostFile, 'path' | 'why' | 'since'>[];
  /** What it was built from: directories of the sources, and their commits. */
  readonly context: readonly { readonly path: string; readonly commit: string }[];
}

export async function buildDetails(
  layout: Layout,
  standing: Standing,
  { siteUrl }: Pick<BuildsDefinition, 'siteUrl'>,
): Promise<BuildDetails> {
  const { series, timestamp, directory, record } = standing.build;
  const publicPath = `/${STARLINGX}/${series}/${timestamp}/`;
  return {
    ...buildRow(standing),
    directory,
    publicPath,
    ...(siteUrl === undefined ? {} : { url: siteUrl + publicPath }),
    ...(record === undefined ? {} : { publishedAt: record.publishedAt }),
    repositories: (record?.repositories ?? []).map((repository) => ({
      ...repository,
      url: `${siteUrl ?? ''}${publicPath}${repository.path}/`,
    })),
    lost: readLost(layout.buildRecord(series, timestamp, 'damage')).map(({ path, why, since }) => ({ path, why, since })),
    context: await contextOf(directory),
  };
}

/** A context is some hundred lines. */
const CONTEXT_BYTES = 1 << 20;

async function contextOf(directory: string): Promise<BuildDetails['context']> {
  for (const path of [join(directory, 'CONTEXT.sh'), join(directory, 'outputs', 'CONTEXT.sh')]) {
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() !== true || found.size > CONTEXT_BYTES) continue;
    const lines = (await readFile(path, 'utf8')).split('\n');
    return lines.flatMap((line) => {
      const match = /^\(cd (\S+) && git checkout -f ([0-9a-f]{40})\)\s*$/.exec(line);
      return match === null ? [] : [{ path: match[1] as string, commit: match[2] as string }];
    });
  }
  return [];
}

export function showLines(details: BuildDetails): readonly string[] {
  const { series, build, colour, kept, files, bytes, newBytes, links, repositories, context } = details;
  const content =
    files === undefined
      ? 'not known: its record is lost'
      : `${count(files, 'file')}, ${size(bytes as number)}, of which ${size(newBytes as number)} were new`;
  return [
    `${series} ${build}`,
    ...tableLines([
      ['  result', resultOf(details)],
      ['  colour', colour ?? 'not marked'],
      ...(kept === undefined ? [] : [['  kept', kept === '' ? 'yes' : kept]]),
      ['  content', content],
      ['  published', details.publishedAt ?? 'not known: its record is lost'],
      ['  served at', details.url ?? details.publicPath],
      ['  links', links.join(', ') || 'none leads to it'],
      ['  stays', `${stays(details)} (${details.rule})`],
    ]),
    ...(repositories.length === 0
      ? []
      : ['Repositories:', ...tableLines(repositories.map(({ url, packages }) => [`  ${count(packages, 'package')}`, url]))]),
    ...(details.lost.length === 0
      ? []
      : [`Lost (${BRING_BACK}):`, ...details.lost.map(({ path, why, since }) => `  ${path} ${why} (found on ${day(since)})`)]),
    ...(context.length === 0 ? [] : ['Built from:', ...tableLines(context.map(({ path, commit }) => [`  ${path}`, commit]))]),
  ];
}

export function linkLines(series: string, links: readonly LinkChange[]): readonly string[] {
  return links.map(({ link, from, to }) => {
    const before = from === undefined ? '' : ` (before: ${from === '' ? 'no link' : from})`;
    return to === undefined ? `${series}: ${link} is gone: no build is left for it${before}` : `${series}: ${link} leads to ${to}${before}`;
  });
}

export function markedLines({ build: { series, timestamp, colour, kept }, changed, links }: Marked): readonly string[] {
  const now = [colour ?? 'not marked', ...(kept === undefined ? [] : [kept === '' ? 'kept' : `kept: ${kept}`])].join(', ');
  return [`${series} ${timestamp}: ${now}${changed ? '' : ', as before'}`, ...linkLines(series, links)];
}

/** @param isPlan nothing was done */
export function expiredLines({ series, gone, stay, links, error }: Expired, isPlan: boolean): readonly string[] {
  if (error !== undefined) return [];
  return [
    ...linkLines(series, links),
    ...gone.map(
      ({ build: { timestamp }, rule, until }) => `${series} ${timestamp} ${isPlan ? 'would go' : 'is gone'}: ${rule}, to ${day(until)}`,
    ),
    `${series}: ${count(gone.length, 'build')} ${isPlan ? 'would go' : gone.length === 1 ? 'is gone' : 'are gone'}, ${count(stay.length, 'build')} ${stay.length === 1 ? 'stays' : 'stay'}`,
  ];
}

/** For programs: rows in the place of what the rules were decided on. */
export function expiredJson({ series, gone, stay, links, error }: Expired): unknown {
  return { series, gone: gone.map(buildRow), stay: stay.map(buildRow), links, ...(error === undefined ? {} : { error }) };
}
