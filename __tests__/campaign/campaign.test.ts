/** What the campaign decides: which calls can be struck, which samples count, how a fault was got over. The faults themselves: lab/10-campaign. */
import { mutatingCalls, namesOf, withNames, withTokens } from '../../campaign/calls';
import { merged, table, rows } from '../../campaign/report';
import { recoveryOf, type Outcome } from '../../campaign/runner';
import { judge } from '../../campaign/sampler';
import { generator } from '../../campaign/random';

const TRACE = `openat(AT_FDCWD</root>, "/etc/mirror", O_RDONLY|O_CLOEXEC) = 18</etc/mirror>
write(5<pipe:[1]>, "*", 1)        = 1
mkdir("/etc/mirror", 0777)              = -1 EEXIST (File exists)
mkdir("/etc/mirror/generations/.new-12/owners/alpha", 0755) = 0
openat(AT_FDCWD</root>, "/etc/mirror/generations/.new-12/a.yaml", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644) = 19</etc/mirror/generations/.new-12/a.yaml>
write(19</etc/mirror/generations/.new-12/a.yaml>, "kind: "..., 6) = 6
rename("/etc/mirror/generations/.new-12", "/etc/mirror/generations/12") = 0
clone3({flags=CLONE_VM|CLONE_THREAD}) = 7
clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 4670
--- SIGCHLD {si_signo=SIGCHLD} ---
rename("/var/lib/mirror/host/journal.json.mirror-new", "/var/lib/mirror/host/journal.json") = 0
unlink("/srv/mirror/www/beta/cr") = 0
rename("/var/lib/mirror/host/journal.json.mirror-new", "/var/lib/mirror/host/journal.json") = 0
fsync(19</var/lib/mirror/host>)         = 0
unlink("/etc/mirror/generations/3/definitions/x") = 0
`;

test('a trace: what changed the server, in which phase, and how strace finds it again', () => {
  const calls = mutatingCalls(TRACE, namesOf('a', 12));
  expect(calls.map(({ name, path, index, phase }) => `${phase} ${name} ${path} ${index}`)).toEqual([
    'preparing mkdir /etc/mirror/generations/.new-<N>/owners/<new customer> 1',
    'preparing openat /etc/mirror/generations/.new-<N>/a.yaml 1',
    'preparing write /etc/mirror/generations/.new-<N>/a.yaml 1',
    'preparing rename /etc/mirror/generations/<N> 1',
    'preparing clone another program 1',
    'preparing rename /var/lib/mirror/host/journal.json 1',
    'switching unlink /srv/mirror/www/<old customer>/cr 1',
    'switching rename /var/lib/mirror/host/journal.json 2',
    'settling fsync /var/lib/mirror/host 1',
    'settling unlink /etc/mirror/generations/<older>/… 2',
  ]);
  expect(calls.find((call) => call.name === 'rename')?.at).toBe('/etc/mirror/generations/.new-<N>');
});

test.each([
  '/etc/mirror/generations/.new-7/owners/beta/x',
  '/srv/mirror/www/mirror/centos/centos/mirror.centos.org/centos/7/updates/x86_64',
  '/etc/systemd/system/mirror-sync@centos-7-extras.timer',
  '/srv/mirror/www/alpha/centos/mos7.0-centos6/updates',
])('the name of %s in another deploy', (path) => {
  const names = namesOf('b', 7);
  expect(withNames(withTokens(path, names), names)).toBe(path);
});

test('samples within a span are the downtime of the fault itself; others are bad', () => {
  const failed = [
    { from: 100, to: 110, what: 'early' },
    { from: 190, to: 230, what: 'while the plug was pulled' },
    { from: 700, to: 720, what: 'while it boots' },
    { from: 900, to: 910, what: 'late' },
  ];
  expect(judge(failed, [[200, 800]])).toEqual({ bad: ['early', 'late'], exempted: 2, downSeconds: 0.53 });
  expect(judge([], [])).toEqual({ bad: [], exempted: 0, downSeconds: 0 });
});

const ended = (status: number, text = '') => ({ deploy: { status, stdout: text, text } });
test.each([
  ['the deploy was not disturbed', ended(0), true, undefined, 'went on'],
  ['refused before anything changed', ended(7), true, undefined, 'nothing was changed'],
  ['rolled back at once', ended(8), true, undefined, 'taken back by the deploy'],
  ['not confirmed', ended(8, 'could not be confirmed … The server takes it back by itself'), true, undefined, 'reverted by itself'],
  ['a journal stayed, and went while nobody helped', ended(1), true, 'switching', 'reverted by itself'],
  ['a journal stayed until the next deploy', {}, false, 'unconfirmed', 'next deploy'],
  ['the strike waited for it', { reverted: true }, true, undefined, 'reverted by itself'],
] as const)('%s', (_, strike, settled, phase, recovery) => expect(recoveryOf(strike, settled, phase)).toBe(recovery));

const outcome = (kind: string, more: Partial<Outcome> = {}): Outcome => ({
  kind,
  what: 'x',
  before: 1,
  struck: 1,
  after: 2,
  recovery: 'went on',
  aloneSeconds: 0,
  seconds: 1,
  failures: [],
  missed: false,
  samples: 10,
  bad: [],
  exempted: 0,
  downSeconds: 0,
  generations: [1, 2],
  slowestMs: 3,
  ...more,
});

test('the summary counts by kind, and leaves out what missed', () => {
  const summary = rows([
    outcome('power', { downSeconds: 2 }),
    outcome('power', { recovery: 'reverted by itself', aloneSeconds: 4, downSeconds: 3 }),
    outcome('clock', { failures: ['a bad sample'], bad: ['status 500'] }),
    outcome('clock', { missed: true }),
  ]);
  expect(summary.map(({ kind, faults, failed, samples, bad, away, alone }) => [kind, faults, failed, samples, bad, away, alone])).toEqual([
    ['power', 2, 0, 20, 0, 3, 4],
    ['clock', 1, 1, 10, 1, 0, 0],
  ]);
  expect(table(summary)).toContain('| **all** | 3 | 1 | 30 | 1 |');
});

test('a seed gives the same moments each time', () => {
  const [one, two, other] = [generator(1), generator(1), generator(2)];
  const take = (random: () => number): number[] => [random(), random(), random()];
  const first = take(one);
  expect(take(two)).toEqual(first);
  expect(take(other)).not.toEqual(first);
  for (const value of first) expect(value >= 0 && value < 1).toBe(true);
});

test('kinds that were not run stay in the result as they are', () => {
  const result = (...outcomes: Outcome[]) => ({
    date: '2026-11-22',
    seed: 1,
    minutes: 2,
    faults: outcomes.length,
    failed: 0,
    summary: rows(outcomes),
    struck: [{ command: 'activate', phase: 'switching', calls: 7, struck: outcomes.filter((o) => o.kind === 'kill activate').length }],
    left: [],
    outcomes,
  });
  const before = result(outcome('kill activate', { seconds: 60 }), outcome('clock'), outcome('power', { failures: ['x'] }));
  const both = merged(before, result(outcome('power'), outcome('power')));
  expect(both.outcomes.map(({ kind }) => kind)).toEqual(['kill activate', 'clock', 'power', 'power']);
  expect([both.faults, both.failed, both.struck[0]?.struck, both.minutes]).toEqual([4, 0, 1, 3]);
});
