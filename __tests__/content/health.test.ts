/** mirrorctl health: room and growth, storage on real file systems, overdue syncs, and what the status says of it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { readDefinitions } from '../../content/definitions';
import { daysUntil, type Growth, growthPerDay, noted, readGrowth } from '../../content/growth';
import { health, healthLines } from '../../content/health';
import type { Check } from '../../content/health-record';
import { Layout } from '../../content/layout';
import { dailyCalendar, hourlyCalendar, periodHours, weeklyCalendar } from '../../desired-state/schedule';
import { TestMirror } from './support/mirror';

jest.setTimeout(60_000);

const DAY = 24 * 3600 * 1000;
const dayOf = (index: number): string => new Date(Date.UTC(2026, 0, 1) + index * DAY).toISOString().slice(0, 10);
const history = (bytes: readonly number[]): Growth => ({
  version: 1,
  notes: bytes.map((value, index) => ({ day: dayOf(index), bytes: value, inodes: index })),
});

describe('growth', () => {
  const perDay = (bytes: readonly number[]): number | undefined => growthPerDay(history(bytes), (note) => note.bytes);

  test('is unknown before a week of notes', () => {
    expect(perDay([1, 2, 3, 4, 5, 6])).toBeUndefined();
    expect(perDay([1, 2, 3, 4, 5, 6, 7])).toBe(1);
  });

  test('one import or purge in four weeks does not move it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 26 }),
        fc.integer({ min: -1000, max: 1000 }),
        fc.integer({ min: 0, max: 50 }),
        (at, jump, slope) => {
          const bytes = Array.from({ length: 28 }, (_, day) => 10_000 + day * slope + (day >= at ? jump : 0));
          const found = perDay(bytes) as number;
          // The median of 378 slopes, of which at most 196 cross the jump: it is off by what a month of it would be, at worst.
          expect(Math.abs(found - slope)).toBeLessThanOrEqual(Math.abs(jump) / 14);
        },
      ),
    );
    expect(perDay(Array.from({ length: 28 }, (_, day) => day * 5 + (day === 27 ? 100_000 : 0)))).toBe(5);
  });

  test('a day has one note, ninety are kept, and those of a clock that was wrong go', () => {
    let growth: Growth = { version: 1, notes: [] };
    for (let day = 0; day < 200; day++)
      for (const hour of [1, 13]) growth = noted(growth, { usedBytes: day, usedInodes: hour }, new Date(Date.UTC(2026, 0, 1 + day, hour)));
    expect(growth.notes).toHaveLength(90);
    expect(growth.notes.at(-1)).toEqual({ day: dayOf(199), bytes: 199, inodes: 13 });
    const back = noted(growth, { usedBytes: 7, usedInodes: 7 }, new Date(Date.UTC(2026, 0, 1 + 150)));
    expect(back.notes.at(-1)).toEqual({ day: dayOf(150), bytes: 7, inodes: 7 });
  });

  test('until when', () => {
    expect(daysUntil(100, 40, 2)).toBe(30);
    expect(daysUntil(100, 100, 2)).toBe(0);
    expect(daysUntil(100, 40, 0)).toBeUndefined();
    expect(daysUntil(100, 40, -1)).toBeUndefined();
  });

  test('a damaged file is none', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'growth-'));
    for (const text of ['', '{"version": 2}', '{"version":1,"notes":[{"day":"x"}]}']) {
      writeFileSync(join(directory, 'g.json'), text);
      expect(await readGrowth(join(directory, 'g.json'))).toEqual({ version: 1, notes: [] });
    }
    rmSync(directory, { recursive: true });
  });
});

test.each([
  [hourlyCalendar(5), 1],
  [dailyCalendar(3, 0), 24],
  [weeklyCalendar('Sat', 3, 0), 168],
  ['monthly', undefined],
])('the period of %s', (calendar, hours) => expect(periodHours(calendar)).toBe(hours));

describe('mirrorctl health', () => {
  const NOW = new Date('2026-11-22T12:00:00Z');
  let mirror: TestMirror;
  let facts: string;
  beforeEach(() => {
    mirror = new TestMirror();
    facts = join(mirror.directory, 'facts.json');
    writeFileSync(
      facts,
      JSON.stringify({ version: 1, at: NOW.toISOString(), disks: [], arrays: [], clock: { synchronized: 'yes' }, failed: [], timers: [] }),
    );
  });
  afterEach(() => mirror.remove());

  async function look(name: string, m: TestMirror = mirror): Promise<Check> {
    const definitions = await readDefinitions(m.configuration);
    const { checks } = await health(new Layout(m.root, m.state, definitions.directory), definitions, NOW, facts);
    return checks.find((check) => check.name === name) as Check;
  }

  test('storage that is not there', async () => {
    expect(await look('storage')).toMatchObject({ verdict: 'ok' });
    rmSync(join(mirror.root, '.mirror-data'));
    expect(await look('storage')).toMatchObject({ verdict: 'alert', text: expect.stringContaining('.mirror-data is missing') });
  });

  test('one file system: a mount in between is named, by a sync too; a read-only one is an alert', async () => {
    const store = join(mirror.root, 'store');
    mkdirSync(store);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', store]);
    try {
      expect(await look('storage')).toMatchObject({ verdict: 'alert', text: `${store} is on another file system than ${mirror.root}` });
      mirror.repository('epel-7', ['https://example.invalid/']);
      expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 7, stderr: expect.stringContaining('on another file system') });
    } finally {
      execFileSync('umount', [store]);
    }
    const root = join(mirror.directory, 'disk');
    mkdirSync(root);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', root]);
    const other = new TestMirror({ root, ownMount: true });
    try {
      mkdirSync(join(root, 'store'));
      expect(await look('storage', other)).toMatchObject({ verdict: 'ok' });
      execFileSync('mount', ['-o', 'remount,ro', root]);
      expect(await look('storage', other)).toMatchObject({
        verdict: 'alert',
        text: expect.stringContaining('the file system is read-only'),
      });
    } finally {
      execFileSync('umount', [root]);
      other.remove();
    }
  });

  test('room: an alert from the declared share on, and a forecast by what was noted', async () => {
    const root = join(mirror.directory, 'disk');
    mkdirSync(root);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=10m,nr_inodes=1000', 'tmpfs', root]);
    const small = new TestMirror({ root, ownMount: true });
    const declare = (diskGuard: object): void =>
      small.write('definitions/server.yaml', { kind: 'server', storageRoot: root, ownMount: true, diskGuard });
    try {
      expect(await look('space', small)).toMatchObject({
        verdict: 'ok',
        text: expect.stringContaining('0.0 % full (10.0 MiB of 10.0 MiB left)'),
      });
      expect(await look('growth', small)).toMatchObject({ verdict: 'none', text: 'a forecast needs a week; there are notes of 1 days' });
      writeFileSync(join(root, 'ballast'), Buffer.alloc(9.3 * 1024 * 1024));
      expect(await look('space', small)).toMatchObject({
        verdict: 'alert',
        text: expect.stringMatching(/93\.\d % full .*; syncs stop at 95 %/),
      });
      declare({ alertAtPercent: 40, stopAtPercent: 50 });
      expect(await look('space', small)).toMatchObject({ verdict: 'alert', text: expect.stringContaining('syncs have stopped at 50 %') });

      writeFileSync(join(root, 'ballast'), Buffer.alloc(1024 * 1024));
      const note = (daily: number): void => {
        const notes = Array.from({ length: 20 }, (_, index) => ({
          day: new Date(NOW.getTime() - (20 - index) * DAY).toISOString().slice(0, 10),
          bytes: 1024 * 1024 - (20 - index) * daily,
          inodes: 3,
        }));
        writeFileSync(join(small.state, 'growth.json'), JSON.stringify({ version: 1, notes }));
      };
      note(0);
      declare({});
      expect(await look('growth', small)).toMatchObject({ verdict: 'ok', text: 'the disk does not fill' });
      note(20 * 1024);
      expect(await look('growth', small)).toMatchObject({ verdict: 'ok', text: 'at 20.0 KiB a day it is full (95 %) in 435 days' });
      note(400 * 1024);
      expect(await look('growth', small)).toMatchObject({ verdict: 'alert', text: 'at 400.0 KiB a day it is full (95 %) in 21 days' });
      declare({ forecastDays: 14 });
      expect(await look('growth', small)).toMatchObject({ verdict: 'ok' });

      const { files, ffree } = statfsSync(root);
      for (let i = 0; i < Math.ceil(files * 0.91) - (files - ffree); i++) writeFileSync(join(root, `i${i}`), '');
      expect(await look('inodes', small)).toMatchObject({ verdict: 'alert', text: expect.stringMatching(/91\.\d % of the inodes/) });
    } finally {
      execFileSync('umount', [root]);
      small.remove();
    }
  });

  test('syncs that are overdue: by the period of the timer; never those that are declared never to be synced', async () => {
    const state = (id: string, more: object): void => {
      mkdirSync(join(mirror.state, 'repositories'), { recursive: true });
      writeFileSync(join(mirror.state, 'repositories', `${id}.json`), JSON.stringify({ version: 2, id, ...more }));
    };
    const error = { code: 'X', message: 'upstream does not answer', remedy: '', exitCode: 5 };
    const run = { startedAt: NOW.toISOString(), finishedAt: NOW.toISOString(), result: 'failed', error };
    expect(await look('syncs')).toMatchObject({ verdict: 'none' });
    for (const [id, calendar] of [
      ['daily', dailyCalendar(3, 0)],
      ['hourly', hourlyCalendar(5)],
    ] as const) {
      mirror.repository(id, ['https://example.invalid/']);
      mirror.write(`systemd/mirror-sync@${id}.timer`, `[Timer]\nOnCalendar=${calendar}\n`);
      state(id, { lastSuccess: '2026-11-20T12:00:00Z', lastRun: run });
    }
    expect(await look('syncs')).toMatchObject({
      verdict: 'alert',
      text: '1 of 2 are overdue: hourly (since 2026-11-20; upstream does not answer)',
      remedy: expect.stringContaining('SyncSchedule.never'),
    });
    state('hourly', { lastRun: run });
    expect(await look('syncs')).toMatchObject({ text: '1 of 2 are overdue: hourly (never; upstream does not answer)' });
    mirror.repository('hourly', ['https://example.invalid/'], undefined, { retired: 'upstream is gone' });
    expect(await look('syncs')).toMatchObject({ verdict: 'ok', text: '1 repositories: none is overdue' });
  });

  test('a scrub that never ends', async () => {
    expect(await look('scrub')).toMatchObject({ verdict: 'none' });
    const last = (lastRun: string): void =>
      writeFileSync(join(mirror.state, 'scrub.json'), JSON.stringify({ version: 1, read: {}, lastRun }));
    last('2026-11-22T00:40:00Z');
    expect(await look('scrub')).toMatchObject({ verdict: 'ok' });
    last('2026-11-18T00:40:00Z');
    expect(await look('scrub')).toMatchObject({ verdict: 'alert', text: 'no run has come to its end since 2026-11-18' });
  });

  test('as a program: exit code 7, alerts first, priorities for the journal, and the status names them', async () => {
    mirror.write('systemd/mirror-scrub.timer', '[Timer]\nOnCalendar=*-*-* 00:30:00 UTC\n');
    rmSync(join(mirror.root, '.mirror-data'));
    const ran = await mirror.run('health');
    expect(ran.code).toBe(7);
    expect(ran.stdout).toMatch(/^ALERT {2}storage +\S+ is missing: the disk is not mounted.*\n +Mount it\./);
    const json = JSON.parse((await mirror.run('health', '--json')).stdout) as { checks: Check[] };
    expect(json.checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['storage', 'space', 'inodes', 'growth', 'machine', 'syncs', 'scrub']),
    );
    writeFileSync(join(mirror.root, '.mirror-data'), '');
    const status = await mirror.run('status');
    expect(status.stdout).toMatch(/\nALERT storage: \S+ is missing[^]*\n  mirrorctl health says what to do\.\n$/);
    expect(JSON.parse((await mirror.run('status', '--json')).stdout)).toMatchObject({ alerts: [{ name: 'storage' }] });
    expect(readFileSync(join(mirror.state, 'health.json'), 'utf8')).toContain('"at"');
  });

  test('lines: alerts before the rest', () => {
    const checks: Check[] = [
      { name: 'a', verdict: 'ok', text: 'good' },
      { name: 'bcd', verdict: 'alert', text: 'bad', remedy: 'mend it' },
      { name: 'e', verdict: 'none', text: 'nothing' },
    ];
    expect(healthLines({ at: '', checks }).map(({ alert, text }) => `${alert} ${text}`)).toEqual([
      'true ALERT  bcd  bad',
      'true             mend it',
      'false ok     a    good',
      'false -      e    nothing',
    ]);
  });

  test('a state that cannot be written is an error, not silence', async () => {
    chmodSync(mirror.directory, 0o700);
    mkdirSync(mirror.state, { recursive: true });
    mkdirSync(join(mirror.state, 'health.json'));
    expect(await mirror.run('health')).toMatchObject({ code: 7, stderr: expect.stringMatching(/health\.json/) });
  });
});
