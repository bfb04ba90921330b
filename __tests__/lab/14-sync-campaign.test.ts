/** The short form of the campaign over sync: some crashes, power losses and full disks, with clients that poll. Needs root, and no lab host. */
import type { Outcome } from '../../campaign/sync/judge';
import type { SyncResult } from '../../campaign/sync/report';
import { must, run } from './support';

jest.setTimeout(590_000);

beforeAll(() => {
  must(process.execPath, ['scripts/build.mjs']);
});

test('some of each part: old or new, nothing lost, every next run converges, clients see no 404 and no wrong checksum', () => {
  const result = run(process.execPath, ['dist/campaign.cjs', 'sync', '--short', '--json'], {});
  const documents = result.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Outcome | SyncResult);
  const outcomes = documents.filter((document): document is Outcome => 'what' in document);
  expect(
    outcomes.filter(({ failures }) => failures.length > 0).map(({ part, view, what, failures }) => ({ part, view, what, failures })),
  ).toEqual([]);
  const whole = documents.at(-1) as SyncResult;
  expect(new Set(whole.rows.map(({ part }) => part))).toEqual(new Set(['kills', 'random', 'power', 'disk', 'polling']));
  for (const { faults, missed } of whole.rows) expect(faults).toBeGreaterThan(missed);
  // Something was struck in mid-air: a campaign that comes always too early or too late proves nothing.
  const of = (part: string): Outcome[] => outcomes.filter((outcome) => outcome.part === part);
  expect(of('kills').every(({ ended, what }) => ended === 'SIGKILL' || what.endsWith(', alone'))).toBe(true);
  expect(of('disk').some(({ ended }) => ended === '7')).toBe(true);
  for (const { what, seen } of whole.polled) if (what === 'mirrorctl') expect(seen.requests).toBeGreaterThan(700);
  expect(result.status).toBe(0);
});

test('nothing is left of it: no mount, no loop device, no process, no directory', () => {
  expect(
    must('sh', [
      '-c',
      'grep -c mirror-sync-campaign /proc/self/mountinfo || true; losetup -a | grep -c mirror-sync-campaign || true',
    ]).trim(),
  ).toBe('0\n0');
  expect(must('sh', ['-c', 'ls -d /tmp/mirror-sync-campaign-* 2>/dev/null || true']).trim()).toBe('');
});
