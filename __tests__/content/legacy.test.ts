/** Old URLs with a real nginx, as a deploy configures it, and the command that says who uses them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { legacyLines, openLegacyLogs, parseRequest } from '../../content/legacy';
import { aliasLocations, LEGACY_LOG, legacyLog } from '../../desired-state/render/alias';
import { ownerLocation, servingSnippet, vhost } from '../../desired-state/render/nginx';
import { TestMirror } from './support/mirror';

jest.setTimeout(60_000);

const NEW = '/mos-repos/centos/mos7.0-centos6';
let mirror: TestMirror;
let nginx: ChildProcess;
let port: number;
const directory = mkdtempSync(join(tmpdir(), 'legacy-'));
const log = join(directory, 'mirror-legacy.log');

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: found } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return found;
}

beforeAll(async () => {
  mirror = new TestMirror();
  for (const path of [directory, mirror.directory]) chmodSync(path, 0o755);
  const component = (owner: string, publicPath: string, name: string): void => {
    const tree = join(mirror.root, 'repositories', owner, name, 'current');
    for (const [path, text] of Object.entries({
      'x86_64/repodata/repomd.xml': `${owner} ${name} x86_64`,
      'x86_64/Packages/a-1.0~b+c-1.x86_64.rpm': 'a package',
      'i386/repodata/repomd.xml': `${owner} ${name} i386`,
      'Source/repodata/repomd.xml': `${owner} ${name} Source`,
      'Source/SPackages/a.src.rpm': 'a source',
      'RPM-GPG-KEY-mos7.0': 'a key',
    })) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), text);
    }
    mkdirSync(join(mirror.root, 'www', publicPath), { recursive: true });
    symlinkSync(tree, join(mirror.root, 'www', publicPath, name));
  };
  for (const name of ['cr', 'updates']) component('mos', NEW.slice(1), name);
  component('acme', 'acme/centos/mos7.0-centos6', 'updates');
  const alias = (id: string, old: string, target: string, components: Record<string, string>): void => {
    mirror.write(`definitions/aliases/${id}.yaml`, {
      kind: 'alias',
      id,
      path: old,
      codename: 'mos/mos7.0-centos6',
      components,
      architecture: 'x86_64',
    });
    const directories = Object.entries(components).map(([name, to]) => ({ path: `${old}/${name}`, target: `${target}/${to}` }));
    const text = aliasLocations({ id, directories, architectures: ['x86_64', 'i386'], keyFile: 'RPM-GPG-KEY-mos7.0' });
    writeFileSync(join(directory, `locations/alias+${id}.conf`), text);
  };
  mkdirSync(join(directory, 'locations'));
  alias('mos-centos-6', 'mos/centos-6', NEW.slice(1), { proposed: 'cr', updates: 'updates' });
  alias('mos6.1', 'mos/centos-6/mos6.1', NEW.slice(1), { updates: 'updates' });
  alias('closed', 'old/acme', 'acme/centos/mos7.0-centos6', { updates: 'updates' });

  port = await freePort();
  writeFileSync(join(directory, 'serving.conf'), servingSnippet());
  const here = (text: string): string =>
    text
      .replaceAll('/etc/mirror/current/nginx/serving.conf', join(directory, 'serving.conf'))
      .replaceAll('/etc/mirror/current/nginx', directory);
  writeFileSync(join(directory, 'generation.conf'), '');
  writeFileSync(join(directory, 'locations/acme.conf'), here(ownerLocation({ owner: 'acme', prefix: 'acme', networks: ['127.0.0.2'] })));
  const logs = legacyLog().replace(LEGACY_LOG, log).replace('/var/log/nginx/access.log', join(directory, 'access.log'));
  writeFileSync(join(directory, 'locations/legacy-log.conf'), logs);
  const site = here(vhost({ serverName: 'localhost', port, ipv6: false, storageRoot: mirror.root }));
  writeFileSync(
    join(directory, 'nginx.conf'),
    `daemon off; master_process off; user root; pid ${directory}/pid; error_log ${directory}/error.log warn;
events {}
http { client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b; fastcgi_temp_path ${directory}/c;
uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e; ${site} }`,
  );
  nginx = spawn('nginx', ['-c', join(directory, 'nginx.conf'), '-p', directory, '-e', join(directory, 'error.log')], { stdio: 'ignore' });
  for (let attempt = 0; attempt < 100; attempt++) {
    if ((await get('/').catch(() => ({ status: 0 }))).status === 200) break;
    await sleep(50);
  }
});
afterAll(async () => {
  const ended = new Promise((resolve) => nginx.once('exit', resolve));
  nginx.kill();
  await ended;
  mirror.remove();
  rmSync(directory, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

/** Like an old client: it follows nothing. */
function get(path: string, from = '127.0.0.1', agent = 'urlgrabber/3.9.1 yum/3.2.29'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'user-agent': agent };
    const sent = request({ host: '127.0.0.1', port, path, headers, localAddress: from, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, location: response.headers.location }));
    });
    sent.on('error', reject).end();
  });
}

test.each([
  ['/mos/centos-6/updates/repodata/repomd.xml', 'mos updates x86_64'],
  ['/mos/centos-6/updates/x86_64/repodata/repomd.xml', 'mos updates x86_64'],
  ['/mos/centos-6/updates/i386/repodata/repomd.xml', 'mos updates i386'],
  ['/mos/centos-6/updates/Source/repodata/repomd.xml', 'mos updates Source'],
  ['/mos/centos-6/updates/Source/SPackages/a.src.rpm', 'a source'],
  ['/mos/centos-6/updates/Packages/a-1.0~b+c-1.x86_64.rpm', 'a package'],
  ['/mos/centos-6/updates/Packages/a-1.0%7Eb%2Bc-1.x86_64.rpm', 'a package'],
  ['/mos/centos-6/proposed/repodata/repomd.xml', 'mos cr x86_64'],
  ['/mos/centos-6/mos6.1/updates/repodata/repomd.xml', 'mos updates x86_64'],
  ['/mos/centos-6/mos6.1/updates/x86_64/repodata/repomd.xml', 'mos updates x86_64'],
  ['/mos/centos-6/mos6.1/updates/RPM-GPG-KEY-mos6.1', 'a key'],
  ['//mos/./centos-6//updates/repodata/repomd.xml', 'mos updates x86_64'],
])('%s is answered at once: %s', async (path, body) => {
  expect(await get(path)).toEqual({ status: 200, body, location: undefined });
});

test.each([
  ['/mos/centos-6/updates', 'x86_64/'],
  ['/mos/centos-6/updates/', 'x86_64/'],
  ['/mos/centos-6/updates/x86_64', 'Packages/'],
  ['/mos/centos-6/updates/Source/SPackages', 'a.src.rpm'],
  ['/mos/centos-6/updates/Packages', 'a-1.0'],
  ['/mos/centos-6/updates/repodata', 'repomd.xml'],
])('the directory %s is listed, with and without its slash, and never redirected', async (path, entry) => {
  expect(await get(path)).toEqual({ status: 200, body: expect.stringContaining(entry) as string, location: undefined });
});

test.each(['/mos/centos-6/updates/nothing', '/mos/centos-6/mos6.1/os/repodata/repomd.xml'])('%s is not there', async (path) => {
  expect(await get(path)).toMatchObject({ status: 404, location: undefined });
});

test("an old URL of a customer's codename obeys that customer's list, and tells nobody else what exists", async () => {
  const paths = ['updates', 'updates/', 'updates/x86_64', 'updates/repodata/repomd.xml', 'updates/nothing', 'updates/RPM-GPG-KEY-mos6.1'];
  const denied = await Promise.all(paths.map((path) => get(`/old/acme/${path}`)));
  const [first] = denied as [Answer];
  expect(first.status).toBe(403);
  for (const one of denied) expect(one).toEqual(first);
  expect(await get('/old/acme/updates/repodata/repomd.xml', '127.0.0.2')).toMatchObject({ status: 200, body: 'acme updates x86_64' });
});

test('who uses old URLs: counted by client and directory, over rotated logs, within the days asked for', async () => {
  rmSync(log, { force: true });
  nginx.kill('SIGUSR1');
  await sleep(200);
  for (const path of ['updates/repodata/repomd.xml', 'updates/nothing', 'mos6.1/updates/x86_64/repodata/repomd.xml'])
    await get(`/mos/centos-6/${path}`, '127.0.0.1', 'yum "6"');
  await get(`${NEW}/updates/x86_64/repodata/repomd.xml`);
  await get('/mos/centos-6/updates/repodata/repomd.xml', '127.0.0.3', 'dnf');
  await get('/old/acme/updates/', '127.0.0.1');
  const line = (at: string, client: string): string =>
    `${client} - - [${at}] "GET /mos/centos-6/updates/ HTTP/1.0" 200 5 "-" "old \\x22yum\\x22"\n`;
  const yesterday = new Date(Date.now() - 26 * 3600 * 1000);
  const [, month, day, year, time] = /^\w+ (\w+) (\d+) (\d+) (\S+)/.exec(yesterday.toUTCString().replace(/^(\w+), (\d+) (\w+)/, '$1 $3 $2')) as unknown as string[]; // prettier-ignore
  const gone = `127.0.0.9 - - [01/Jan/2020:00:00:00 +0000] "GET /mos/centos-6/updates/ HTTP/1.0" 200 5 "-" "old"\n`;
  writeFileSync(`${log}.1`, `${gone}cut off by a crash [`);
  writeFileSync(`${log}.2.gz`, gzipSync(line(`${day}/${month}/${year}:${time} +0000`, '127.0.0.4')));
  writeFileSync(`${log}.bak`, line(`${day}/${month}/${year}:${time} +0000`, '127.0.0.5'));

  const uses = async (...argv: string[]): Promise<unknown> => {
    const ran = await mirror.run('legacy', '--log', log, '--json', ...argv);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(ran.stdout);
  };
  const updates = { alias: 'mos-centos-6', directory: '/mos/centos-6/updates' };
  expect(await uses('--days', '1')).toMatchObject({
    days: 1,
    uses: [
      { ...updates, client: '127.0.0.1', requests: 2, refused: 1, agent: 'yum \\x226\\x22', path: '/mos/centos-6/updates/nothing' },
      { alias: 'mos6.1', directory: '/mos/centos-6/mos6.1/updates', client: '127.0.0.1', requests: 1, refused: 0 },
      { ...updates, client: '127.0.0.3', requests: 1, refused: 0, agent: 'dnf' },
      { alias: 'closed', directory: '/old/acme/updates', client: '127.0.0.1', requests: 1, refused: 1 },
    ],
  });
  expect(((await uses()) as { uses: { client: string }[] }).uses.map(({ client }) => client)).toEqual(
    expect.arrayContaining(['127.0.0.4']),
  );
  expect(JSON.stringify(await uses('--days', '9999'))).toContain('127.0.0.9');
  expect(JSON.stringify(await uses('--days', '9999'))).not.toContain('127.0.0.5');
  const text = (await mirror.run('legacy', '--log', log)).stdout;
  expect(text).toMatch(/^OLD URL +CLIENT +REQUESTS +REFUSED +LAST +PROGRAM\n\/mos\/centos-6\/updates +127\.0\.0\.1 +2 +1 /);
  rmSync(join(mirror.configuration, 'definitions/aliases/closed.yaml'));
  expect((await mirror.run('legacy', '--log', log)).stdout).toContain('/old/acme/updates/ (no longer declared)');
  expect(readFileSync(join(directory, 'error.log'), 'utf8')).not.toMatch(/uninitialized|legacy/);
});

test('without a log, and without requests, nobody used them; an account that may not read it is told so', async () => {
  const none = await mirror.run('legacy', '--log', join(directory, 'none', 'log'), '--days', '3');
  expect(none).toEqual({ code: 0, stdout: 'nobody used an old URL in the last 3 days\n', stderr: '' });
  expect(await mirror.run('legacy', '--days', '0')).toMatchObject({ code: 2, stdout: '' });
  const closed = Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/var/log/nginx' });
  const opening = jest.spyOn(jest.requireActual<typeof import('node:fs')>('node:fs'), 'readdirSync').mockImplementation(() => {
    throw closed;
  });
  expect(() => openLegacyLogs(log)).toThrow(expect.objectContaining({ code: 'LOG_UNREADABLE', exitCode: 7 }) as Error);
  opening.mockRestore();
});

test.each([
  ['nothing', ''],
  ['no request', '127.0.0.1 - - [22/Nov/2026:20:17:42 +0000] "\\x16\\x03" 400 0 "-" "-"'],
  ['no month', '127.0.0.1 - - [22/Foo/2026:20:17:42 +0000] "GET /a HTTP/1.1" 200 0 "-" "-"'],
])('a line that is %s counts for nothing', (_what, line) => {
  expect(parseRequest(line)).toBeUndefined();
});

test('a line says when, in any time zone, and which path was looked up; a terminal is not for clients to write to', () => {
  const line = '2001:db8::7 - a b [22/Nov/2026:20:17:42 +0130] "GET //a/./b%2Bc?x=1 HTTP/1.1" 304 0 "-" "-"';
  expect(parseRequest(line)).toMatchObject({ client: '2001:db8::7', at: new Date('2026-11-22T18:47:42Z'), path: '/a/b+c', status: 304 });
  const use = { directory: '/a', client: 'c', requests: 1, refused: 0, first: 'f', last: 'l', path: '/a' };
  expect(legacyLines([{ ...use, agent: '\u001b[31m\u202e' }], 1)[1]).toMatch(/\?\[31m\?$/);
});
