import { summarize, type TerraformPlan } from '../../scripts/plan-summary';

type Triggers = Record<string, string>;
const change = (
  before: Triggers | null,
  after: Triggers | null,
  actions?: string[],
): NonNullable<TerraformPlan['resource_changes']>[number] => ({
  address: 'null_resource.x',
  type: 'null_resource',
  change: {
    actions:
      actions ??
      (before && after
        ? JSON.stringify(before) === JSON.stringify(after)
          ? ['no-op']
          : ['delete', 'create']
        : before
          ? ['delete']
          : ['create']),
    before: before && { triggers: before },
    after: after && { triggers: after },
  },
});
const plan = (...resource_changes: NonNullable<TerraformPlan['resource_changes']>): TerraformPlan => ({ resource_changes });
const activation = (over: Triggers = {}): Triggers => ({
  element: 'activation',
  server: 'root@m:22 K',
  desired_state: 'a',
  programs: 'p',
  last_drift: 'generation 3: intact',
  ...over,
});
const timer = (time: string): Triggers => ({ element: 'timer/epel-7', timer: `[Timer]\nOnCalendar=*-*-* ${time}:00 UTC\n` });
const codename = (id: string): Triggers => ({
  element: `codename/${id}`,
  definition: 'id: x\ncomponents:\n  - os\n  - updates\n  - security\n  - holdback\n  - cr\narchitectures:\n  - x86_64\n',
});

test.each<[string, TerraformPlan, string[]]>([
  ['nothing', plan(change(activation(), activation())), []],
  [
    'a new customer with two codenames',
    plan(
      change(null, { element: 'customer/acme', nginx: 'location' }),
      change(null, codename('acme/mos7.0-centos6')),
      change(null, codename('acme/mos9.0-centos7')),
      change(
        activation(),
        activation({ desired_state: 'b', last_drift: 'generation 3: pending: + codename/acme/mos7.0-centos6, + customer/acme' }),
      ),
    ),
    ['adds customer acme (2 codenames, 10 repositories)'],
  ],
  [
    'a codename for a customer that exists',
    plan(change(null, codename('acme/mos9.0-centos7')), change(activation(), activation({ desired_state: 'b' }))),
    ['adds codename acme/mos9.0-centos7 (5 repositories)'],
  ],
  [
    'a customer leaves',
    plan(
      change({ element: 'customer/acme' }, null),
      change(codename('acme/mos7.0-centos6'), null),
      change(activation(), activation({ desired_state: 'b' })),
    ),
    ['removes customer acme (1 codename, 5 repositories): unpublished at once, its content stays on the server'],
  ],
  [
    'a schedule',
    plan(change(timer('03:00'), timer('04:30')), change(activation(), activation({ desired_state: 'b' }))),
    ['changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:30 UTC'],
  ],
  [
    'a new repository with its timer',
    plan(
      change(null, { element: 'repository/epel-7', definition: 'id: epel-7' }),
      change(null, timer('03:00')),
      change(activation(), activation({ desired_state: 'b' })),
    ),
    ['adds repository epel-7, synced daily at 03:00 UTC; its first sync starts in the background'],
  ],
  [
    'an upstream moved',
    plan(
      change(
        { element: 'repository/r', definition: 'id: r\nfetchFrom:\n  - http://a/\ntrust: x\n' },
        { element: 'repository/r', definition: 'id: r\nfetchFrom:\n  - http://b/\ntrust: x\n' },
      ),
      change(activation(), activation({ desired_state: 'b' })),
    ),
    ['changes repository r (fetchFrom)'],
  ],
  ['new server programs', plan(change(activation(), activation({ programs: 'q' }))), ['upgrades the server programs']],
  [
    'drift',
    plan(
      change(
        activation(),
        activation({ last_drift: 'generation 3: /etc/mirror/current/nginx/vhost.conf modified; mirror-sync@epel-7.timer disabled' }),
      ),
    ),
    ['repairs drift: generation 3: /etc/mirror/current/nginx/vhost.conf modified; mirror-sync@epel-7.timer disabled'],
  ],
  [
    'after a failed activation',
    plan(change(activation(), activation({ last_drift: 'generation 3: pending: + customer/acme' }))),
    ['repairs drift: generation 3: pending: + customer/acme'],
  ],
  [
    'a tainted activation',
    plan(change(activation(), activation(), ['delete', 'create'])),
    ['activates again, since the last activation did not finish'],
  ],
  [
    'a wiped server',
    plan(change(activation(), activation({ last_drift: 'no generation on m (asked 2026-11-22T03:00:00Z)' }))),
    ['sets up the server from nothing: no generation on m (asked 2026-11-22T03:00:00Z)'],
  ],
  [
    'another server',
    plan(change(activation(), activation({ server: 'root@n:22 K' }))),
    ['deploys to another server: root@n:22 K (was root@m:22 K)'],
  ],
  [
    'the vhost',
    plan(
      change({ element: 'vhost/m', nginx: 'a', serving: 's' }, { element: 'vhost/m', nginx: 'b', serving: 's' }),
      change(activation(), activation({ desired_state: 'b' })),
    ),
    ['changes vhost m (nginx)'],
  ],
  ['first deploy', plan(change(null, activation())), ['deploys to root@m:22 K for the first time from this state']],
  ['forgotten', plan(change(activation(), null)), ['forgets the server: nothing is dismantled there']],
])('%s', (_name, input, sentences) => {
  expect(summarize(input)).toEqual({ changes: sentences.length > 0, sentences });
});
