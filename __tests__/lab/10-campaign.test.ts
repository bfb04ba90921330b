/** The short form of the campaign of faults over deploys: a dozen, each of which leaves the site answering and the next deploy converging. */
import type { Outcome } from '../../campaign/runner';
import { asItIs, lab, labEnvironment, must, run, withDeployment } from './support';

jest.setTimeout(400_000);

beforeAll(() => {
  lab('up');
  must(process.execPath, ['scripts/build.mjs', '--only', 'tools']);
});

// It dismantles the mirror that was there.
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test('a dozen faults: no bad sample, each recovers, the plan is empty at the end', () => {
  const result = run(process.execPath, ['dist/campaign.cjs', 'deploy', '--short', '--json'], {
    env: { ...process.env, ...labEnvironment() },
  });
  const documents = result.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Outcome | { faults: number; failed: number });
  const faults = documents.filter((document): document is Outcome => 'kind' in document);
  expect(faults.filter((fault) => fault.failures.length > 0).map(({ kind, what, failures }) => ({ kind, what, failures }))).toEqual([]);
  // What strikes by the clock comes too late where the machine is quicker than it was when the usual time was measured.
  expect(faults.filter((fault) => fault.missed && fault.kind !== 'kill apply')).toEqual([]);
  expect(faults.every((fault) => fault.bad.length === 0 && fault.samples > 50)).toBe(true);
  expect(new Set(faults.map((fault) => fault.kind)).size).toBeGreaterThanOrEqual(12);
  // What missed does not count.
  expect(documents.at(-1)).toMatchObject({ faults: faults.filter((fault) => !fault.missed).length, failed: 0 });
  expect(result.status).toBe(0);
});

test('a kind that there is not: the kinds that there are, usage', () => {
  const result = run(process.execPath, ['dist/campaign.cjs', 'deploy', '--only', 'earthquake'], {
    env: { ...process.env, ...labEnvironment() },
  });
  expect(result.text).toMatch(/earthquake.*kill activate.*power/s);
  expect(result.text).not.toMatch(/\n\s+at .*:\d+:\d+/);
  expect(result.status).toBe(2);
});
