/** Time travel with a real nginx in front, as a deploy configures it. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, chmodSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseTime, segmentsOf } from '../../content/times';
import { INNER, innerLocations, innerRoots, releasedInnerLocations } from '../../desired-state/render/inner';
import { ownerLocation, servingSnippet, TIME_SOCKET, vhost } from '../../desired-state/render/nginx';
import { TestMirror } from './support/mirror';

jest.setTimeout(60_000);

const OLD = '20261101T000000Z-aaaaaaaaaaaa';
const GONE = '20261103T000000Z-cccccccccccc';
const NEW = '20261105T120000Z-bbbbbbbbbbbb';
const WITHDRAWN = '20261106T000000Z-dddddddddddd';
const WITHDRAWN_AND_GONE = '20261107T000000Z-eeeeeeeeeeee';
const HOSTED = 'acme/mos7.0-centos6/os';
const PATH = '/mirror/centos/example.org/epel-7';

let mirror: TestMirror;
let nginx: ChildProcess;
let port: number;
let service: ChildProcess | undefined;
const directory = mkdtempSync(join(tmpdir(), 'times-'));
const socket = join(directory, 'time.sock');

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: found } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return found;
}

function put(id: string, snapshot: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    const full = join(mirror.root, 'repositories', id, 'snapshots', snapshot, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }
}

beforeAll(async () => {
  mirror = new TestMirror();
  for (const path of [directory, mirror.directory]) chmodSync(path, 0o755);
  mirror.repository('epel-7', ['http://127.0.0.1:9/']);
  mirror.repository('empty', ['http://127.0.0.1:9/']);
  mirror.tree('odd', ['http://127.0.0.1:9/'], { publicPath: 'mirror/centos/example.org/@odd' });
  put('odd', OLD, { a: 'odd' });
  mirror.tree('images', ['http://127.0.0.1:9/']);
  mirror.write('definitions/codenames/acme/mos7.0-centos6.yaml', {
    kind: 'codename',
    id: 'acme/mos7.0-centos6',
    owner: 'acme',
    release: '7.0',
    distribution: 'centos',
    version: '6',
    publicPath: 'acme/centos/mos7.0-centos6',
    components: ['os'],
    architectures: ['x86_64'],
    keyFile: 'K',
    keys: [],
  });
  put('epel-7', OLD, {
    'repodata/repomd.xml': 'old',
    'Packages/a b+c.rpm': '0123456789',
    [`repodata/${'a'.repeat(64)}-primary.xml.gz`]: 'p',
  });
  put('epel-7', NEW, { 'repodata/repomd.xml': 'new', '@scope/file': 'scoped' });
  put('epel-7', WITHDRAWN, { 'repodata/repomd.xml': 'withdrawn' });
  put('images', OLD, { 'a/b': 'image' });
  put(HOSTED, OLD, { 'x86_64/repodata/repomd.xml': 'secret' });
  mirror.tree('debug', ['http://127.0.0.1:9/'], { publicPath: `${PATH.slice(1)}/debug` });
  put('debug', OLD, { 'repodata/repomd.xml': 'old debug' });
  put('debug', NEW, { 'repodata/repomd.xml': 'new debug', 'x/@scope/file': 'scoped debug' });
  // Before the repository by its name, and behind it in times.
  mirror.downloads('a-installer', [{ path: '.treeinfo', url: 'http://127.0.0.1:9/.treeinfo' }], { publicPath: PATH.slice(1) });
  put('a-installer', OLD, { 'EFI/grub.cfg': 'installer', '.treeinfo': 'tree', 'not/claimed': 'no' });
  symlinkSync('/etc/passwd', join(mirror.root, 'repositories/epel-7/snapshots', OLD, 'link'));
  symlinkSync('/etc', join(mirror.root, 'repositories/epel-7/snapshots', OLD, 'folder'));
  for (const id of ['epel-7', 'images', 'debug', 'a-installer', HOSTED]) {
    const current = id === 'epel-7' || id === 'debug' ? NEW : OLD;
    symlinkSync(`snapshots/${current}`, join(mirror.root, 'repositories', id, 'current'));
  }
  const www = (path: string, id: string): void => {
    mkdirSync(join(mirror.root, 'www', dirname(path)), { recursive: true });
    symlinkSync(join(mirror.root, 'repositories', id, 'current'), join(mirror.root, 'www', path));
  };
  www(PATH.slice(1), 'epel-7');
  www('acme/centos/mos7.0-centos6/os', HOSTED);
  www(`.inner/debug${PATH}/debug`, 'debug');
  www(`.inner/a-installer${PATH}`, 'a-installer');
  writeFileSync(
    join(mirror.root, 'repositories/epel-7/gone'),
    `${GONE} 2026-11-20T00:00:00.000Z\n${WITHDRAWN_AND_GONE} 2026-11-20T00:00:00.000Z\n`,
  );
  const item = { kind: 'snapshot', id: 'epel-7', snapshot: OLD };
  const entry = {
    item,
    why: 'w',
    by: 'rule',
    stage: 'announced',
    announcedAt: '2026-11-20T00:00:00.000Z',
    due: '2026-12-01T00:00:00.000Z',
    bytes: 1,
  };
  mkdirSync(mirror.state, { recursive: true });
  writeFileSync(join(mirror.state, 'retention.json'), JSON.stringify({ version: 1, entries: { [`epel-7@${OLD}`]: entry }, restored: {} }));

  port = await freePort();
  const serving = servingSnippet().replaceAll(TIME_SOCKET, socket);
  writeFileSync(join(directory, 'serving.conf'), serving);
  const here = (text: string): string =>
    text
      .replaceAll('/etc/mirror/current/nginx/serving.conf', join(directory, 'serving.conf'))
      .replaceAll('/etc/mirror/current/nginx', directory);
  mkdirSync(join(directory, 'locations'));
  writeFileSync(join(directory, 'generation.conf'), '');
  writeFileSync(join(directory, 'locations/acme.conf'), here(ownerLocation({ owner: 'acme', prefix: 'acme', networks: ['127.0.0.2'] })));
  const at = PATH.slice(1);
  const inner = (id: string, ...paths: string[]): string => here(innerLocations({ id, inner: paths, storageRoot: mirror.root }));
  writeFileSync(join(directory, 'locations/copy+debug.conf'), inner('debug', `${at}/debug/`));
  writeFileSync(join(directory, 'locations/copy+a-installer.conf'), inner('a-installer', `${at}/EFI/grub.cfg`, `${at}/.treeinfo`));
  writeFileSync(join(directory, 'locations/inner.conf'), innerRoots());
  const released = join(mirror.root, 'releases/3.0', INNER, 'debug', at, 'debug');
  mkdirSync(dirname(released), { recursive: true });
  symlinkSync(join(mirror.root, 'repositories/debug/snapshots', OLD), released);
  mkdirSync(join(mirror.root, 'www/releases'));
  symlinkSync('../../releases/3.0', join(mirror.root, 'www/releases/3.0'));
  const inRelease = releasedInnerLocations('3.0', [{ id: 'debug', inner: [`${at}/debug/`] }]);
  writeFileSync(join(directory, 'locations/release+3.0.conf'), inRelease);
  const site = here(vhost({ serverName: 'localhost', port, ipv6: false, storageRoot: mirror.root }));
  writeFileSync(
    join(directory, 'nginx.conf'),
    `daemon off; master_process off; user root; pid ${directory}/pid; error_log ${directory}/error.log;
events {}
http { access_log off; client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b; fastcgi_temp_path ${directory}/c;
uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e; ${site} }`,
  );
  nginx = spawn('nginx', ['-c', join(directory, 'nginx.conf'), '-p', directory, '-e', join(directory, 'error.log')], { stdio: 'ignore' });
  service = spawn('systemd-socket-activate', ['-l', socket, process.execPath, ...mirror.argv('serve-times', '--idle', '600')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (let attempt = 0; attempt < 100; attempt++) {
    if ((await get(`${PATH}/@/`).catch(() => ({ status: 0 }))).status === 200) break;
    await sleep(50);
  }
});
afterAll(async () => {
  for (const child of [nginx, service]) {
    const ended = new Promise((resolve) => child?.once('exit', resolve));
    child?.kill();
    await ended;
  }
  mirror.remove();
  rmSync(directory, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** The path goes out as it is written here. */
function get(path: string, headers: Readonly<Record<string, string>> = {}, from = '127.0.0.1', method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method, headers, localAddress: from, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers as Answer['headers'] }));
    });
    sent.on('error', reject).end();
  });
}

test.each([
  ['20261101T000000Z', 'old'],
  ['2026-11-01T00:00:00Z', 'old'],
  ['2026-11-01', 'old'],
  ['2026-11-02T23:59:59Z', 'old'],
  ['2026-11-05T12:00:00Z', 'new'],
  ['2026-11-06', 'new'],
  ['2026-11-08', 'new'],
])('%s is the snapshot that was current then: %s', async (time, body) => {
  expect(await get(`${PATH}/@${time}/repodata/repomd.xml`)).toMatchObject({ status: 200, body });
});

test('nginx serves the bytes: ranges, validators, names with spaces, folders, encoded @', async () => {
  const path = `${PATH}/@2026-11-01/Packages/a%20b+c.rpm`;
  const whole = await get(path);
  expect(whole).toMatchObject({ status: 200, body: '0123456789' });
  expect(await get(path, { Range: 'bytes=2-4' })).toMatchObject({ status: 206, body: '234' });
  expect(await get(path, { 'If-None-Match': whole.headers.etag as string })).toMatchObject({ status: 304 });
  expect(await get(path, {}, undefined, 'HEAD')).toMatchObject({ status: 200, body: '' });
  expect(await get(path.replace('@', '%40'))).toMatchObject({ status: 200, body: '0123456789' });
  expect((await get(`${PATH}/@2026-11-01/repodata/${'a'.repeat(64)}-primary.xml.gz`)).body).toBe('p');
  expect(await get(`${PATH}/@2026-11-01/Packages/`)).toMatchObject({ status: 200, body: expect.stringContaining('a b+c.rpm') });
  expect(await get(`${PATH}/@2026-11-01/Packages`)).toMatchObject({ status: 301, headers: { location: `${PATH}/@2026-11-01/Packages/` } });
  expect(await get(`${PATH}/@2026-11-01`)).toMatchObject({ status: 301, headers: { location: `${PATH}/@2026-11-01/` } });
  expect((await get('/mirror/centos/example.org/images/@2026-11-02/a/b')).body).toBe('image');
});

test('a name of upstream that begins with @ is no time', async () => {
  expect(await get(`${PATH}/@2026-11-06/@scope/file`)).toMatchObject({ status: 200, body: 'scoped' });
  expect(await get(`${PATH}/Packages/../@scope/file`)).toMatchObject({ status: 400 });
  expect(await get('/mirror/centos/example.org/@odd/a')).toMatchObject({ status: 200, body: 'odd' });
  expect(await get('/mirror/centos/example.org/@odd/')).toMatchObject({ status: 200 });
  expect(await get('/mirror/centos/example.org/@odd/@2026-11-02/a')).toMatchObject({ status: 200, body: 'odd' });
});

test('what is announced to go says when, what is gone says so, and no other snapshot stands in for it', async () => {
  expect((await get(`${PATH}/@2026-11-01/repodata/repomd.xml`)).headers.sunset).toBe('Tue, 01 Dec 2026 00:00:00 GMT');
  expect((await get(`${PATH}/@2026-11-06/repodata/repomd.xml`)).headers.sunset).toBeUndefined();
  for (const time of ['2026-11-03', '2026-11-04', '2026-11-05T11:59:59Z'])
    expect(await get(`${PATH}/@${time}/repodata/repomd.xml`)).toMatchObject({
      status: 410,
      body: expect.stringContaining('2026-11-03T00:00:00Z'),
    });
});

test('errors name what there is', async () => {
  expect(await get(`${PATH}/@2026-10-31/`)).toMatchObject({ status: 404, body: expect.stringContaining('2026-11-01T00:00:00Z') });
  expect(await get(`${PATH}/@2999-01-01/`)).toMatchObject({ status: 404, body: expect.stringContaining('2026-11-05T12:00:00Z') });
  expect(await get('/mirror/centos/example.org/empty/@2026-11-01/')).toMatchObject({ status: 404, body: expect.stringContaining('yet') });
  expect(await get('/mirror/centos/nothing/@2026-11-01/')).toMatchObject({ status: 404 });
  expect(await get(`${PATH}/@2026-11-01/nothing`)).toMatchObject({ status: 404, body: expect.stringContaining('no nothing in') });
  expect(await get(`${PATH}/@2026-11-01/`, {}, undefined, 'POST')).toMatchObject({ status: 405 });
  for (const time of ['yesterday', '2026-13-01', '2026-02-30', '2026-11-01T00:00:00', '1', '9'.repeat(500), '-1', '2026-11-01T24:00:00Z'])
    expect(await get(`${PATH}/@${time}/`)).toMatchObject({ status: 400, body: expect.stringContaining('2026-11-22T02:30:00Z') });
});

test('the list of times, for people and for programs', async () => {
  const page = await get(`${PATH}/@/`);
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
  expect(page.body).toContain('<a href="../@2026-11-01T00:00:00Z/">2026-11-01T00:00:00Z</a> (goes on 2026-12-01)');
  expect(page.body).toContain('2026-11-03T00:00:00Z (removed on 2026-11-20)');
  const times = [
    { time: '2026-11-05T12:00:00Z', snapshot: NEW },
    { time: '2026-11-03T00:00:00Z', snapshot: GONE, gone: '2026-11-20T00:00:00.000Z' },
    { time: '2026-11-01T00:00:00Z', snapshot: OLD, goes: '2026-12-01T00:00:00.000Z' },
  ];
  for (const answer of [await get(`${PATH}/@/`, { Accept: 'application/json' }), await get(`${PATH}/@/?json`)])
    expect(JSON.parse(answer.body)).toEqual({ path: `${PATH}/`, times });
  expect(await get(`${PATH}/@`)).toMatchObject({ status: 301, headers: { location: `${PATH}/@/` } });
});

test("a customer's access list holds at every time, however the path is written", async () => {
  const path = '/acme/centos/mos7.0-centos6/os/@2026-11-01/x86_64/repodata/repomd.xml';
  expect(await get(path, {}, '127.0.0.2')).toMatchObject({ status: 200, body: 'secret' });
  const tries = [
    path,
    path.replace('@', '%40'),
    path.replace('/acme', '//acme'),
    path.replace('/acme', '/%61cme'),
    `/mirror/..${path}`,
    `/mirror/%2e%2e${path}`,
    `/mirror/..%2f${path.slice(1)}`,
    `${PATH}/@2026-11-01/../../../../..${path}`,
    `${PATH}/@2026-11-01/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e${path}`,
    `${PATH}/@2026-11-01/..%2f..%2f..%2f..%2f..%2facme/mos7.0-centos6/os/current/x86_64/repodata/repomd.xml`,
    `/.mirror/repositories/${HOSTED}/snapshots/${OLD}/x86_64/repodata/repomd.xml`,
    `/mirror/@/..${path}`,
    '/acme/centos/mos7.0-centos6/os/@/',
    `${path}?json`,
    `/mirror/x%3f/..${path}`,
  ];
  for (const one of tries) {
    const answer = await get(one);
    expect([one, answer.status, answer.body.includes('secret')]).toEqual([one, expect.any(Number), false]);
    expect([one, [400, 403, 404].includes(answer.status)]).toEqual([one, true]);
  }
});

test('nothing outside a snapshot is ever read', async () => {
  const base = `${PATH}/@2026-11-01`;
  const tries = [
    'link',
    'folder/passwd',
    '../../current/repodata/repomd.xml',
    '%2e%2e/x',
    '..%2f..%2fetc%2fpasswd',
    '%00',
    'a%00b',
    '%0d%0aX-Accel-Redirect:%20/x',
    '%ff',
    'a//b',
    './a',
    '%5c..%5c',
    'x'.repeat(300),
    `${'a/'.repeat(1500)}b`,
  ];
  for (const one of tries) {
    const { status, body } = await get(`${base}/${one}`);
    expect([one.slice(0, 30), status >= 400 && status < 500, body.includes('root:')]).toEqual([one.slice(0, 30), true, false]);
  }
  // It answers on.
  expect(await get(`${base}/repodata/repomd.xml`)).toMatchObject({ status: 200 });
});

test('it is started by a socket, and ends when nobody asks', async () => {
  expect(await mirror.run('serve-times')).toMatchObject({ code: 2, stderr: expect.stringContaining('mirror-time.socket') });
  const other = join(directory, 'other.sock');
  const child = spawn('systemd-socket-activate', ['-l', other, process.execPath, ...mirror.argv('serve-times', '--idle', '1')], {
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for (let attempt = 0; attempt < 100 && !readable(other); attempt++) await sleep(50);
  const asked = execFileSync('curl', ['-s', '-i', '--unix-socket', other, `http://x${PATH}/@2026-11-01/repodata/repomd.xml`], {
    encoding: 'utf8',
  });
  expect(asked).toContain(`X-Accel-Redirect: /.mirror/repositories/epel-7/snapshots/${OLD}/repodata/repomd.xml`);
  expect(await ended).toBe(0);
});

function readable(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENXIO';
  }
}

test('times', () => {
  expect(parseTime('2026-11-22')).toBe(Date.UTC(2026, 10, 22));
  expect(parseTime('20261122T023000Z')).toBe(Date.UTC(2026, 10, 22, 2, 30));
  for (const text of ['', '20261122', '2026-11-22T02:30Z', '2026-11-22T02:30:60Z', '2026-11-31', ' 2026-11-22', '+002026-11-22'])
    expect([text, parseTime(text)]).toEqual([text, undefined]);
});

test('paths that nginx could read otherwise are refused', () => {
  expect(segmentsOf('/a/b%20c/')).toEqual({ segments: ['a', 'b c'], slash: true });
  for (const path of [
    'a',
    '/a//b',
    '/a/./b',
    '/a/../b',
    '/a/%2e%2e/b',
    '/a%2fb',
    '/a%00',
    '/a%5cb',
    '/%',
    '/%ff',
    `/${'a'.repeat(5000)}`,
    '/a%0ab',
  ])
    expect([path, segmentsOf(path)]).toEqual([path, undefined]);
});

test.each([
  ['/repodata/repomd.xml', 200, 'new'],
  ['/debug/repodata/repomd.xml', 200, 'new debug'],
  ['/debug/@2026-11-02/repodata/repomd.xml', 200, 'old debug'],
  ['/debug/x/%40scope/file', 200, 'scoped debug'],
  ['/@2026-11-02/repodata/repomd.xml', 200, 'old'],
  ['/debug/Packages/a%20b+c.rpm', 404, ''],
  ['/debug', 301, ''],
  ['/EFI/grub.cfg', 200, 'installer'],
  ['/.treeinfo', 200, 'tree'],
  ['/not/claimed', 404, ''],
])('a copy in the tree of another one answers for its own names: %s', async (path, status, body) => {
  expect(await get(PATH + path)).toMatchObject({ status, ...(status === 200 ? { body } : {}) });
});
test('and in a release', async () => {
  expect(await get(`/releases/3.0${PATH}/debug/repodata/repomd.xml`)).toMatchObject({ status: 200, body: 'old debug' });
});
test('the roots of such copies are nobody’s', async () => {
  expect(await get(`/.inner/debug${PATH}/debug/repodata/repomd.xml`)).toMatchObject({ status: 404 });
  expect((await get(`${PATH}/debug`)).headers['location']).toMatch(`${PATH}/debug/`);
});
