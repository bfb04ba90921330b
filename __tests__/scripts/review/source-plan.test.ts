import { summarize } from '../../../scripts/plan-summary';
import { elementsOf, sourcePlan, textFiles } from '../../../scripts/review/source-plan';

const stack = (resources: Record<string, Record<string, string>>): string =>
  JSON.stringify({
    resource: { null_resource: Object.fromEntries(Object.entries(resources).map(([name, triggers]) => [name, { triggers }])) },
  });
const activation = { element: 'activation', desired_state: '1', programs: '1', last_drift: '${data.local_command.x.stdout}' };
const timer = (hour: string): Record<string, string> => ({
  element: 'timer/epel-7',
  timer: `[Timer]\nOnCalendar=*-*-* ${hour}:00:00 UTC\n`,
});

test('the same sentences as a plan with a state has', () => {
  const base = elementsOf(stack({ a: activation, t: timer('03'), old: { element: 'customer/old', definition: 'id: old\n' } }));
  const head = elementsOf(
    stack({
      a: { ...activation, desired_state: '2', programs: '2' },
      t: timer('04'),
      new: { element: 'customer/new', definition: 'id: new\n' },
    }),
  );
  expect(summarize(sourcePlan(base, head)).sentences).toEqual([
    'adds customer new',
    'removes customer old: unpublished at once, its content stays on the server',
    'changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:00 UTC',
    'upgrades the server programs',
  ]);
});

test('the same source changes nothing; a stack that is new or gone is all added or removed', () => {
  const elements = elementsOf(stack({ a: activation, t: timer('03') }));
  expect(summarize(sourcePlan(elements, elements))).toMatchObject({ changes: false, sentences: [] });
  expect(summarize(sourcePlan(elementsOf(undefined), elements)).sentences).toEqual([
    'schedules epel-7 daily at 03:00 UTC',
    'deploys to the server for the first time from this state',
  ]);
  expect(summarize(sourcePlan(elements, elementsOf(undefined))).sentences).toContain('forgets the server: nothing is dismantled there');
});

test('texts are those of the server, not escaped for Terraform', () => {
  expect([...textFiles(elementsOf(stack({ a: { element: 'vhost/x', nginx: 'log $${host} %%{x}' } })))]).toEqual([
    ['vhost/x/nginx', 'log ${host} %{x}\n'],
  ]);
});

test.each([
  ['../../../etc/passwd', '%2E%2E/%2E%2E/%2E%2E/etc/passwd'],
  ['/etc/passwd', '%00/etc/passwd'],
  ['a\nb/.', 'a%0Ab/%2E'],
  ['x'.repeat(500), 'x'.repeat(80)],
])('a declared name leads nowhere else: %j', (element, path) => {
  expect([...textFiles(elementsOf(stack({ a: { element, t: 'x' } }))).keys()]).toEqual([`${path}/t`]);
});
