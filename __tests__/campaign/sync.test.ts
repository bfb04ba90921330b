/** What the campaign over sync decides: which calls can be struck and how, what a tree holds, what clients saw. The faults themselves: lab/14. */
import { contentOf, expectedOf, readIndex, readPackages, shapeOf } from '../../campaign/sync/checker';
import { sightingProblems, type Sightings } from '../../campaign/sync/clients';
import { spread } from '../../campaign/sync/disk';
import { choice } from '../../campaign/sync/ground';
import { endProblems, type Outcome } from '../../campaign/sync/judge';
import { coverageOf } from '../../campaign/sync/kills';
import type { Package } from '../../campaign/sync/packages';
import { merged, percentile, rowOf, type SyncResult } from '../../campaign/sync/report';
import { staleDirectories } from '../../campaign/sync/sandbox';
import { siteConfiguration } from '../../campaign/sync/site';
import { aimsOf, identityOf, mutatingCalls } from '../../campaign/sync/trace';

const TRACE = `100 execve("/usr/bin/node", ["node"], 0x7 /* 4 vars */) = 0
100 openat(AT_FDCWD</>, "/d/state/pool.json", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)
101 mkdir("/d/root/store", 0777 <unfinished ...>
100 write(5<pipe:[1]>, "*", 1) = 1
101 <... mkdir resumed>) = 0
101 mkdir("/d/root/store", 0777) = -1 EEXIST (File exists)
100 mkdir("/d/root/store/sha256", 0777) = 0
102 execve("/usr/local/bin/sync", ["sync"], 0x7 /* 4 vars */) = -1 ENOENT (No such file or directory)
102 execve("/usr/bin/sync", ["sync", "-f"], 0x7 /* 4 vars */) = 0
102 syncfs(3</d/root/store>) = 0
101 openat(AT_FDCWD</>, "/d/state/pool.json.new", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 20</d/state/pool.json.new>
101 write(20</d/state/pool.json.new>, "{"..., 9) = 9
101 fsync(20</d/state/pool.json.new>) = 0
101 rename("/d/state/pool.json.new", "/d/state/pool.json") = 0
103 execve("/usr/bin/gpg", ["gpg"], 0x7 /* 4 vars */) = 0
103 unlink("/d/state/tmp/.#lk0x00005582b209d350.vm.18596") = 0
100 link("/d/root/store/sha256/ab/abcd", "/d/root/repositories/pool/snapshots/.new-20261122T101010Z/a.rpm") = ?
100 +++ killed by SIGKILL +++
`;

test('a trace: what changed something, who did it, and where it was struck', () => {
  const calls = mutatingCalls(TRACE, '/d');
  expect(calls.map((call) => `${identityOf(call)} (${call.index})${call.struck ? ' struck' : ''}`)).toEqual([
    'thread mkdir root/store 1 (1)',
    'mirrorctl mkdir root/store/sha256 1 (1)',
    'sync 1 syncfs root/store 1 (1)',
    'thread openat state/pool.json.new 1 (1)',
    'thread write state/pool.json.new 1 (1)',
    'thread fsync state/pool.json.new 1 (1)',
    'thread rename state/pool.json 1 (1)',
    'gpg 1 unlink state/tmp/.#lk<own> 1 (1)',
    'mirrorctl link root/repositories/pool/snapshots/.new-<time>/a.rpm 1 (1) struck',
  ]);
  expect(calls[6]?.at).toBe('/d/state/pool.json.new');
  expect(calls[7]?.at).toBeUndefined();
});

test('a call that another thread makes first under the same number is found by its path', () => {
  const calls = mutatingCalls(TRACE, '/d');
  const [first, second, , open] = calls as [(typeof calls)[0], (typeof calls)[0], (typeof calls)[0], (typeof calls)[0]];
  expect(aimsOf(first, calls)[0]).toEqual({ path: undefined, when: 1 });
  expect(aimsOf(second, calls)[0]).toEqual({ path: '/d/root/store/sha256', when: 1 });
  expect(aimsOf(open, calls)[0]?.path).toBe('/d/state/pool.json.new');
});

test('how many of the calls were struck, by program', () => {
  const calls = mutatingCalls(TRACE, '/d');
  const struck = new Set(calls.slice(0, 3).map(identityOf));
  expect(coverageOf('verbatim', 'update', calls, struck).map(({ by, calls: all, struck: hit }) => [by, all, hit])).toEqual([
    ['thread', 5, 1],
    ['mirrorctl', 2, 1],
    ['sync', 1, 1],
    ['gpg', 1, 0],
  ]);
});

test('of each call some are chosen, from the first to the last', () => {
  const calls = mutatingCalls(TRACE, '/d');
  const many = [
    ...calls,
    ...calls.map((call) => ({ ...call, order: call.order + 100 })),
    ...calls.map((call) => ({ ...call, order: call.order + 200 })),
  ];
  const chosen = spread(many, 16);
  expect(chosen.filter(({ name }) => name === 'mkdir').map(({ order }) => order)).toEqual([0, 201]);
  expect(new Set(chosen.map(({ name }) => name))).toEqual(new Set(calls.map(({ name }) => name)));
  expect(spread(many, 2).map(({ name, order }) => [name, order])).toEqual([
    ['mkdir', 0],
    ['link', 8],
  ]);
  expect(spread([], 4)).toEqual([]);
});

const REPOMD = `<repomd><data type="primary"><checksum type="sha256">aa</checksum><location href="repodata/aa-primary.xml.gz"/><size>12</size></data></repomd>\n`;

test('an index and a primary are read without the code of the mirror', () => {
  expect(readIndex(Buffer.from(REPOMD)).metadata).toEqual([
    { type: 'primary', path: 'repodata/aa-primary.xml.gz', sha256: 'aa', size: 12 },
  ]);
  expect(() => readIndex(Buffer.from(REPOMD.slice(0, 60)))).toThrow('not whole');
  const primary = `<metadata><package type="rpm"><checksum type="sha256" pkgid="YES">bb</checksum><size package="7" installed="8"/><location href="a&amp;b.rpm"/></package></metadata>`;
  expect(readPackages(primary)).toEqual([{ path: 'a&b.rpm', sha256: 'bb', size: 7 }]);
});

const one = (name: string, version: number): Package => ({
  file: `${name}-${version}-1.noarch.rpm`,
  name,
  version,
  path: '',
  sha256: `${name}${version}`,
  size: 1,
});
const state = (number: number, packages: Package[]) => ({ number, directory: '', repomd: `r${number}`, packages });

test('what may be published: the last state as it is, or the union of all', () => {
  const states = [state(1, [one('a', 1), one('b', 1)]), state(2, [one('a', 2), one('b', 1)])];
  const verbatim = expectedOf('new', 'verbatim', states);
  const union = expectedOf('new', 'accumulate', states);
  expect(verbatim).toEqual({ label: 'new', packages: ['a2', 'b1'], advisories: ['POOL-1-b', 'POOL-2-a'], repomd: 'r2' });
  expect(union.packages).toEqual(['a1', 'a2', 'b1']);
  const advisories = ['POOL-1-b', 'POOL-2-a'];
  const packages = ['b1', 'a2'].map((sha256) => ({ path: sha256, sha256, size: 1 }));
  expect(contentOf({ packages, advisories, repomd: 'r2' }, [union, verbatim])).toBe('new');
  expect(contentOf({ packages, advisories: advisories.slice(1), repomd: 'r2' }, [verbatim])).toBeUndefined();
  expect(contentOf({ packages, advisories, repomd: 'r1' }, [verbatim])).toBeUndefined();
  expect(contentOf({ packages: packages.slice(1), advisories, repomd: 'r2' }, [verbatim])).toBeUndefined();
});

test('each of a thousand states has one package that none had before', () => {
  const names = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'];
  const pool = names.flatMap((name) => Array.from({ length: 168 }, (_, index) => one(name, index + 1)));
  const states = Array.from({ length: 1000 }, (_, number) => choice(pool, number).map(({ file }) => file));
  const seen = new Set(states[0]);
  for (const files of states.slice(1)) {
    expect(files.filter((file) => !seen.has(file))).toHaveLength(1);
    for (const file of files) seen.add(file);
  }
});

test.each([
  [
    'repositories/pool/snapshots/20261122T101010Z-0123456789ab/Packages/alpha-1-1.noarch.rpm',
    'repositories/pool/snapshots/<time>-<hex>/Packages/<rpm>',
  ],
  [`store/sha256/ab/${'ab'.repeat(32)}`, 'store/sha256/<xx>/<hex>'],
  ['repositories/pool/snapshots/.new-20261122T101010Z/x', 'repositories/pool/snapshots/.new-<time>/x'],
])('the shape of %s', (path, shape) => expect(shapeOf(path)).toBe(shape));

test('how a run may end that nobody killed', () => {
  const ended = (code: number, stdout: string, stderr = '') => ({ code, signal: null, stdout, stderr });
  expect(endProblems(ended(0, ''))).toEqual([]);
  expect(endProblems(ended(7, '{"error": {"code": "DISK_FULL", "remedy": "Free space"}}'))).toEqual([]);
  expect(endProblems(ended(7, '', 'mirrorctl: /x: no space\n  Free space.\n'))).toEqual([]);
  expect(endProblems(ended(1, '{"error": {"code": "INTERNAL", "remedy": "This is a defect"}}'))[0]).toMatch('for developers');
  expect(endProblems(ended(7, '{"error": {}}'))[0]).toMatch('without a remedy');
  expect(endProblems({ ...ended(0, ''), code: null, signal: 'SIGSEGV' })).toEqual(['ended by SIGSEGV']);
});

const SEEN: Sightings = {
  requests: 9,
  looks: 2,
  ages: {},
  notFound: 0,
  notFoundFresh: 0,
  checksumErrors: 0,
  broken: 0,
  mismatches: 1,
  mismatchMs: [7],
  gapMs: 2,
  examples: [],
};

test('what clients may not see; the window between index and signature is measured, not judged', () => {
  expect(sightingProblems(SEEN)).toEqual([]);
  expect(sightingProblems({ ...SEEN, notFound: 1, examples: ['404 for x'] })[0]).toMatch('404 for x');
});

test('rows count what was struck; parts that were not run stay in the result', () => {
  const outcome = (more: Partial<Outcome>): Outcome => ({
    part: 'disk',
    view: 'verbatim',
    what: '',
    after: 'old',
    ended: '7',
    failures: [],
    missed: false,
    seconds: 1,
    ...more,
  });
  const row = rowOf(
    'disk',
    'verbatim',
    '2026-11-22',
    [outcome({}), outcome({ after: 'new', failures: ['x'] }), outcome({ missed: true })],
    1.26,
    SEEN,
  );
  expect(row).toMatchObject({ faults: 2, failed: 1, missed: 1, old: 1, new: 1, nothing: 0, minutes: 1.3 });
  const before: SyncResult = {
    seed: 1,
    rows: [
      { ...row, part: 'kills' },
      { ...row, faults: 99 },
    ],
    coverage: [],
    polled: [],
    failures: [outcome({ part: 'kills' }), outcome({ what: 'old' })],
  };
  const all = merged(before, { seed: 2, rows: [row], coverage: [], polled: [], failures: [] });
  expect(all.rows.map(({ part, faults }) => [part, faults])).toEqual([
    ['kills', 2],
    ['disk', 2],
  ]);
  expect(all.failures.map(({ part }) => part)).toEqual(['kills']);
  expect([percentile([1, 2, 3], 50), percentile([1, 2, 3], 100), percentile([], 50)]).toEqual([2, 3, 0]);
});

test('directories of campaigns that are gone', () => {
  const names = ['mirror-sync-campaign-12-abc', 'mirror-sync-campaign-13-abc', 'other-12-abc'];
  expect(staleDirectories(names, (pid) => pid === '13')).toEqual(['mirror-sync-campaign-12-abc']);
});

test('the site is the one of the vhost, but for the address and the place of its generation', () => {
  const text = siteConfiguration('/d/root', '/d/generation', 8123);
  expect(text).toContain('listen 127.0.0.1:8123;');
  expect(text).toContain('root /d/root/www;');
  expect(text).toContain('disable_symlinks if_not_owner');
  expect(text).toContain('open_file_cache max=200');
  expect(text).toContain('include /d/generation/nginx/serving.conf;');
  expect(text).not.toContain('/etc/mirror');
});
