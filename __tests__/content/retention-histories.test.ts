/**
 * Retention over random histories: whatever upstreams, operators, declarations and clocks do, what has to be kept is there, what goes was announced,
 * comes back until its last step, and then leaves nothing. `RETENTION_HISTORIES` (25) times `RETENTION_STEPS` (25); `RETENTION_SEED` repeats a run,
 * `RETENTION_PATH` one history of it.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { poolOf } from './support/compare';
import type { Pool } from './support/model';
import { KINDS, World } from './support/world';

const HISTORIES = Number(process.env['RETENTION_HISTORIES'] ?? 25);
const STEPS = Number(process.env['RETENTION_STEPS'] ?? 25);
/** Of one history of a run, as a failure prints it. */
const PATH = process.env['RETENTION_PATH'];
const SEED = Number(process.env['RETENTION_SEED'] ?? Date.now() % 1_000_000_000);

jest.setTimeout(60_000 + HISTORIES * 30_000);

// Thousands of runs, and each flushes: what a disk makes of it is for the campaigns.
const work = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'histories-'));
let key: TestKey;
let pool: Pool;

beforeAll(() => {
  key = makeKey(join(work, 'key'), 'mirror');
  const files = new Map<string, string>();
  for (const name of ['a-1', 'a-2', 'a-3', 'a-4', 'b-1', 'b-2', 'b-3', 'c-1', 'c-2', 'd-1', 'd-2'])
    files.set(name, buildPackage(join(work, name), ...(name.split('-') as [string, string])));
  mkdirSync(join(work, 'other'));
  files.set('a-2*', buildPackage(join(work, 'other'), 'a', '2', 3000));
  pool = poolOf(files);
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});

const step = fc.record({ kind: fc.constantFrom(...KINDS), a: fc.nat(30), b: fc.nat(30) });

test(`nothing is lost, nothing goes unannounced, nothing stays for ever (seed ${SEED})`, async () => {
  const happened = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: STEPS, maxLength: STEPS }), async (steps) => {
      const world = new World(mkdtempSync(join(work, 'world-')), pool, key);
      try {
        await world.open();
        for (const one of steps) await world.step(one);
        await world.end();
      } catch (error) {
        throw new Error(`${error instanceof Error ? error.stack : String(error)}\n${world.log.join('\n')}`);
      } finally {
        await world.close();
        for (const [what, count] of world.happened) happened.set(what, (happened.get(what) ?? 0) + count);
      }
    }),
    {
      seed: SEED,
      ...(PATH === undefined ? {} : { path: PATH }),
      numRuns: PATH === undefined ? HISTORIES : 1,
      endOnFailure: process.env['RETENTION_SHRINK'] === undefined,
    },
  );
  process.stderr.write(
    `${[...happened]
      .sort()
      .map(([what, count]) => `${what}: ${count}`)
      .join('\n')}\n`,
  );
});
