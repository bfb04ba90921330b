/** `mirrorctl health`: everything that an operator should hear of before clients do. */
import { constants } from 'node:fs';
import { access, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { diskLimits } from '../desired-state/disk-guard';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { UPLOADS } from '../desired-state/model';
import { MACHINE_FACTS, type MachineFacts, MachineFactsSchema } from '../desired-state/machine';
import { periodHours } from '../desired-state/schedule';
import { copied, type Definitions } from './definitions';
import { machineFault } from './files';
import { daysUntil, growthPerDay, noted, readGrowth, writeGrowth } from './growth';
import { certificates } from './health-certificates';
import { machineChecks, MAX_NAMED } from './health-machine';
import { alertsOf, type Check, type Health, keepHealth } from './health-record';
import type { Layout } from './layout';
import { someOf } from './lines';
import { size } from './progress';
import { backupStatus } from './backup-status';
import { readScrubState } from './scrub-portion';
import { readState } from './state';
import { listUploads } from './upload-list';
import { percent, requireStorage, type Room, roomOf } from './storage';

/** A sync is overdue when the last that succeeded is so many of its periods ago. */
const OVERDUE_PERIODS = 3;
/** What is complete is published within minutes. */
const UPLOAD_WAITS_HOURS = 1;
/** The scrub runs daily. */
const SCRUB_OVERDUE_DAYS = 3;

/** Looks at everything, notes how full the disk is, and keeps the outcome for `mirrorctl status`. */
export async function health(
  layout: Layout,
  definitions: Definitions,
  now: Date,
  factsFile = MACHINE_FACTS,
  uploadsRoot: string = UPLOADS.root,
): Promise<Health> {
  const timers = await timersOf(definitions);
  const room = await roomOf(layout.root).catch(() => undefined);
  const checks = [
    await storage(layout, definitions),
    ...(room === undefined ? [] : [...fullness(layout, definitions, room), await growth(layout, definitions, room, now)]),
    ...machineChecks(await readFacts(factsFile), [...timers.keys()], { now, deployed: (await stat(definitions.directory)).mtime }),
    await syncs(layout, definitions, timers, now),
    await scrubbing(layout, now),
    await backups(layout, definitions, now),
    await uploads(definitions, now, uploadsRoot),
    ...(await certificates(definitions, now)),
  ];
  const found = { at: now.toISOString(), checks };
  await keepHealth(layout, found);
  return found;
}

async function storage(layout: Layout, { server }: Definitions): Promise<Check> {
  try {
    await requireStorage(layout, server);
    await access(layout.root, constants.W_OK);
    return { name: 'storage', verdict: 'ok', text: `${layout.root} is there, writable, and one file system` };
  } catch (error) {
    const fault = machineFault(error);
    if (!(fault instanceof MirrorError)) throw error;
    return { name: 'storage', verdict: 'alert', text: fault.message, remedy: fault.remedy };
  }
}

function fullness(layout: Layout, { server }: Definitions, room: Room): readonly Check[] {
  const { stopAtPercent, alertAtPercent } = diskLimits(server.diskGuard);
  const { usedBytes, totalBytes, usedInodes, totalInodes } = room;
  const check = (name: string, used: number, total: number, text: string): Check => {
    const share = (used / total) * 100;
    if (share < alertAtPercent) return { name, verdict: 'ok', text };
    const stopped = share > stopAtPercent ? `syncs have stopped at ${stopAtPercent} %` : `syncs stop at ${stopAtPercent} %`;
    const remedy = '"mirrorctl retention plan" says what it would free and when; else enlarge the file system.';
    return { name, verdict: 'alert', text: `${text}; ${stopped}`, remedy };
  };
  const space = `${layout.root} is ${percent(usedBytes, totalBytes)} full (${size(totalBytes - usedBytes)} of ${size(totalBytes)} left)`;
  const inodes = `${percent(usedInodes, totalInodes)} of the inodes of ${layout.root} are used`;
  return [
    check('space', usedBytes, totalBytes, space),
    totalInodes === 0
      ? { name: 'inodes', verdict: 'none', text: 'the file system makes inodes as it needs them' }
      : check('inodes', usedInodes, totalInodes, inodes),
  ];
}

async function growth(layout: Layout, { server }: Definitions, room: Room, now: Date): Promise<Check> {
  const notes = noted(await readGrowth(layout.growth), room, now);
  await writeGrowth(layout.growth, notes);
  const { stopAtPercent, forecastDays } = diskLimits(server.diskGuard);
  const bytesPerDay = growthPerDay(notes, ({ bytes }) => bytes);
  const inodesPerDay = growthPerDay(notes, ({ inodes }) => inodes);
  if (bytesPerDay === undefined || inodesPerDay === undefined)
    return { name: 'growth', verdict: 'none', text: `a forecast needs a week; there are notes of ${notes.notes.length} days` };
  const limit = stopAtPercent / 100;
  const forecasts = [
    { days: daysUntil(room.totalBytes * limit, room.usedBytes, bytesPerDay), by: `${size(Math.max(0, bytesPerDay))} a day` },
    {
      days: daysUntil(room.totalInodes * limit, room.usedInodes, inodesPerDay),
      by: `${Math.max(0, Math.round(inodesPerDay))} files a day`,
    },
  ].flatMap(({ days, by }, index) => (days === undefined || (index === 1 && room.totalInodes === 0) ? [] : [{ days, by }]));
  const first = forecasts.sort((a, b) => a.days - b.days)[0];
  if (first === undefined) return { name: 'growth', verdict: 'ok', text: 'the disk does not fill' };
  const text = `at ${first.by} it is full (${stopAtPercent} %) in ${Math.floor(first.days)} days`;
  if (first.days >= forecastDays) return { name: 'growth', verdict: 'ok', text };
  return { name: 'growth', verdict: 'alert', text, remedy: 'Enlarge the file system, or keep less: mirrorctl retention plan.' };
}

async function readFacts(path: string): Promise<MachineFacts | undefined> {
  try {
    return MachineFactsSchema.safeParse(JSON.parse(await readFile(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Declared timers: name → `OnCalendar=`. */
async function timersOf({ directory }: Definitions): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const names = await readdir(join(directory, 'systemd')).catch(() => []);
  for (const name of names.sort()) {
    if (!name.endsWith('.timer')) continue;
    found.set(name, /^OnCalendar=(.*)$/m.exec(await readFile(join(directory, 'systemd', name), 'utf8'))?.[1] ?? '');
  }
  return found;
}

async function syncs(layout: Layout, definitions: Definitions, timers: ReadonlyMap<string, string>, now: Date): Promise<Check> {
  const overdue: string[] = [];
  let count = 0;
  for (const { id, retired } of copied(definitions)) {
    const hours = periodHours(timers.get(`mirror-sync@${id}.timer`) ?? '');
    if (retired !== undefined || hours === undefined) continue;
    count++;
    const { lastSuccess, lastRun } = await readState(layout.stateFile(id), id);
    if (lastSuccess === undefined) {
      if (lastRun !== undefined) overdue.push(`${id} (never; ${lastRun.error?.message ?? lastRun.result})`);
      continue;
    }
    const since = (now.getTime() - Date.parse(lastSuccess)) / 3_600_000;
    if (since > hours * OVERDUE_PERIODS) overdue.push(`${id} (since ${lastSuccess.slice(0, 10)}; ${lastRun?.error?.message ?? 'no run'})`);
  }
  if (count === 0) return { name: 'syncs', verdict: 'none', text: 'nothing is synced' };
  if (overdue.length === 0) return { name: 'syncs', verdict: 'ok', text: `${count} repositories: none is overdue` };
  return {
    name: 'syncs',
    verdict: 'alert',
    text: `${overdue.length} of ${count} are overdue: ${someOf(overdue, MAX_NAMED)}`,
    remedy:
      '"mirrorctl status <id>" says why. Where upstream moved, declare fetchFrom; where it is gone for good, schedule: SyncSchedule.never(reason).',
  };
}

async function scrubbing(layout: Layout, now: Date): Promise<Check> {
  const { lastRun } = await readScrubState(layout.scrubState);
  if (lastRun === undefined) return { name: 'scrub', verdict: 'none', text: 'has not run to its end yet' };
  const days = (now.getTime() - Date.parse(lastRun)) / (24 * 3_600_000);
  if (days <= SCRUB_OVERDUE_DAYS) return { name: 'scrub', verdict: 'ok', text: `last run ended ${lastRun.slice(0, 16).replace('T', ' ')}` };
  const remedy = 'journalctl -u mirror-scrub.service says why.';
  return { name: 'scrub', verdict: 'alert', text: `no run has come to its end since ${lastRun.slice(0, 10)}`, remedy };
}

export function healthExitCode(found: Health): number {
  return alertsOf(found).length === 0 ? ExitCode.ok : ExitCode.environment;
}

/** For people, alerts first. */
export function healthLines({ checks }: Health): readonly { readonly alert: boolean; readonly text: string }[] {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const words = { alert: 'ALERT', ok: 'ok', none: '-' } as const;
  const order = ['alert', 'ok', 'none'] as const;
  return [...checks]
    .sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict))
    .flatMap(({ name, verdict, text, remedy }) => [
      { alert: verdict === 'alert', text: `${words[verdict].padEnd(5)}  ${name.padEnd(width)}  ${text}` },
      ...(remedy === undefined ? [] : [{ alert: verdict === 'alert', text: `${' '.repeat(width + 9)}${remedy}` }]),
    ]);
}

async function backups(layout: Layout, definitions: Definitions, now: Date): Promise<Check> {
  const status = await backupStatus(layout, definitions, now);
  if (status === undefined) return { name: 'backup', verdict: 'none', text: 'none is declared' };
  const { location, lastSuccess, error } = status;
  if (error !== undefined) return { name: 'backup', verdict: 'alert', text: error.message, remedy: error.remedy };
  const text =
    lastSuccess === undefined ? `none was made yet (${location})` : `last made ${lastSuccess.slice(0, 16).replace('T', ' ')} (${location})`;
  return { name: 'backup', verdict: lastSuccess === undefined ? 'none' : 'ok', text };
}

/** A refusal is for who uploaded it, and told there: it is no alert. */
async function uploads(definitions: Definitions, now: Date, root: string): Promise<Check> {
  if (definitions.uploads.length === 0) return { name: 'uploads', verdict: 'none', text: 'no account uploads' };
  const accounts = await listUploads(definitions, root);
  const late = accounts.flatMap(({ account, waiting }) =>
    waiting
      .filter(({ state, since }) => state === 'waits' && now.getTime() - Date.parse(since) > UPLOAD_WAITS_HOURS * 3_600_000)
      .map(({ name, since }) => `${name} of ${account} (since ${since.slice(0, 16).replace('T', ' ')})`),
  );
  const refused = accounts.reduce((sum, one) => sum + one.refused.length, 0);
  if (late.length === 0)
    return {
      name: 'uploads',
      verdict: 'ok',
      text: `${accounts.length === 1 ? 'one account' : `${accounts.length} accounts`}; nothing waits for long, ${refused} refused within 30 days`,
    };
  return {
    name: 'uploads',
    verdict: 'alert',
    text: `${late.length} not published for more than an hour: ${someOf(late, MAX_NAMED)}`,
    remedy: '"mirrorctl uploads" names them; "mirrorctl uploads take <account>" says what hinders it.',
  };
}
