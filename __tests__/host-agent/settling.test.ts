/** What is decided around the switch of a generation: who may, until when, and what is left afterwards. */
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../../desired-state/canonical';
import { ObservationRequestSchema, ProgramsRequestSchema } from '../../desired-state/model';
import { COMPILED, isCompiled } from '../../desired-state/compiled';
import { programsDigest } from '../../desired-state/programs';
import { unpublished } from '../../desired-state/unpublish';
import { accountDeviations, sudoersText } from '../../host-agent/account';
import { ensureRootsOwn } from '../../host-agent/bootstrap';
import { decommissionText } from '../../host-agent/decommission';
import { describeGenerations, generationsText } from '../../host-agent/generations';
import { awaitConfirmation, closeJournal, openJournal, readJournal, secondsLeft, type Journal } from '../../host-agent/journal';
import { EMPTY_MANIFEST, type Manifest } from '../../host-agent/manifest';
import { hostPaths } from '../../host-agent/paths';
import { receivePrograms } from '../../host-agent/receive';
import { otherLogin, rollbackTarget } from '../../host-agent/rollback';
import { fallback } from '../../host-agent/settle';
import { checkContinuity, checkOwner, checkUnpublished } from '../../host-agent/waivers';
import { parseRequest } from '../../host-agent/request';
import { caught } from '../support/caught';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'mirror-host-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const manifest = (generation: number, over: Partial<Manifest> = {}): Manifest => ({
  ...EMPTY_MANIFEST,
  generation,
  owner: 'mirror/server',
  programs: 'c'.repeat(64),
  ...over,
});

describe('how long a generation waits for its confirmation', () => {
  const journal: Journal = { phase: 'unconfirmed', from: 1, to: 2, since: '', by: 'x', boot: 'b', until: 1060, lastDrift: '' };
  test.each<[string, Partial<Journal>, { boot: string; uptime: number }, number]>([
    ['just switched', {}, { boot: 'b', uptime: 1000 }, 60],
    ['half way', {}, { boot: 'b', uptime: 1030.5 }, 29.5],
    ['its time is up', {}, { boot: 'b', uptime: 1060 }, 0],
    ['long ago', {}, { boot: 'b', uptime: 9000 }, 0],
    ['after a reboot, whatever the uptime', {}, { boot: 'another', uptime: 3 }, 0],
    ['a switch that is under way does not wait', { phase: 'switching' }, { boot: 'b', uptime: 1000 }, 0],
  ])('%s', (_, over, clock, left) => expect(secondsLeft({ ...journal, ...over }, clock)).toBe(left));

  test('the journal survives as it was written, and closes', () => {
    const paths = { ...hostPaths(directory), hostState: directory, journal: join(directory, 'journal.json') };
    expect(readJournal(paths)).toBeUndefined();
    const opened = openJournal(paths, { from: 3, to: 4, by: 'me', lastDrift: 'text' });
    expect(readJournal(paths)).toMatchObject({ phase: 'switching', from: 3, to: 4, by: 'me', lastDrift: 'text' });
    awaitConfirmation(paths, opened, 60);
    expect(readJournal(paths)).toMatchObject({ phase: 'unconfirmed', from: 3, to: 4 });
    expect(statSync(paths.journal).mode & 0o777).toBe(0o600);
    closeJournal(paths);
    expect(readJournal(paths)).toBeUndefined();
  });

  test('a damaged journal is named, with what to do', () => {
    const paths = { ...hostPaths(directory), journal: join(directory, 'journal.json') };
    writeFileSync(paths.journal, '{"from":1');
    expect(() => readJournal(paths)).toThrow(`${paths.journal} is damaged`);
  });
});

describe('another owner', () => {
  const before = manifest(7, { owner: 'theirs/server' });
  const desired = (takeOver?: string) => ({ owner: 'ours/server', waivers: { unpublish: [], ...(takeOver ? { takeOver } : {}) } });
  test('is refused, and the remedy is the line of main.ts', () => {
    expect(() => checkOwner(before, desired())).toThrow('belongs to theirs/server (generation 7), not to ours/server');
  });
  test('a waiver for a third owner does not count', () => expect(() => checkOwner(before, desired('third/server'))).toThrow());
  test.each<[string, Manifest, string | undefined]>([
    ['the same owner', manifest(7, { owner: 'ours/server' }), undefined],
    ['a server that nobody owns', EMPTY_MANIFEST, undefined],
    ['waived', before, 'theirs/server'],
  ])('%s passes', (_, current, waiver) => expect(() => checkOwner(current, desired(waiver))).not.toThrow());
});

describe('unpublishing most of a mirror', () => {
  const published = { 'repository/a': ['a'], 'repository/b': ['b'], 'repository/c': ['c1', 'c2'], 'codename/x/y': ['x/y/os'] };
  const before = manifest(3, { published });
  const elements = (...paths: string[]) => [
    { id: 'e', files: {}, links: Object.fromEntries(paths.map((path) => [path, 'repositories/t'])) },
  ];
  const waivers = (...unpublish: string[]) => ({ unpublish });

  test('what loses one of its paths is unpublished; what another element publishes is not', () => {
    expect(unpublished(published, ['a', 'c1', 'x/y/os'])).toEqual(['repository/b', 'repository/c']);
  });
  test.each<[string, string[], string[], boolean]>([
    ['nothing goes', ['a', 'b', 'c1', 'c2', 'x/y/os'], [], false],
    ['exactly half goes', ['c1', 'c2', 'x/y/os'], [], false],
    ['more than half goes', ['a'], [], true],
    ['everything goes', [], [], true],
    ['more than half goes, each waived', ['a'], ['repository/b', 'repository/c', 'codename/x/y'], false],
    ['more than half goes, one of them not waived', ['a'], ['repository/b', 'repository/c'], true],
  ])('%s', (_, kept, waived, refused) => {
    const check = (): void => checkUnpublished(before, { elements: elements(...kept), waivers: waivers(...waived) });
    if (refused) expect(check).toThrow(/would unpublish \d of 4/);
    else expect(check).not.toThrow();
  });
  test('the remedy is the waiver to write', () => {
    expect.assertions(1);
    try {
      checkUnpublished(before, { elements: [], waivers: waivers() });
    } catch (error) {
      expect((error as { remedy: string }).remedy).toContain(
        "Waiver.unpublish({ elements: ['codename/x/y', 'repository/a', 'repository/b', 'repository/c']",
      );
    }
  });
  test('a first deploy, and one onto nothing published', () => {
    expect(() => checkUnpublished(EMPTY_MANIFEST, { elements: [], waivers: waivers() })).not.toThrow();
  });
});

describe('a path that would belong to another id', () => {
  const before = manifest(3, { published: { 'repository/old': ['p'] }, links: { p: 'repositories/old/current' } });
  const element = (target: string, adopts?: string) => [
    { id: 'repository/new', files: {}, links: { p: target }, ...(adopts ? { adopts } : {}) },
  ];
  const onDisk =
    (...targets: string[]) =>
    (target: string): boolean =>
      targets.includes(target);
  test('must not lose its content, and the remedy is the prop to write', () => {
    const check = (): void =>
      checkContinuity(before, { elements: element('repositories/new/current') }, onDisk('repositories/old/current'));
    expect(check).toThrow("/p is served by repository/old and would become repository/new's, which has no content");
    expect((caught(check) as { remedy: string }).remedy).toContain("formerId: 'old'");
  });
  test('is refused too when the former id that it names has nothing to go on with', () => {
    const check = (): void =>
      checkContinuity(before, { elements: element('repositories/new/current', 'odl') }, onDisk('repositories/old/current'));
    expect((caught(check) as { remedy: string }).remedy).toMatch(
      /^Its formerId, odl, has no content on this server\. If .*formerId: 'old'/,
    );
    const served = 'repositories/old/mos9.0/os/current';
    const codename = (adopts: string) => [
      { id: 'codename/new/mos9.0', files: {}, links: { p: 'repositories/new/mos9.0/os/current' }, adopts },
    ];
    const owned = manifest(3, { published: { 'codename/old/mos9.0': ['p'] }, links: { p: served } });
    expect(() => checkContinuity(owned, { elements: codename('odl/mos9.0') }, onDisk(served))).toThrow('which has no content');
    expect(() => checkContinuity(owned, { elements: codename('old/mos9.0') }, onDisk(served))).not.toThrow();
  });
  test.each<[string, ReturnType<typeof element>, (target: string) => boolean]>([
    ['it goes on with the former content', element('repositories/new/current', 'old'), onDisk('repositories/old/current')],
    ['it has content of its own', element('repositories/new/current'), onDisk('repositories/old/current', 'repositories/new/current')],
    ['the former never had any', element('repositories/new/current'), onDisk()],
    ['nothing changes', element('repositories/old/current'), onDisk('repositories/old/current')],
  ])('%s: passes', (_, elements, exists) => expect(() => checkContinuity(before, { elements }, exists)).not.toThrow());
});

describe('rolling back', () => {
  const all = [manifest(0), manifest(4), manifest(5), manifest(6, { activated: false }), manifest(7)];
  test.each<[string, number, number | undefined, number | string]>([
    ['to the newest confirmed one before', 7, undefined, 5],
    ['to the one that is asked for', 7, 4, 4],
    ['forward again', 4, 7, 7],
    ['never to one that nobody confirmed', 7, 6, 'never was confirmed'],
    ['never to one that is not there', 7, 3, 'Generations to roll back to: 4, 5'],
    ['never to nothing', 7, 0, 'not on this server'],
    ['not to itself', 7, 7, 'serves already'],
    ['not from the first', 4, undefined, 'no confirmed generation before 4'],
  ])('%s', (_, current, to, expected) => {
    const find = (): number => rollbackTarget(all, current, to).generation;
    if (typeof expected === 'number') expect(find()).toBe(expected);
    else
      expect(() => {
        try {
          find();
        } catch (error) {
          throw new Error((error as { describe(): string }).describe());
        }
      }).toThrow(expected);
  });
});

test('a rollback says who can log in afterwards, where that changes', () => {
  const keys = (digest: string) => ({ files: { 'ssh/authorized_keys': digest } });
  const now = manifest(7, { deployAccount: 'deploy', ...keys('new') });
  expect(otherLogin(now, manifest(6, { deployAccount: 'deploy', ...keys('new') }))).toBeUndefined();
  expect(otherLogin(manifest(7), manifest(6))).toBeUndefined();
  expect(otherLogin(now, manifest(6, { deployAccount: 'deploy', ...keys('old') }))).toContain('deploy, with the keys of generation 6');
  expect(otherLogin(now, manifest(6))).toContain('deploy can log in no more');
});

test('where a generation could not be restored, the next switch falls back to it all the same', () => {
  const known = [manifest(0), manifest(5), manifest(6, { activated: false })];
  const unrestored = { phase: 'switching', from: 5, to: 6, since: '', by: 'x', boot: 'b', until: 0, lastDrift: '' } as const;
  const half = known[2] as Manifest;
  expect(fallback(half, known, unrestored).generation).toBe(5);
  expect(fallback(half, known, undefined).generation).toBe(6);
  expect(fallback(half, known, { ...unrestored, from: 4 }).generation).toBe(6);
});

test("root's part of the state directory is root's, whatever somebody put there meanwhile", () => {
  const [host, target] = [join(directory, 'host'), join(directory, 'target')];
  mkdirSync(target, { mode: 0o755 });
  writeFileSync(join(target, 'kept'), '');
  symlinkSync(target, host);
  ensureRootsOwn(host);
  expect([lstatSync(host).isDirectory(), readdirSync(target), statSync(target).mode & 0o777]).toEqual([true, ['kept'], 0o755]);
  writeFileSync(join(host, 'journal.json'), '{}');
  ensureRootsOwn(host);
  expect(readdirSync(host)).toEqual(['journal.json']);
  chownSync(host, 65534, 65534);
  ensureRootsOwn(host);
  expect(readdirSync(host)).toEqual([]);
});

test('generations list newest first, with what each changed and how it stands', () => {
  const entries = describeGenerations(
    [
      manifest(0),
      manifest(4, { elements: { a: '1', b: '1' } }),
      manifest(5, { elements: { a: '2' }, activated: false }),
      manifest(6, { elements: { a: '2', c: '1' } }),
      manifest(7, { elements: { a: '2', c: '1' } }),
    ],
    7,
    7,
  );
  expect(entries.map(({ generation, state, added, changed, removed }) => [generation, state, added, changed, removed])).toEqual([
    [7, 'waits for its confirmation', [], [], []],
    [6, 'can be rolled back to', ['c'], [], []],
    [5, 'was never confirmed', [], ['a'], ['b']],
    [4, 'can be rolled back to', ['a', 'b'], [], []],
  ]);
  expect(generationsText(entries)).toContain('~ a, - b');
  expect(generationsText([])).toBe('no generation: nothing was deployed to this server yet');
});

describe('the deploy account', () => {
  test('that somebody removed is drift', () => {
    const paths = hostPaths(directory);
    mkdirSync(join(directory, 'etc'));
    writeFileSync(paths.passwd, 'root:x:0:0::/root:/bin/sh\ndeploy:x:100:100::/home/deploy:/bin/sh\n');
    expect(accountDeviations(paths, 'deploy')).not.toContain('the account deploy missing');
    expect(accountDeviations(paths, 'deplo')).toContain('the account deplo missing');
    expect(accountDeviations(paths, undefined)).toEqual([]);
  });

  test('may run mirror-host, and nothing else', () => {
    expect(sudoersText(['mirror-deploy'])).toBe(
      '# Written by mirror-host: changes are overwritten.\nDefaults:mirror-deploy !requiretty\n' +
        'mirror-deploy ALL=(root) NOPASSWD: /usr/local/lib/mirror/*/mirror-host.cjs, /usr/local/sbin/mirror-host\n',
    );
  });
});

describe('receiving programs', () => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const texts = { 'mirror-host.cjs': 'host', 'mirrorctl.cjs': 'content', 'mirrorctl-body.cjs': 'module.exports = 1;' };
  const each = (change: (text: string) => string) =>
    Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, change(text)])) as typeof texts;
  const digest = programsDigest(each(sha256));
  const request = { digest, programs: each(base64) };
  const paths = () => {
    const made = hostPaths(directory);
    for (const place of ['/usr/local/sbin', '/usr/local/bin', '/usr/local/lib']) mkdirSync(join(directory, place), { recursive: true });
    return made;
  };

  test('installs them under their digest, executable, and again without harm', () => {
    const host = paths();
    expect(receivePrograms(host, ProgramsRequestSchema.parse(request))).toEqual({ kind: 'programs', digest });
    expect(receivePrograms(host, request)).toEqual({ kind: 'programs', digest });
    expect(readdirSync(host.programs)).toEqual([digest]);
    expect(statSync(join(host.programs, digest, 'mirror-host.cjs')).mode & 0o777).toBe(0o755);
  });
  test('keeps the compiled code of mirrorctl beside it, and makes it anew where it is that of another Node', () => {
    const host = paths();
    receivePrograms(host, request);
    const kept = join(host.programs, digest, COMPILED);
    const source = Buffer.from(texts['mirrorctl-body.cjs']);
    expect(isCompiled(source, readFileSync(kept))).toBe(true);
    expect(statSync(kept).mode & 0o777).toBe(0o644);
    const before = statSync(kept).ino;
    receivePrograms(host, request);
    expect(statSync(kept).ino).toBe(before);
    writeFileSync(kept, 'that of another one');
    receivePrograms(host, request);
    expect(isCompiled(source, readFileSync(kept))).toBe(true);
  });
  test('does without the compiled code where it cannot be written', () => {
    const host = paths();
    receivePrograms(host, request);
    const kept = join(host.programs, digest, COMPILED);
    rmSync(kept);
    mkdirSync(`${kept}.mirror-new`);
    expect(receivePrograms(host, request)).toEqual({ kind: 'programs', digest });
    expect(existsSync(kept)).toBe(false);
  });
  test('what was damaged there is replaced', () => {
    const host = paths();
    receivePrograms(host, request);
    writeFileSync(join(host.programs, digest, 'mirrorctl.cjs'), 'conten');
    receivePrograms(host, request);
    expect(statSync(join(host.programs, digest, 'mirrorctl.cjs')).size).toBe('content'.length);
  });
  test('what is not what it says changes nothing', () => {
    const host = paths();
    const damaged = { ...request, programs: { ...request.programs, 'mirrorctl.cjs': base64('conten') } };
    expect(() => receivePrograms(host, damaged)).toThrow(`not ${digest.slice(0, 12)}`);
    expect(() => readdirSync(host.programs)).toThrow('ENOENT');
  });
  test.each([
    [{ ...request, digest: '../..' }, 'digest'],
    [{ ...request, programs: { ...request.programs, 'evil.cjs': 'x' } }, 'programs'],
    [{ ...request, programs: { 'mirror-host.cjs': 'AAAA' } }, 'mirrorctl.cjs'],
    [{ ...request, programs: { 'mirror-host.cjs': 'AAAA', 'mirrorctl.cjs': 'AAAA' } }, 'mirrorctl-body.cjs'],
    [{ digest }, 'programs'],
  ])('a request that is none is refused by name: %j', (bad, name) => {
    expect(() => parseRequest(ProgramsRequestSchema, JSON.stringify(bad))).toThrow(name);
  });
});

test('an observation may carry what this version does not know yet', () => {
  const parsed = parseRequest(ObservationRequestSchema, JSON.stringify({ owner: 'x', elements: {}, invented: 1 }));
  expect(parsed).toEqual({ owner: 'x', elements: {}, secrets: {} });
});

test('what decommissioning would do is said before it is done', () => {
  expect(decommissionText('/srv/mirror', [])).toMatch(/content \(\/srv\/mirror\)[^]*Nothing was done[^]*--yes/);
  expect(decommissionText('/srv/mirror', [])).not.toContain('signing keys');
  expect(decommissionText('/srv/mirror', ['/etc/mirror/signing-keys/1.asc'])).toMatch(/removed too, for good: copy \S+1\.asc first/);
});
