import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readDefinitions } from '../../content/definitions';
import { machineFault } from '../../content/files';
import { size, sizeOf } from '../../content/progress';
import { timeOf } from '../../content/snapshot';
import { statusTable } from '../../content/status';
import { exitCodeOf, outcomeText } from '../../content/sync-command';
import type { SyncOutcome } from '../../content/sync';
import { TestMirror } from './support/mirror';

jest.setTimeout(60_000);

let mirror: TestMirror;
beforeEach(() => {
  mirror = new TestMirror();
});
afterEach(() => mirror.remove());

test('the help has examples and the exit codes', async () => {
  const top = await mirror.run('--help');
  expect(top).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/Exit codes:[\s\S]*4 {2}another process holds the lock[\s\S]*Examples:/),
  });
  for (const command of ['sync', 'status', 'changes', 'import', 'prepare']) {
    expect(await mirror.run(command, '--help')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(new RegExp(`Examples:\\n {2}mirrorctl ${command}`)),
    });
  }
});

test.each([
  [[], /Usage: mirrorctl/],
  [['frobnicate'], /unknown command 'frobnicate'/],
  [['sync'], /mirrorctl sync wants ids, or --all, or --new/],
  [['sync', 'a', '--all'], /mirrorctl sync wants ids, or --all, or --new/],
  [['sync', '--all', '--new'], /mirrorctl sync wants ids, or --all, or --new/],
  [['sync', '--fast', 'a'], /unknown option '--fast'/],
  [['sync', 'nobody'], /"nobody" is not declared on this server/],
  [['status', 'nobody'], /"nobody" is not declared on this server/],
])('%j is a usage error', async (argv, message) => {
  const ran = await mirror.run(...argv);
  expect(ran).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
  expect(ran.stderr).not.toMatch(/^\s+at /m);
});

test('nothing declared is valid', async () => {
  expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0, stdout: 'nothing to sync\n' });
  expect(await mirror.run('sync', '--new')).toMatchObject({ code: 0, stdout: 'nothing to sync\n' });
  expect(await mirror.run('status')).toMatchObject({ code: 0, stdout: 'Nothing is declared on this server.\n' });
});

test('status before anything was done', async () => {
  mirror.repository('epel-7', ['http://127.0.0.1:1/']);
  mirror.write('definitions/codenames/mos/mos7.0-centos6.yaml', {
    kind: 'codename',
    id: 'mos/mos7.0-centos6',
    owner: 'mos',
    release: '7.0',
    distribution: 'centos',
    version: '6',
    publicPath: 'mos-repos/centos/mos7.0-centos6',
    components: ['os'],
    architectures: ['x86_64'],
    keyFile: 'K',
    keys: [],
  });
  const ran = await mirror.run('status', '--json');
  expect(JSON.parse(ran.stdout)).toEqual({
    repositories: [
      { id: 'epel-7', kind: 'repository', publicPath: 'mirror/centos/example.org/epel-7', result: 'never', problems: [] },
      { id: 'mos/mos7.0-centos6/os', kind: 'hosted', publicPath: 'mos-repos/centos/mos7.0-centos6/os', result: 'missing', problems: [] },
    ],
    releases: [],
    alerts: [],
  });
  const failed = await mirror.run('sync', 'epel-7', '--json');
  expect(failed.code).toBe(5);
  expect(JSON.parse(failed.stdout)).toMatchObject({
    repositories: [{ id: 'epel-7', result: 'failed', error: { code: 'UPSTREAM_UNREACHABLE', exitCode: 5 } }],
  });
  expect((await mirror.run('status', 'epel-7')).stdout).toMatch(
    /epel-7 +failed +- +- .*\n\nepel-7: http:.*ECONNREFUSED.*\n {2}Nothing was changed/,
  );
});

describe('definitions', () => {
  const bad = async (): Promise<unknown> => readDefinitions(mirror.configuration).catch((error: unknown) => error);
  test.each<[string, () => void, RegExp]>([
    ['no configuration', () => mirror.remove(), /there is no configuration at .*configuration/],
    ['broken YAML', () => mirror.write('definitions/repositories/a.yaml', 'a: ['), /repositories\/a\.yaml cannot be read/],
    [
      'an unknown field',
      () => mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: '/x', ownMount: false, more: 1 }),
      /server\.yaml: the document: Unrecognized key/,
    ],
    [
      'a missing field',
      () => mirror.write('definitions/server.yaml', { kind: 'server', ownMount: false }),
      /server\.yaml: storageRoot: Required/,
    ],
    [
      'an id that is not the file name',
      () => [
        mirror.repository('a', ['http://x/']),
        mirror.write('definitions/repositories/b.yaml', {
          kind: 'repository',
          id: '../../etc',
          publishedAs: 'http://x/',
          publicPath: 'p',
          fetchFrom: ['http://x/'],
          trust: { mode: 'digestsOnly', reason: 'r' },
          view: 'verbatim',
        }),
      ],
      /has the id "..\/..\/etc"; its file name says "b"/,
    ],
  ])('%s', async (_name, damage, message) => {
    damage();
    expect(await bad()).toMatchObject({ code: 'CONFIGURATION', exitCode: 3, message: expect.stringMatching(message) });
  });

  test('other files beside them are not read', async () => {
    mirror.repository('b', ['http://x/']);
    mirror.repository('a', ['http://x/']);
    writeFileSync(join(mirror.configuration, 'definitions/repositories/notes.txt'), 'x');
    expect((await readDefinitions(mirror.configuration)).repositories.map((r) => r.id)).toEqual(['a', 'b']);
  });
});

test.each([
  ['ENOSPC', 'DISK_FULL', 7],
  ['EROFS', 'READ_ONLY', 7],
  ['EACCES', 'PERMISSION', 7],
  ['EXDEV', 'SEVERAL_FILE_SYSTEMS', 7],
])('%s becomes %s', (errno, code, exitCode) => {
  expect(machineFault(Object.assign(new Error('x'), { code: errno, path: '/srv/mirror/x' }))).toMatchObject({
    code,
    exitCode,
    message: expect.stringContaining('/srv/mirror/x: '),
  });
});

test('other errors stay what they are', () => {
  const error = new TypeError('x');
  expect(machineFault(error)).toBe(error);
});

test.each<[number, string]>([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1.0 KiB'],
  [1536 * 1024, '1.5 MiB'],
  [2 ** 50 * 3, '3072.0 TiB'],
])('%i is %s', (bytes, text) => {
  expect(size(bytes)).toBe(text);
});

test('a part is said in the unit of the whole', () => {
  expect(sizeOf(1.2 * 2 ** 30, 9.8 * 2 ** 30)).toBe('1.2 of 9.8 GiB');
  expect(sizeOf(0, 100)).toBe('0 of 100 bytes');
});

test.each<[string, string | undefined]>([
  ['20261122T023000Z-abcdefabcdef', '2026-11-22T02:30:00.000Z'],
  ['something', undefined],
])('the time of %s', (name, time) => {
  expect(timeOf(name)).toBe(time);
});

const outcome = (id: string, exitCode?: number): SyncOutcome => ({
  id,
  result: exitCode === undefined ? 'published' : 'failed',
  downloadedFiles: 1,
  downloadedBytes: 1024,
  seconds: 1,
  problems: [],
  ...(exitCode === undefined
    ? { snapshot: 'S', packages: 3, bytes: 2048 }
    : { error: { code: 'X', message: 'why', remedy: 'how', exitCode } }),
});

test('the exit code is that of the first failure by id; with --new a lock is none', () => {
  expect(exitCodeOf([], false)).toBe(0);
  expect(exitCodeOf([outcome('a')], false)).toBe(0);
  expect(exitCodeOf([outcome('b', 5), outcome('a', 6), outcome('c')], false)).toBe(6);
  expect(exitCodeOf([outcome('a', 4)], false)).toBe(4);
  expect(exitCodeOf([outcome('a', 4), outcome('b', 5)], true)).toBe(5);
  expect(exitCodeOf([outcome('a', 4)], true)).toBe(0);
});

test('one line for each outcome', () => {
  expect(outcomeText(outcome('a'))).toBe('a: published S (3 packages, 2.0 KiB; 1 files, 1.0 KiB fetched) in 1 s');
  expect(outcomeText(outcome('a', 5))).toBe('a: failed: why\n  how');
  expect(outcomeText({ ...outcome('a'), result: 'unchanged' })).toBe('a: unchanged (3 packages, 2.0 KiB)');
});

test('the table', () => {
  const row = {
    id: 'epel-7',
    kind: 'repository' as const,
    publicPath: 'p',
    snapshot: 'S',
    lastSuccess: '2026-11-22T02:30:00.000Z',
    result: 'published' as const,
    error: undefined,
    problems: [],
    packages: 3,
    bytes: 1024,
  };
  expect(statusTable([row], [])).toBe(
    'ID      RESULT     LAST SUCCESS      PACKAGES  SIZE     SNAPSHOT  PUBLIC PATH\nepel-7  published  2026-11-22 02:30  3         1.0 KiB  S         /p/\n',
  );
});
