import { ExitCode } from '../desired-state/errors';
import { HttpClient } from '../downloads/http';
import { BandwidthShare } from './bandwidth-share';
import { BRING_BACK, problemOfLost } from './damage';
import type { Definitions } from './definitions';
import { Layout } from './layout';
import { shortened } from './lines';
import { type Say, size } from './progress';
import { type Loss, type Repair, scrub, type ScrubOutcome } from './scrub';
import { httpOptions } from './sync-command';

export interface ScrubOptions {
  readonly all: boolean;
  /** How long to wait for a sync that uses damaged files. */
  readonly waitSeconds: number;
}

export async function runScrub(definitions: Definitions, state: string, options: ScrubOptions, say: Say): Promise<ScrubOutcome> {
  const { server, directory } = definitions;
  const client = new HttpClient(httpOptions(server));
  try {
    return await scrub(
      {
        layout: new Layout(server.storageRoot, state, directory),
        server,
        client,
        share: new BandwidthShare(client.bandwidth),
        retry: {},
        now: () => new Date(),
        say,
        waitSeconds: options.waitSeconds,
      },
      definitions,
      options.all,
    );
  } finally {
    await client.close();
  }
}

export function scrubExitCode({ lost, unfinished }: ScrubOutcome): number {
  return lost.length + unfinished.length === 0 ? ExitCode.ok : ExitCode.untrusted;
}

/** So many files, and so many places of each, are named. */
const MAX_NAMED = 50;

const FROM: Readonly<Record<Repair['from'], string>> = {
  copy: 'repaired from another copy',
  upstream: 'fetched again from upstream',
  unused: 'removed: nothing uses it',
};

/** A file is in many snapshots of a repository, and is told once. */
function lostLines(lost: readonly Loss[]): readonly string[] {
  const byPlace = new Map<string, Loss[]>();
  for (const file of lost) {
    const place = `${file.id} ${file.path}`;
    byPlace.set(place, [...(byPlace.get(place) ?? []), file]);
  }
  const lines = [...byPlace.values()].map((files) => {
    const [file] = files as [Loss];
    const { message } = problemOfLost(file);
    return `${file.id}: lost from ${files.length === 1 ? 'one snapshot' : `${files.length} snapshots`}: ${message}`;
  });
  return lines.length === 0 ? [] : [...shortened(lines, MAX_NAMED), `  ${BRING_BACK}`];
}

/** For people: what was repaired, what was not, and how much was read. */
export function scrubLines(outcome: ScrubOutcome): readonly string[] {
  const { files, bytes, seconds, repaired, lost, unfinished, everythingSince, unread, parts } = outcome;
  const known =
    everythingSince === undefined
      ? `${unread} of ${parts} parts were not read yet`
      : `everything was read since ${everythingSince.slice(0, 10)}`;
  return [
    ...repaired.flatMap(({ digest, why, from, places }) => [
      `${digest} ${why}: ${FROM[from]}`,
      ...shortened(
        places.map((place) => `  ${place}`),
        MAX_NAMED,
      ),
    ]),
    ...lostLines(lost),
    ...unfinished.map((digest) => `${digest}: a sync that is running uses the damaged file; the next scrub goes on with it`),
    `${files} files, ${size(bytes)} read in ${seconds} s: ${repaired.length} repaired, ${lost.length} lost; ${known}`,
  ];
}
