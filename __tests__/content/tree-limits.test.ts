/** File trees keep to what all syncs of a host share: slots, the hosts that may be private, the proxy. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TreeTrustDefinition } from '../../desired-state/definitions';
import { TestMirror } from './support/mirror';
import { type Daemon, sha256sums, startRsyncd, write } from './support/tree-upstream';
import { Upstream } from './support/upstream';
import { waitUntil } from '../support/wait';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'tree-limits-'));
let mirror: TestMirror;
let root: string;
let web: Upstream;
let daemon: Daemon | undefined;
let proxy: Server | undefined;

afterAll(() => rmSync(work, { recursive: true }));
beforeEach(async () => {
  mirror = new TestMirror();
  root = mkdtempSync(join(work, 'root-'));
  write(root, { a: 'a', b: 'b' });
  write(root, { SUMS: sha256sums(root, ['a', 'b']) });
  web = await new Upstream(root).start();
});
afterEach(async () => {
  await web.stop();
  await daemon?.stop();
  proxy?.closeAllConnections();
  proxy?.close();
  daemon = proxy = undefined;
  mirror.remove();
});

const sums: TreeTrustDefinition = { mode: 'checksums', files: ['SUMS'], reason: 'a test upstream signs nothing' };
const server = (sync: object): void =>
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, sync });

test('a tree that has something to fetch waits for a slot; an unchanged one does not', async () => {
  mirror.tree('small', [web.url], { trust: sums });
  expect((await mirror.run('sync', 'small')).code).toBe(0);
  write(root, { 'big/big': Buffer.alloc(6_000_000, 7) });
  write(root, { 'big/SUMS': sha256sums(join(root, 'big'), ['big']) });
  daemon = await startRsyncd(root);
  server({ slots: 1, bandwidth: 1_000_000 });
  mirror.tree('big', [`rsync://127.0.0.1:${daemon.port}/files/big/`], { trust: sums });
  const long = mirror.start('sync', 'big');
  await waitUntil(() => /1 are to be fetched/.test(long.said()));
  expect(await mirror.run('sync', 'small')).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged'), stderr: '' });
  write(root, { a: 'another' });
  write(root, { SUMS: sha256sums(root, ['a', 'b']) });
  const waited = await mirror.run('sync', 'small');
  expect(waited).toMatchObject({ code: 0, stderr: expect.stringContaining('small waits for a slot (1 sync is running: big)') });
  expect(readFileSync(mirror.published('small', 'a'), 'utf8')).toBe('another');
  expect((await long.done).code).toBe(0);
});

test('only hosts that the tree names may have private addresses, wherever a redirect leads', async () => {
  const other = web.url.replace('127.0.0.1', 'localhost');
  const paths: string[] = [];
  web.handlers.set('a', (request, response) => {
    paths.push(request.headers.host as string);
    if ((request.headers.host as string).startsWith('localhost')) return false;
    response.writeHead(302, { location: `${other}a` }).end();
    return true;
  });
  mirror.tree('t', [web.url], { trust: sums });
  expect(await mirror.run('sync', 't')).toMatchObject({ code: 6, stderr: expect.stringMatching(/localhost is not a public address/) });
  expect(paths.every((host) => host.startsWith('127.'))).toBe(true);
  mirror.tree('t', [web.url, `${other}nothing/`], { trust: sums });
  paths.length = 0;
  expect((await mirror.run('sync', 't')).code).toBe(0);
  expect([...new Set(paths.map((host) => host.split(':')[0]))]).toEqual(['127.0.0.1', 'localhost']);
});

test('the proxy brings a tree', async () => {
  const asked: string[] = [];
  proxy = createServer((request, response) => {
    asked.push(request.url as string);
    response.end(readFileSync(join(root, new URL(request.url as string).pathname.slice(1))));
  });
  await new Promise<void>((resolve) => proxy?.listen(0, '127.0.0.1', resolve));
  server({ proxy: { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, except: [] } });
  mirror.tree('t', ['http://upstream.example.org/'], { trust: sums });
  expect((await mirror.run('sync', 't')).code).toBe(0);
  expect([...new Set(asked)].sort()).toEqual(['SUMS', 'a', 'b'].map((path) => `http://upstream.example.org/${path}`));
});
