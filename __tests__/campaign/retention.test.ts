/** The campaign over retention: what it counts and writes, and that its judge sees what is wrong. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { differences, stateOf, withoutTime } from '../../campaign/retention/judge';
import { lineOf, merged, type RetentionOutcome, rowOf, tableOf } from '../../campaign/retention/report';
import type { Mirror } from '../../campaign/sync/mirror';

const OUTCOME: RetentionOutcome = {
  case: 'last steps',
  kind: 'call',
  what: 'x',

  ended: 'SIGKILL',
  failures: [],
  missed: false,
};

test('rows count what was struck; cases that were not run stay in the result', () => {
  const row = rowOf(
    'last steps',
    '2026-11-22',
    9,
    [OUTCOME, { ...OUTCOME, kind: 'random', failures: ['f'] }, { ...OUTCOME, missed: true }],
    1.26,
  );
  expect(row).toEqual({ case: 'last steps', date: '2026-11-22', calls: 9, struck: 1, random: 1, failed: 1, minutes: 1.3 });
  const before = {
    seed: 1,
    rows: [
      { ...row, calls: 1 },
      { ...row, case: 'package leaves' as const },
    ],
    failures: [OUTCOME],
  };
  const all = merged(before, { seed: 2, rows: [row], failures: [] });
  expect(all.rows.map((one) => [one.case, one.calls])).toEqual([['package leaves', 9], ['last steps', 9]]); // prettier-ignore
  expect(all.failures).toEqual([]);
  expect(tableOf([row])).toContain('| last steps | 9 | 1 | 1 | 1 | 1.3 |');
  expect(lineOf({ ...OUTCOME, failures: ['lost: x'] }, 3)).toMatch(/^FAIL {4}3 .*\n +! lost: x$/);
});

test.each([
  ['repositories/pool/snapshots/20261122T101010Z-0123456789ab/x.rpm', 'repositories/pool/snapshots/<time>-<hex>/x.rpm'],
  ['quarantine/20261127/sha256-f0e6.9978199', 'quarantine/20261127/sha256-f0e6.<inode>'],
])('%s is compared as %s', (path, compared) => expect(withoutTime(path)).toBe(compared));

test('what is left behind, is missing or has other bytes is seen, and so is half of a release', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'judge-'));
  const mirror = { root: join(directory, 'root'), state: join(directory, 'state'), tree: join(directory, 'root/www/x') } as Mirror;
  const write = (path: string, text: string): void => {
    mkdirSync(join(mirror.root, path, '..'), { recursive: true });
    writeFileSync(join(mirror.root, path), text);
  };
  write('store/one', '1');
  write('store/two', '2');
  const wanted = await stateOf(mirror);
  expect(differences(wanted, await stateOf(mirror))).toEqual([]);
  write('store/one', 'other');
  rmSync(join(mirror.root, 'store/two'));
  write('quarantine/2026-11-22/.going-x/y', '');
  write('releases/r1/manifest.txt', '');
  const found = await stateOf(mirror);
  expect(differences(wanted, found)).toEqual([
    'not as without the kill: store/one, store/two',
    'left behind: quarantine/2026-11-22/.going-x/y, releases/r1/manifest.txt',
  ]);
  expect(found.problems).toEqual(['half of a release is served']);
  rmSync(directory, { recursive: true });
});
