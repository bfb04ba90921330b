import { MirrorError } from '../../desired-state/errors';
import { missingPackages } from '../../host-agent/bootstrap';
import { compareDigests, driftText, type DriftFacts } from '../../host-agent/drift';
import { asMirrorError, reporter, sentence } from '../../host-agent/events';
import { linkText, planLinks } from '../../host-agent/links';
import { describeCaller, describeHolder } from '../../host-agent/lock';
import { compareElements } from '../../host-agent/manifest';
import { distinctLines, judgeAnswer, namesCurrent } from '../../host-agent/nginx';
import { describeStatus } from '../../host-agent/status';
import { judgeStorage, mountPoints } from '../../host-agent/storage';
import { planUnits, type UnitFacts } from '../../host-agent/units';

describe('the text of a drift', () => {
  const intact: DriftFacts = { generation: 12, owner: 'app/mirror', askedBy: 'app/mirror', deviations: [], actual: {}, declared: {} };
  const many = Array.from({ length: 25 }, (_, i) => `/x/${String(i).padStart(2, '0')} missing`);
  test.each<[string, Partial<DriftFacts>, string | undefined]>([
    ['nothing differs', {}, undefined],
    ['one file', { deviations: ['/etc/a modified'] }, 'generation 12: /etc/a modified'],
    [
      'sorted, each once, whatever order it was found in',
      { deviations: ['b.timer disabled', '/etc/a modified', 'b.timer disabled'] },
      'generation 12: /etc/a modified; b.timer disabled',
    ],
    ['another owner', { askedBy: 'other/stack' }, 'generation 12: deployed by app/mirror, not by other/stack'],
    [
      'what is declared but not there, changed, or no longer declared',
      { actual: { 'vhost/a': '1', 'repository/x': '1', same: '1' }, declared: { 'vhost/a': '2', 'customer/acme': '1', same: '1' } },
      'generation 12: pending: + customer/acme, ~ vhost/a, - repository/x',
    ],
    [
      'drift before what is pending',
      { deviations: ['/etc/a missing'], declared: { n: '1' } },
      'generation 12: /etc/a missing; pending: + n',
    ],
    ['at most twenty are named', { deviations: many }, `generation 12: ${many.slice(0, 20).join('; ')}; and 5 more`],
  ])('%s', (_, changes, text) => {
    expect(driftText({ ...intact, ...changes })).toBe(text);
  });
});

test('digests compare as missing, modified, unexpected', () => {
  const label = (name: string): string => `/etc/${name}`;
  const wanted = { a: '1', b: '1', c: '1' };
  const found = { a: '1', b: '2', d: '1' };
  expect(compareDigests(wanted, found, label, { unexpected: true })).toEqual(['/etc/b modified', '/etc/c missing', '/etc/d unexpected']);
  expect(compareDigests(wanted, found, label, { unexpected: false })).toEqual(['/etc/b modified', '/etc/c missing']);
});

test('elements compare by digest', () => {
  const difference = { added: ['b', 'z'], changed: ['y'], removed: ['a'] };
  expect(compareElements({ a: '1', y: '1', k: '1' }, { z: '1', y: '2', k: '1', b: '1' })).toEqual(difference);
});

describe('units', () => {
  const facts = (installed: Record<string, string>, enabled: string[] = [], active: string[] = []): UnitFacts => ({
    installed,
    enabled: new Set(enabled),
    active: new Set(active),
  });
  const nothing = { write: [], remove: [], enable: [], disable: [], stop: [], restart: [], renew: [], reload: false };
  const s = 'mirror-sync@a.service';
  const t = 'mirror-sync@a.timer';
  const service = 'mirror-time.service';
  const socket = 'mirror-time.socket';
  const watch = 'mirror-uploads@acme-build.path';
  const taking = 'mirror-uploads@.service';
  test.each<[string, string[], Record<string, string>, UnitFacts, object]>([
    ['as declared: nothing', [s, t], { [s]: '1', [t]: '1' }, facts({ [s]: '1', [t]: '1' }, [t], [t]), nothing],
    ['a bare server', [], { [s]: '1', [t]: '1' }, facts({}), { ...nothing, write: [s, t], enable: [t], restart: [t], reload: true }],
    ['a changed timer restarts', [t], { [t]: '2' }, facts({ [t]: '1' }, [t], [t]), { ...nothing, write: [t], restart: [t], reload: true }],
    ['a changed service never does', [s], { [s]: '2' }, facts({ [s]: '1' }), { ...nothing, write: [s], reload: true }],
    ['a disabled timer is enabled', [t], { [t]: '1' }, facts({ [t]: '1' }, [], [t]), { ...nothing, enable: [t], reload: true }],
    ['a stopped timer is started', [t], { [t]: '1' }, facts({ [t]: '1' }, [t], []), { ...nothing, restart: [t] }],
    [
      'what is no longer declared stops and goes',
      [s, t],
      {},
      facts({ [s]: '1', [t]: '1' }, [t], [t]),
      { ...nothing, remove: [s, t], disable: [t], stop: [t], reload: true },
    ],
    [
      'a socket is enabled and started like a timer',
      [],
      { [service]: '1', [socket]: '1' },
      facts({}),
      { ...nothing, write: [service, socket], enable: [socket], restart: [socket], reload: true },
    ],
    [
      'the service of a running socket ends, since it may be that of another program',
      [service, socket],
      { [service]: '1', [socket]: '2' },
      facts({ [service]: '1', [socket]: '1' }, [socket], [socket]),
      { ...nothing, write: [socket], restart: [socket], renew: [service], reload: true },
    ],
    [
      'a socket that is no longer declared goes, with its service',
      [service, socket],
      {},
      facts({ [service]: '1', [socket]: '1' }, [socket], [socket]),
      { ...nothing, remove: [service, socket], disable: [socket], stop: [socket, service], reload: true },
    ],
    [
      'a watch of paths is enabled and started like a timer, and its service is not touched',
      [watch, taking],
      { [watch]: '2', [taking]: '2' },
      facts({ [watch]: '1', [taking]: '1' }, [], [watch]),
      { ...nothing, write: [taking, watch], enable: [watch], restart: [watch], reload: true },
    ],
    [
      'a watch that is no longer declared goes',
      [watch],
      {},
      facts({ [watch]: '1' }, [watch], [watch]),
      { ...nothing, remove: [watch], disable: [watch], stop: [watch], reload: true },
    ],
    ["somebody else's unit is left alone", [], {}, facts({ 'mirror-theirs.timer': '1' }, ['mirror-theirs.timer']), nothing],
    [
      'a template is installed, not started',
      [],
      { 'mirror-sync@.timer': '1' },
      facts({}),
      { ...nothing, write: ['mirror-sync@.timer'], reload: true },
    ],
  ])('%s', (_, known, wanted, found, plan) => {
    expect(planUnits(new Set(known), wanted, found)).toEqual(plan);
  });
});

describe('links in the document root', () => {
  test.each([
    ['centos', 'repositories/a/current', '../repositories/a/current'],
    ['centos/vault.centos.org/os', 'repositories/a/current', '../../../repositories/a/current'],
    ['repositories/home:/x', 'repositories/b/current', '../../../repositories/b/current'],
  ])('%s → %s is %s', (path, target, text) => expect(linkText(path, target)).toBe(text));

  test.each<[string, Record<string, string>[], Record<string, string>, Record<string, string>, object]>([
    ['new', [], { 'a/b': 't' }, {}, { remove: [], place: { 'a/b': '../../t' } }],
    ['as declared', [{ 'a/b': 't' }], { 'a/b': 't' }, { 'a/b': '../../t' }, { remove: [], place: {} }],
    ['another target', [{ a: 't' }], { a: 'u' }, { a: '../t' }, { remove: [], place: { a: '../u' } }],
    ['no longer declared', [{ a: 't', b: 't' }], { b: 't' }, { a: '../t', b: '../t' }, { remove: ['a'], place: {} }],
    ['already gone', [{ a: 't' }], {}, {}, { remove: [], place: {} }],
    ['never ours', [], {}, { status: '../status' }, { remove: [], place: {} }],
  ])('%s', (_, before, after, found, plan) => {
    expect(planLinks(before, after, (path) => found[path])).toEqual(plan);
  });
});

describe('the storage root', () => {
  const root = '/srv/mirror';
  test.each<[string, boolean, string | undefined, boolean, boolean, string]>([
    // ownMount, recorded root, is a mount point, has its sentinel
    ['first deploy, a directory', false, undefined, false, false, 'create'],
    ['first deploy, a fresh disk', true, undefined, true, false, 'create'],
    ['first deploy, the disk of another server', true, undefined, true, true, 'ready'],
    ['first deploy, disk not mounted', true, undefined, false, false, 'DATA_MOUNT_MISSING'],
    ['later, all is well', true, root, true, true, 'ready'],
    ['later, disk not mounted', true, root, false, false, 'DATA_MOUNT_MISSING'],
    ['later, a sentinel on the system disk does not help', true, root, false, true, 'DATA_MOUNT_MISSING'],
    ['later, another disk is mounted', true, root, true, false, 'SENTINEL_MISSING'],
    ['later, a directory that was emptied', false, root, false, false, 'SENTINEL_MISSING'],
    ['moved without its content', false, '/data', false, false, 'STORAGE_MOVED'],
    ['moved with its content', false, '/data', false, true, 'ready'],
  ])('%s', (_, ownMount, recordedRoot, isMountPoint, hasSentinel, expected) => {
    let outcome: string;
    try {
      outcome = judgeStorage({ root, ownMount }, { recordedRoot, isMountPoint, hasSentinel });
    } catch (error) {
      expect(error).toBeInstanceOf(MirrorError);
      outcome = (error as MirrorError).code;
    }
    expect(outcome).toBe(expected);
  });

  test('mount points are read with their escapes', () => {
    const text =
      '25 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 25 8:2 / /srv/mirror rw - xfs /dev/sdb rw\n32 25 8:3 / /mnt/a\\040b rw - xfs /dev/sdc rw\n';
    expect([...mountPoints(text)]).toEqual(['/', '/srv/mirror', '/mnt/a b']);
  });
});

test('packages that dpkg does not call installed are missing', () => {
  const dpkg = 'rpm ii \ncreaterepo-c rc \ngnupg ii \n';
  expect(missingPackages(['rpm', 'nginx-light', 'gnupg', 'createrepo-c'], dpkg)).toEqual(['createrepo-c', 'nginx-light']);
});

test('of alternatives one is enough, and the first is installed where there is none', () => {
  const wanted = ['systemd-timesyncd|chrony|ntpsec'];
  expect(missingPackages(wanted, 'chrony ii \nntpsec rc \n')).toEqual([]);
  expect(missingPackages(wanted, 'chrony rc \n')).toEqual(['systemd-timesyncd']);
});

test.each([
  [{ status: 200, body: '12\n' }, 'right'],
  [{ status: 200, body: '11\n' }, 'other generation'],
  [{ status: 200, body: '<html>12</html>' }, 'wrong'],
  [{ status: 404, body: '12\n' }, 'wrong'],
  [{ status: 0, body: 'connect ECONNREFUSED' }, 'wrong'],
])('the probe takes %j for %s', (answer, verdict) => expect(judgeAnswer(answer, 12)).toBe(verdict));

test("nginx's words name the file where it is", () => {
  const words = '2026/11/22 02:52:51 [emerg] 4210#4210: unknown directive "x" in /etc/mirror/generations/4/nginx/locations/a.conf:1';
  const said = '[emerg] unknown directive "x" in /etc/mirror/generations/5/nginx/locations/a.conf:1';
  expect(namesCurrent(words, '/etc/mirror/generations/5', '/etc/mirror/generations/4')).toBe(said);
});

test("nginx's log is said once per fault", () => {
  const line = (second: number, port: string): string =>
    `2026/11/22 03:20:0${second} [emerg] 47#47: bind() to ${port} failed (98: Address already in use)`;
  const log = [
    line(1, '0.0.0.0:80'),
    line(1, '[::]:80'),
    line(2, '0.0.0.0:80'),
    '2026/11/22 03:20:03 [error] 5#5: *7 open() failed',
    '',
  ].join('\n');
  expect(distinctLines(log)).toEqual([
    '[emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)',
    '[emerg] bind() to [::]:80 failed (98: Address already in use)',
    '[error] open() failed',
  ]);
});

test('the holder of the lock is named as far as it is known', () => {
  const holder = JSON.stringify({ who: 'app/mirror by anna', pid: 7, since: '2026-11-22T02:00:00.000Z' });
  expect(describeHolder(holder)).toBe('the deploy of app/mirror by anna (process 7, since 2026-11-22T02:00:00.000Z)');
  expect(describeHolder('')).toBe('a deploy that has just begun');
  expect(describeHolder('null')).toBe('a deploy that has just begun');
  expect(describeCaller({ SUDO_USER: 'anna', USER: 'root', SSH_CONNECTION: '192.0.2.1 4 192.0.2.2 22' }, 'app/mirror')).toBe(
    'app/mirror by anna from 192.0.2.1',
  );
});

describe('events', () => {
  test.each([
    ['ENOSPC', 'MACHINE_ENOSPC', 7, 'no space left on the device for /etc/mirror/x'],
    ['EROFS', 'MACHINE_EROFS', 7, 'EROFS: read-only'],
    ['ENOMEM', 'MACHINE_ENOMEM', 7, 'ENOMEM: read-only'],
    ['EAGAIN', 'MACHINE_EAGAIN', 7, 'EAGAIN: read-only'],
    ['EMFILE', 'MACHINE_EMFILE', 7, 'EMFILE: read-only'],
    ['ENFILE', 'MACHINE_ENFILE', 7, 'ENFILE: read-only'],
    ['EBADF', 'INTERNAL', 1, 'unexpected: EBADF: read-only'],
  ])('%s becomes %s', (code, expected, exitCode, message) => {
    const fault = Object.assign(new Error(`${code}: read-only`), { code, path: '/etc/mirror/x' });
    expect(asMirrorError(fault)).toMatchObject({ code: expected, exitCode, message });
  });

  test('are JSON lines for programs and sentences for people', () => {
    const lines: string[] = [];
    const write = (line: string): Promise<boolean> => Promise.resolve(lines.push(line) > 0);
    reporter(true, write).warning('slow disk');
    reporter(false, write).warning('slow disk');
    expect(lines).toEqual(['{"event":"warning","text":"slow disk"}', 'warning: slow disk']);
    const unchanged = {
      kind: 'activation',
      outcome: 'unchanged',
      generation: 3,
      added: [],
      changed: [],
      removed: [],
      seconds: 0.1,
    } as const;
    expect(sentence({ event: 'result', result: unchanged })).toBe('unchanged: generation 3 serves');
  });
});

test('a status reads as sentences', () => {
  const status = { generation: 3, owner: 'app/mirror', since: '2026-11-22T02:00:00.000Z', programs: 'a'.repeat(64), elements: 5 };
  expect(describeStatus({ ...status, drift: [] })).toBe(
    'generation 3 of app/mirror, 5 elements, since 2026-11-22T02:00:00.000Z\nprograms aaaaaaaaaaaa\nintact',
  );
  expect(describeStatus({ ...status, drift: ['/etc/a missing'] })).toContain('drift:\n  /etc/a missing');
  expect(describeStatus({ ...status, generation: 0, drift: [] })).toContain('nothing was deployed');
});
