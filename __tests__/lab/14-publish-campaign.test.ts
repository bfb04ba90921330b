/** The short form of the campaign over publishing: some kills of each command. Needs root, and no lab host. */
import { PUBLISH_CASES } from '../../campaign/publish/cases';
import type { RetentionOutcome, RetentionResult } from '../../campaign/retention/report';
import { must, run } from './support';

jest.setTimeout(590_000);

beforeAll(() => {
  must(process.execPath, ['scripts/build.mjs']);
});

test('some kills of each command: what is served is whole, old or new, and the next run ends it', () => {
  const result = run(process.execPath, ['dist/campaign.cjs', 'publish', '--short', '--json'], {});
  const documents = result.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as RetentionOutcome | RetentionResult);
  const outcomes = documents.filter((document): document is RetentionOutcome => 'what' in document);
  expect(outcomes.filter(({ failures }) => failures.length > 0)).toEqual([]);
  const { rows } = documents.at(-1) as RetentionResult;
  expect(rows.map((row) => row.case)).toEqual([...PUBLISH_CASES]);
  for (const { struck, random } of rows) expect([struck > 0, random]).toEqual([true, 1]);
  expect(outcomes.filter(({ kind, ended }) => kind === 'call' && ended === 'SIGKILL').length).toBeGreaterThan(10);
  expect(result.status).toBe(0);
});

test('nothing is left of it', () => {
  expect(must('sh', ['-c', 'ls -d /tmp/mirror-sync-campaign-* 2>/dev/null || true']).trim()).toBe('');
});
