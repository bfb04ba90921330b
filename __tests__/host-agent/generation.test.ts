import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ActivationRequestSchema, desiredStateDigest, type ActivationRequest, type DesiredState } from '../../desired-state/model';
import { kindOf, replaceSymlink, writeDurably } from '../../host-agent/files';
import {
  assemble,
  currentGeneration,
  generationNumbers,
  hostKey,
  manifestFor,
  manifestsOnDisk,
  markActivated,
  nextGenerationNumber,
  pruneGenerations,
  retireGeneration,
  secretDigest,
  writeGeneration,
} from '../../host-agent/generation';
import { placeLinks, removeLinks } from '../../host-agent/links';
import { takeLock } from '../../host-agent/lock';
import { readManifest } from '../../host-agent/manifest';
import { hostPaths } from '../../host-agent/paths';
import { prunePrograms } from '../../host-agent/programs';
import { parseRequest } from '../../host-agent/request';

const element = (id: string, files: Record<string, string> = {}, links: Record<string, string> = {}) => ({ id, files, links });
const desired = (...elements: ReturnType<typeof element>[]): DesiredState => ({
  schemaVersion: 1,
  owner: 'app/mirror',
  storage: { root: '/srv/mirror', ownMount: false },
  probe: { serverName: 'mirror.example', port: 80 },
  packages: [],
  secrets: {},
  confirmSeconds: 60,
  waivers: { unpublish: [] },
  elements,
});
const request = (state: DesiredState, secrets: Record<string, string> = {}): ActivationRequest => ({
  desiredState: state,
  programs: 'a'.repeat(64),
  secrets,
  lastDrift: '',
});

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'mirror-host-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('assembling elements', () => {
  test('adds the file that the probe asks for', () => {
    const content = assemble(desired(element('vhost/a', { 'nginx/vhost.conf': 'server {}' }, { a: 'x' })), 7);
    expect(Object.keys(content.files).sort()).toEqual(['nginx/generation.conf', 'nginx/vhost.conf']);
    expect(content.files['nginx/generation.conf']).toContain('return 200 "7\\n"');
    expect(content.links).toEqual({ a: 'x' });
  });

  test('lets two elements share a file with the same text: a public key', () => {
    const key = { 'keys/centos.asc': 'K' };
    expect(assemble(desired(element('a', key), element('b', key)), 1).files['keys/centos.asc']).toBe('K');
  });

  test.each<[string, DesiredState, string]>([
    ['one id twice', desired(element('a'), element('a')), 'two elements are called a'],
    [
      'one file with two texts',
      desired(element('a', { 'keys/k': '1' }), element('b', { 'keys/k': '2' })),
      'a and b both declare keys/k, with different texts',
    ],
    ['one public path twice', desired(element('a', {}, { p: 'x' }), element('b', {}, { p: 'x' })), 'a and b both publish at /p'],
    [
      'a public path under another',
      desired(element('a', {}, { p: 'x' }), element('b', {}, { 'p/q/r': 'y' })),
      'b publishes at /p/q/r, under /p of a',
    ],
  ])('refuses %s', (_, state, message) => {
    expect(() => assemble(state, 1)).toThrow(message);
  });

  test('its digest does not depend on the order of the elements', () => {
    expect(desiredStateDigest(desired(element('a'), element('b')))).toBe(desiredStateDigest(desired(element('b'), element('a'))));
    expect(desiredStateDigest(desired(element('a')))).not.toBe(desiredStateDigest(desired(element('b'))));
  });
});

describe('a generation on disk', () => {
  async function write(number: number, secrets: Record<string, string> = {}) {
    const paths = hostPaths(directory);
    mkdirSync(paths.generations, { recursive: true });
    const state = desired(element('repository/a', { 'definitions/repositories/a.yaml': 'id: a\n', 'nginx/vhost.conf': 'v' }));
    const content = assemble(state, number);
    const manifest = manifestFor(request(state, secrets), content, number, hostKey(paths), new Date(0));
    await writeGeneration(paths, manifest, content, secrets);
    return { paths, manifest };
  }

  test('is complete, and secrets are for their user only', async () => {
    const { paths, manifest } = await write(1, { 'signing-key': 'S' });
    const generation = join(paths.generations, '1');
    expect(readManifest(generation)).toEqual(manifest);
    expect(readFileSync(join(generation, 'definitions/repositories/a.yaml'), 'utf8')).toBe('id: a\n');
    expect(readdirSync(join(generation, 'nginx/locations'))).toEqual([]);
    expect(statSync(join(generation, 'secrets/signing-key')).mode & 0o777).toBe(0o400);
    expect(JSON.stringify(manifest)).not.toContain('"S"');
    expect(readdirSync(paths.generations)).toEqual(['1']);
  });

  test('is marked when it serves', async () => {
    const { paths, manifest } = await write(1);
    expect(readManifest(join(paths.generations, '1'))?.activated).toBe(false);
    markActivated(paths, manifest);
    expect(readManifest(join(paths.generations, '1'))?.activated).toBe(true);
  });

  test('a damaged manifest is an error with a remedy', async () => {
    const { paths } = await write(1);
    writeFileSync(join(paths.generations, '1', 'manifest.json'), '{"generation":');
    expect(() => readManifest(join(paths.generations, '1'))).toThrow('manifest.json is damaged');
  });

  test('a damaged one among others is passed over, and its number is not given again', async () => {
    const { paths, manifest } = await write(1);
    for (const number of ['3', '4']) mkdirSync(join(paths.generations, number));
    writeFileSync(join(paths.generations, '3', 'manifest.json'), '{');
    expect(manifestsOnDisk(paths)).toEqual([manifest]);
    expect(nextGenerationNumber(paths)).toBe(5);
  });

  test('one that was taken back leaves its number behind: a late confirmation finds no other of that number', async () => {
    const { paths } = await write(1);
    mkdirSync(paths.hostState, { recursive: true });
    for (const name of ['2', '3']) mkdirSync(join(paths.generations, name));
    retireGeneration(paths, 3);
    expect([generationNumbers(paths), nextGenerationNumber(paths)]).toEqual([[1, 2], 4]);
    retireGeneration(paths, 2);
    expect([generationNumbers(paths), nextGenerationNumber(paths)]).toEqual([[1], 4]);
  });

  test('the first has number 1, wherever nothing is yet', () => expect(nextGenerationNumber(hostPaths(directory))).toBe(1));

  test('is current however the link is written', async () => {
    const { paths } = await write(1);
    const current = (target: string): number => {
      replaceSymlink(paths.current, target);
      return currentGeneration(paths).generation;
    };
    const named = ['generations/1', 'generations/1/', `${paths.generations}/1`, 'generations/2', '/elsewhere/generations/1'];
    expect(named.map(current)).toEqual([1, 1, 1, 0, 0]);
  });

  test('old ones go, but never the current one, nor generation 0', async () => {
    const { paths } = await write(1);
    for (const name of ['0', '2', '3', '4', '5', '.new-6']) mkdirSync(join(paths.generations, name));
    pruneGenerations(paths, 1, 3);
    expect(generationNumbers(paths)).toEqual([0, 1, 4, 5]);
    expect(readdirSync(paths.generations)).not.toContain('.new-6');
  });
});

test('a secret is comparable by name and content, with this host key only', () => {
  const digest = secretDigest('host', 'signing-key', 'S');
  expect(digest).toBe(secretDigest('host', 'signing-key', 'S'));
  expect(
    new Set([digest, secretDigest('other', 'signing-key', 'S'), secretDigest('host', 'signing-key', 'T'), secretDigest('host', 'b', 'S')])
      .size,
  ).toBe(4);
});

describe('links on disk', () => {
  const www = (path: string): string => join(directory, 'www', path);

  test('are placed relative, and removed with the directories that they leave empty', () => {
    placeLinks(directory, { 'centos/vault/os': '../../../repositories/os/current', 'centos/epel': '../../repositories/epel/current' });
    expect(readlinkSync(www('centos/vault/os'))).toBe('../../../repositories/os/current');
    removeLinks(directory, ['centos/vault/os']);
    expect(kindOf(www('centos/vault'))).toBe('missing');
    expect(kindOf(www('centos/epel'))).toBe('symlink');
    removeLinks(directory, ['centos/epel']);
    expect(kindOf(www('centos'))).toBe('missing');
    expect(kindOf(www(''))).toBe('directory');
  });

  test('never replace what somebody put there', () => {
    mkdirSync(www('centos'), { recursive: true });
    writeFileSync(www('centos/os'), 'precious');
    expect(() => placeLinks(directory, { 'centos/os': '../../x' })).toThrow('is a file that no deploy put there');
    expect(readFileSync(www('centos/os'), 'utf8')).toBe('precious');
  });
});

test('files and links are replaced whole, without leftovers', () => {
  const file = join(directory, 'f');
  writeFileSync(file, 'old');
  chmodSync(file, 0o644);
  writeDurably(file, 'new', 0o600);
  expect(readFileSync(file, 'utf8')).toBe('new');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  symlinkSync('a', join(directory, 'l'));
  replaceSymlink(join(directory, 'l'), 'b');
  expect(readlinkSync(join(directory, 'l'))).toBe('b');
  expect(readdirSync(directory).sort()).toEqual(['f', 'l']);
});

describe('the host lock', () => {
  test('is held by one, names the holder, and is free again after release', async () => {
    const path = join(directory, 'lock');
    const told: string[] = [];
    const first = await takeLock(path, 'app/mirror by anna', 0, () => Promise.resolve(true));
    await expect(takeLock(path, 'app/mirror by ben', 0, () => Promise.resolve(true))).rejects.toMatchObject({
      code: 'LOCKED',
      exitCode: 4,
      message: expect.stringContaining('app/mirror by anna') as string,
    });
    const waiting = takeLock(path, 'app/mirror by ben', 30, (text) => Promise.resolve(told.push(text) > 0));
    while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    first.release();
    (await waiting).release();
    expect(told[0]).toMatch(/^waiting up to 30 s for the deploy of app\/mirror by anna/);
  });

  test('is not taken for a caller who went away while waiting, and stays free', async () => {
    const path = join(directory, 'lock');
    const first = await takeLock(path, 'a', 0, () => Promise.resolve(true));
    let waits = (): void => undefined;
    const waiting = new Promise<void>((resolve) => (waits = resolve));
    const second = takeLock(path, 'b', 30, () => (waits(), Promise.resolve(false)));
    await waiting;
    first.release();
    await expect(second).rejects.toMatchObject({ code: 'CALLER_GONE', exitCode: 5 });
    (await takeLock(path, 'c', 0, () => Promise.resolve(true))).release();
  });

  test('waits no longer than it was told', async () => {
    const path = join(directory, 'lock');
    const first = await takeLock(path, 'a', 0, () => Promise.resolve(true));
    await expect(takeLock(path, 'b', 1, () => Promise.resolve(true))).rejects.toMatchObject({
      message: expect.stringContaining('waited 1 s') as string,
    });
    first.release();
  });
});

test('programs that no generation uses go, but not those of a deploy that may be waiting', () => {
  const paths = hostPaths(directory);
  const [used, old, fresh] = ['a', 'b', 'c'].map((c) => c.repeat(64)) as [string, string, string];
  const names = [used, old, fresh, '.upload-0123456789abcdef', 'theirs'];
  for (const name of names) mkdirSync(join(paths.programs, name), { recursive: true });
  const yesterday = new Date(Date.now() - 86_400_000);
  for (const name of names) if (name !== fresh) utimesSync(join(paths.programs, name), yesterday, yesterday);
  prunePrograms(paths, new Set([used]), new Date());
  expect(readdirSync(paths.programs).sort()).toEqual([used, fresh, 'theirs'].sort());
});

describe('requests', () => {
  const valid = request(desired(element('a')));
  test.each<[string, unknown, string]>([
    [
      'another schema version',
      { ...valid, desiredState: { ...valid.desiredState, schemaVersion: 2 } },
      'has schema version 2, this mirror-host understands 1',
    ],
    ['a missing field', { ...valid, programs: undefined }, 'programs: Required'],
    ['an unknown field', { ...valid, extra: 1 }, 'extra'],
    [
      'a file outside of its places',
      { ...valid, desiredState: desired(element('a', { 'systemd/../../etc/passwd': 'x' })) },
      'desiredState.elements.0.files.systemd/../../etc/passwd',
    ],
    [
      "somebody else's unit",
      { ...valid, desiredState: desired(element('a', { 'systemd/sshd.service': 'x' })) },
      'is not a place that a generation has',
    ],
    [
      'a link out of the storage root',
      { ...valid, desiredState: desired(element('a', {}, { p: '../../etc' })) },
      'must be a relative path',
    ],
    ['a programs digest that is a path', { ...valid, programs: '../../tmp' }, 'programs: Invalid'],
  ])('refuses %s', (_, document, message) => {
    expect(() => parseRequest(ActivationRequestSchema, JSON.stringify(document))).toThrow(message);
  });

  test('refuses what is not JSON, and takes what is valid', () => {
    expect(() => parseRequest(ActivationRequestSchema, 'Welcome!')).toThrow('is not JSON');
    expect(parseRequest(ActivationRequestSchema, JSON.stringify(valid))).toEqual(valid);
  });
});
