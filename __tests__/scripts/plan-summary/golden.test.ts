/** Recorded plans say what they always said. `scripts/record-plans` records them from the lab, which proves each on a server. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { summarize, type TerraformPlan } from '../../../scripts/plan-summary';

const PLANS = join(__dirname, '..', 'plans');
const names = readdirSync(PLANS)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.replace('.json', ''));

test('each kind of change is recorded', () => {
  const wanted = 'add change remove rename upgrade secret failed fresh drift wiped foreign waiver unpublish';
  expect(names.sort()).toEqual(wanted.split(' ').sort());
});

test.each(names)('%s', (name) => {
  const plan = JSON.parse(readFileSync(join(PLANS, `${name}.json`), 'utf8')) as TerraformPlan;
  const said = summarize(plan).sentences.map((sentence) => `${sentence}\n`);
  expect(said.join('')).toBe(readFileSync(join(PLANS, `${name}.txt`), 'utf8'));
});
