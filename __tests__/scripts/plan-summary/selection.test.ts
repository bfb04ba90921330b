/** What a plan says of views, filters, ages, waivers and sources of repositories, and of the limits of syncs. */
import { REPOSITORY_WAIVERS } from '../../../desired-state/definitions';
import { summarize } from '../../../scripts/plan-summary';
import { activation, change, codename, plan, repository, timer, type Resource } from './plans';

const changed = change(activation(), activation({ desired_state: 'b' }));
/** Keeps the rule about unpublishing out of a test. */
const KEPT = [1, 2, 3].map((number) => change(codename(`mos/kept${number}`), codename(`mos/kept${number}`)));
const sentences = (...resources: Resource[]): readonly string[] => summarize(plan(...KEPT, ...resources, changed)).sentences;
const fields = (before: string, after: string): Resource => change(repository('r', before), repository('r', after));
const waivers = (...list: [string, string][]): string =>
  `waivers:\n${list.map(([allow, reason]) => `  - allow: ${allow}\n    reason: ${reason}\n`).join('')}`;
const filter = (...lines: string[]): string => `filter:\n${lines.map((line) => `  ${line}\n`).join('')}`;
const SHA1: [string, string] = ['weakChecksums', 'upstream ended in 2014'];

test.each<[string, Resource[], string[]]>([
  [
    'from verbatim to accumulate',
    [fields('view: verbatim\n', 'view: accumulate\n')],
    [
      'accumulates r, and goes on with what is published: from its next sync on nothing vanishes; clients fetch its .repo file again, since its metadata is signed by the mirror',
    ],
  ],
  [
    'from accumulate to verbatim: a loss',
    [fields('view: accumulate\n', 'view: verbatim\n')],
    [
      'shows r verbatim, and accumulates it no longer: packages that upstream dropped are NOT SERVED any more once the grace period after its next sync is over; clients fetch its .repo file again, since its metadata is signed by its upstream, if at all',
    ],
  ],
  [
    'a filter that comes',
    [
      fields(
        '',
        filter(
          'include: [kernel*, perf]',
          'exclude: [kernel-doc]',
          'architectures: [x86_64, noarch]',
          'newest: 3',
          'sources: false',
          'debuginfo: false',
        ),
      ),
    ],
    [
      'takes of r from its next sync on only kernel*, perf; nothing named kernel-doc; only packages for x86_64, noarch; the newest 3 versions only; no sources; no debuginfo: what it has stays',
    ],
  ],
  [
    'another filter',
    [fields(filter('newest: 1', 'sources: true', 'debuginfo: true'), filter('sources: true', 'debuginfo: false'))],
    ['takes of r from its next sync on no debuginfo (was the newest version only): what it has stays'],
  ],
  [
    'a filter that goes',
    [fields(filter('sources: false', 'debuginfo: true'), '')],
    ['takes every package of r from its next sync on (was no sources)'],
  ],
  ['never synced again', [fields('', 'retired: upstream is gone\n')], ['syncs r no longer, and goes on serving it: upstream is gone']],
  ['synced again', [fields('retired: upstream is gone\n', '')], ['syncs r again']],
  ['another reason', [fields('retired: gone\n', 'retired: gone for good\n')], ['gives another reason to sync r no longer: gone for good']],
  [
    'rules of retention, of its own',
    [fields('', 'retention:\n  newestVersions: 3\n  droppedDays: 180\n')],
    [
      'keeps of r what upstream drops while it is among the newest 3 versions and for 180 days, superseded snapshots for the default time (was what the rules of the server keep): nothing goes before it is announced and its grace is over',
    ],
  ],
  [
    'other rules',
    [fields('retention:\n  droppedDays: 1\n', 'retention:\n  snapshotDays: 30\n')],
    [
      'keeps of r what upstream drops for ever, superseded snapshots for 30 days (was what upstream drops for 1 day, superseded snapshots for the default time): nothing goes before it is announced and its grace is over',
    ],
  ],
  [
    'pins',
    [fields('pins: [bash-4.2-1, zsh-5-1]\n', 'pins: [bash-4.2-1, ksh-1-1]\n')],
    [
      'pins ksh-1-1 in r: it stays whatever the rules say',
      'pins zsh-5-1 in r no longer: the rules hold for it, and nothing goes before it is announced and its grace is over',
    ],
  ],
  ['an age', [fields('', 'maxAgeDays: 14\n')], ['refuses metadata of r that is older than 14 days (was any age)']],
  ['another age', [fields('maxAgeDays: 14\n', 'maxAgeDays: 1\n')], ['refuses metadata of r that is older than 1 day (was 14 days)']],
  ['no age', [fields('maxAgeDays: 14\n', '')], ['accepts metadata of r of any age (was 14 days at most)']],
  [
    'waivers: one comes, one goes, one has another reason, one stands',
    [
      fields(
        waivers(['shrunk', 'they cleaned up'], ['incomplete', 'two files are gone'], ['privateAddresses', 'a cache of ours']),
        waivers(SHA1, ['shrunk', 'they cleaned up again'], ['privateAddresses', 'a cache of ours']),
      ),
    ],
    [
      'waives weakChecksums for r (upstream ended in 2014): sha1 in its metadata is accepted',
      'gives another reason to waive shrunk for r: they cleaned up again',
      'waives incomplete for r no longer: it is refused from the next sync on',
    ],
  ],
  [
    'places',
    [fields('fetchFrom:\n  - http://a/\n', 'fetchFrom:\n  - metalink: https://m/?r=1\n  - mirrorlist: https://l/\n  - http://a/\n')],
    ['fetches r from the mirrors of https://m/?r=1, the mirrors of https://l/, http://a/ (was http://a/): nothing changes for clients'],
  ],
  [
    'a new repository says what it leaves out and what it accepts',
    [
      change(null, repository('epel-7', `${filter('newest: 1', 'sources: true', 'debuginfo: true')}${waivers(SHA1)}`)),
      change(null, timer('03:00')),
    ],
    [
      'adds repository epel-7, synced daily at 03:00 UTC; its first sync starts in the background',
      'takes of epel-7 from its next sync on the newest version only: what it has stays',
      'waives weakChecksums for epel-7 (upstream ended in 2014): sha1 in its metadata is accepted',
    ],
  ],
  [
    'a rename brings a waiver along, and another one',
    [
      change(null, repository('epel', `formerId: epel-7\n${waivers(SHA1, ['shrunk', 'they cleaned up'])}`, 'epel-7')),
      change(repository('epel-7', waivers(SHA1)), null),
    ],
    [
      'renames repository epel-7 to epel: its content stays, and stays public',
      'waives shrunk for epel (they cleaned up): far fewer packages or files than before are accepted',
    ],
  ],
  [
    'timers that a new version of this software changes',
    [
      change(timer('03:00'), { ...timer('03:00'), timer: `${timer('03:00')['timer']}RandomizedDelaySec=5min\n` }),
      change(
        { ...timer('04:00'), element: 'timer/b' },
        { ...timer('04:00'), element: 'timer/b', timer: `${timer('04:00')['timer']}X=1\n` },
      ),
      change(
        { ...timer('04:00'), element: 'timer/c' },
        { ...timer('05:00'), element: 'timer/c', timer: `${timer('05:00')['timer']}X=1\n` },
      ),
    ],
    ['changes the schedule of c from daily at 04:00 UTC to daily at 05:00 UTC', 'changes 2 timers: their times stay'],
  ],
])('%s', (_name, resources, expected) => {
  expect(sentences(...resources)).toEqual(expected);
});

test('every waiver has words, and shows when a server is set up', () => {
  const all = REPOSITORY_WAIVERS.map((name): [string, string] => [name, 'a reason for it']);
  const [setUp, ...rest] = summarize(
    plan(
      change(null, repository('r', waivers(...all))),
      change(null, activation({ last_drift: 'no generation on m (asked 2026-11-22T03:00:00Z)' })),
    ),
  ).sentences;
  expect(setUp).toMatch(/^sets up /);
  expect(rest).toHaveLength(REPOSITORY_WAIVERS.length);
  expect(rest.map((sentence) => /^waives (\w+) for r \(a reason for it\): (?!what it names)/.exec(sentence)?.[1])).toEqual([
    ...REPOSITORY_WAIVERS,
  ]);
});

test('where the state does not tell what the server has, the waivers that stand are told', () => {
  const pending = { last_drift: 'generation 3: pending: ~ repository/r' };
  const same = repository('r', waivers(SHA1));
  expect(summarize(plan(change(same, same), change(activation(), activation({ desired_state: 'b', ...pending })))).sentences).toEqual([
    'changes repository r to what main.ts declares (this state does not tell what the server has)',
    'waives weakChecksums for r (upstream ended in 2014): sha1 in its metadata is accepted',
  ]);
});

describe('the limits of syncs', () => {
  const services = (sync: string): Record<string, string> => ({
    element: 'server/services',
    packages: 'nginx',
    definition: `kind: server\nstorageRoot: /srv/mirror\n${sync}`,
  });
  const of = (before: string, after: string): readonly string[] => sentences(change(services(before), services(after)));
  const all =
    'sync:\n  slots: 4\n  slotsPerUpstream: 2\n  connections: 10\n  bandwidth: 12500000\n  proxy:\n    url: http://p:3128\n    except: [a, b]\n';
  test('declared', () => {
    expect(of('', all)).toEqual([
      'syncs at most 4 repositories at a time (was as many as is the default)',
      'syncs at most 2 repositories of one upstream at a time (was as many as is the default)',
      'opens at most 10 connections for a sync (was as many as is the default)',
      'lets all syncs together take at most 100 Mbit/s (was what the line gives)',
      'fetches through the proxy http://p:3128, except from a, b (was directly)',
    ]);
  });
  test('changed', () => {
    expect(of(all, all.replace('slots: 4', 'slots: 2').replace('12500000', '312500').replace('[a, b]', '[]'))).toEqual([
      'syncs at most 2 repositories at a time (was at most 4)',
      'lets all syncs together take at most 2.5 Mbit/s (was at most 100 Mbit/s)',
      'fetches through the proxy http://p:3128 (was through the proxy http://p:3128, except from a, b)',
    ]);
  });
  test('how often content is read again', () => {
    expect(of('', 'scrubEveryDays: 7\n')).toEqual(['reads all content again within 7 days (was the default)']);
    expect(of('scrubEveryDays: 7\n', '')).toEqual(['reads all content again within the default (was 7 days)']);
  });
  test('what copies keep, and how the rest goes', () => {
    const rules = 'retention:\n  droppedDays: 90\n  graceDays: 7\n  sharePercent: 25\n';
    expect(of('', rules)).toEqual([
      'keeps of copies what upstream drops for 90 days, superseded snapshots for the default time (was what upstream drops for ever, superseded snapshots for the default time): nothing goes before it is announced and its grace is over',
      'gives what is announced a grace of 7 days (was the default)',
      'asks before more than 25 % of a repository goes at once (was the default)',
    ]);
    expect(of(rules, 'retention:\n  droppedDays: 90\n  quarantineDays: 1\n  sharePercent: 25\n')).toEqual([
      'gives what is announced a grace of the default (was 7 days)',
      'keeps what goes in quarantine for 1 day (was the default)',
    ]);
  });
  test('when the disk is too full', () => {
    expect(of('', 'diskGuard:\n  stopAtPercent: 98\n  forecastDays: 7\n')).toEqual([
      'stops syncs where the disk would be more than 98 % full (was 95)',
      'reports a disk that will be full within 7 days (was 30)',
    ]);
    expect(of('diskGuard:\n  alertAtPercent: 80\n', '')).toEqual(['reports a disk that is 90 % full (was 80)']);
  });
  test('declared no longer', () => {
    expect(of(all, '')).toContain('fetches directly (was through the proxy http://p:3128, except from a, b)');
    expect(of(all, '')).toHaveLength(5);
  });
});
