import { type Engine, makeEngine } from './engine';
import type { Row } from './row';
import { Stage } from './stage';

jest.setTimeout(120_000);

/** One test for each row. */
export function hostileSuite(rows: readonly Row[]): void {
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
  test.each(rows.map((row): [string, Row] => [row.name, row]))('%s', async (_name, row) => {
    const { complaints } = await stage.bringAbout(row);
    expect(complaints).toEqual([]);
  });
}
