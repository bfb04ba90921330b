import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SUBJECTS } from './rows';
import { type Engine, makeEngine, occurrences, ROOT } from './support/engine';
import { prove } from './support/guards';
import { ATTACKS } from './support/row';
import { Stage } from './support/stage';

jest.setTimeout(120_000);

const rows = Object.values(SUBJECTS).flat();

test('at least a hundred hostile upstreams, each by another guard', () => {
  const guards = rows.map(({ guard: { file, code, without } }) => `${file}\n${code}\n${without}`);
  expect(guards.filter((guard, index) => guards.indexOf(guard) !== index)).toEqual([]);
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  expect(rows.length).toBeGreaterThanOrEqual(100);
});

test('each attack that TUF names has rows', () => {
  for (const attack of ATTACKS) expect([attack, rows.some((row) => row.attack === attack)]).toEqual([attack, true]);
});

test.each(rows.map((row): [string, (typeof rows)[number]['guard']] => [row.name, row.guard]))(
  'the guard of "%s" is where the table says, once',
  (_name, guard) => {
    expect(occurrences(readFileSync(join(ROOT, guard.file), 'utf8'), guard)).toBe(1);
    expect(guard.without).not.toBe(guard.code);
  },
);

describe('without its guard a row is red (all of them: npm run guards)', () => {
  let engine: Engine;
  let stage: Stage;
  beforeAll(async () => {
    engine = await makeEngine();
    stage = await Stage.open(engine);
  });
  afterAll(async () => {
    await stage.close();
    engine.remove();
  });

  test.each(['a stranger signed', '..', 'a flipped bit'])('%s', async (name) => {
    const [subject, found] = Object.entries(SUBJECTS).find(([, list]) => list.some((row) => row.name === name)) as [string, typeof rows];
    const proof = await prove(stage, subject, found.find((row) => row.name === name) as (typeof rows)[number]);
    expect(proof).toMatchObject({ withGuard: [], withoutGuard: expect.stringContaining('it ended with 0') });
  });
});
