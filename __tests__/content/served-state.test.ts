/** What was published is looked at before the next run relies on it. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Lock, lockHolder } from '../../content/lock';
import { sha256 } from '../../desired-state/canonical';
import type { RepositoryDefinition } from '../../desired-state/definitions';
import { HttpClient, getSmall } from '../../downloads/http';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'served-'));
const ID = 'epel-7';
const packages: Record<string, string> = {};
let own: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const name of ['a', 'b', 'c']) packages[name] = buildPackage(join(work, 'once'), name, '1');
  // The same version with other content: it is built from random bytes.
  packages['a, rebuilt'] = buildPackage(join(work, 'again'), 'a', '1');
  own = makeKey(join(work, 'own'), 'own');
});
afterAll(() => {
  dropKey(own);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  mirror.signBy(own);
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

/** `folder/name`: of which package which file. */
function upstreamHas(...places: string[]): void {
  for (const name of readdirSync(tree)) rmSync(join(tree, name), { recursive: true });
  for (const place of places) {
    const [folder = '', name = ''] = place.split('/');
    mkdirSync(join(tree, folder), { recursive: true });
    copyFileSync(packages[name] as string, join(tree, folder, basename(packages[name] as string)));
  }
  createrepo(tree);
}

function declare(view: 'verbatim' | 'accumulate', more: Partial<RepositoryDefinition> = {}): void {
  mirror.repository(ID, [upstream.url], undefined, { view, ...more });
}

const sync = (): ReturnType<TestMirror['run']> => mirror.run('sync', ID);
const published = (): string[] => readdirSync(mirror.published(ID), { recursive: true }).map(String).sort();

describe('metadata that somebody removed from what is served', () => {
  test.each(['repomd.xml', 'primary.xml.gz'])('%s of a verbatim view comes back, although upstream has nothing new', async (name) => {
    upstreamHas('x/a');
    declare('verbatim');
    expect(await sync()).toMatchObject({ code: 0 });
    const before = published();
    for (const file of before.filter((path) => path.endsWith(name))) rmSync(mirror.published(ID, file));
    expect(await sync()).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
    expect(published()).toEqual(before);
    expect(await sync()).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
  });

  test.each(['repomd.xml', 'primary.xml.gz'])('%s of a merged view: the error names the snapshot before it', async (name) => {
    upstreamHas('x/a');
    declare('accumulate');
    await sync();
    const first = mirror.currentTarget(ID) as string;
    upstreamHas('x/b');
    await sync();
    for (const file of published().filter((path) => path.endsWith(name))) rmSync(mirror.published(ID, file));
    const ran = await sync();
    expect(ran).toMatchObject({ code: 7, stderr: expect.stringContaining(`what ${ID} publishes cannot be read`) });
    expect(ran.stderr).toContain(`ln -sfn snapshots/NAME ${join(mirror.root, 'repositories', ID, 'current')}`);
    rmSync(mirror.published(ID).replace(/\/$/, ''));
    symlinkSync(first, join(mirror.root, 'repositories', ID, 'current'));
    expect(await sync()).toMatchObject({ code: 0 });
    expect(published()).toEqual(expect.arrayContaining([expect.stringContaining('a-1-1'), expect.stringContaining('b-1-1')]));
  });

  test('a damaged merged file is not blamed on upstream', async () => {
    upstreamHas('x/a');
    declare('accumulate');
    await sync();
    for (const file of published().filter((path) => path.endsWith('primary.xml.gz'))) {
      rmSync(mirror.published(ID, file));
      writeFileSync(mirror.published(ID, file), 'no gzip');
    }
    rmSync(join(mirror.root, 'repositories', ID, 'records'), { recursive: true });
    upstreamHas('x/a', 'x/b');
    const ran = await sync();
    expect(ran).toMatchObject({ code: 7, stderr: expect.stringContaining(`what ${ID} publishes cannot be read`) });
    expect(ran.stderr).not.toContain('upstream, or put another source');
  });
});

test('a repository that shrank is refused, too, where the record of what it had is lost', async () => {
  upstreamHas('x/a', 'x/b', 'x/c');
  declare('verbatim');
  await sync();
  rmSync(join(mirror.root, 'repositories', ID, 'records'), { recursive: true });
  upstreamHas();
  expect(await sync()).toMatchObject({ code: 6, stderr: expect.stringContaining('lists 0 packages, and listed 3 before') });
});

describe('one package at two places', () => {
  test('is one in the merged view that goes on from a verbatim one', async () => {
    upstreamHas('x/a', 'y/a', 'x/b');
    declare('verbatim');
    expect(await sync()).toMatchObject({ code: 0 });
    declare('accumulate');
    expect(await sync()).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
    expect(await sync()).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged (2 packages') });
  });

  test('with other content: refused, and with the waiver the first counts', async () => {
    upstreamHas('x/a', 'y/a, rebuilt');
    declare('accumulate');
    expect(await sync()).toMatchObject({ code: 6, stderr: expect.stringContaining('is listed a second time with other content') });
    declare('accumulate', { waivers: [{ allow: 'changedPackages', reason: 'a test' }] });
    expect(await sync()).toMatchObject({ code: 0 });
  });
});

test('a version that comes back with other content while the former one is still served to older clients', async () => {
  upstreamHas('x/a', 'x/b');
  declare('verbatim');
  await sync();
  upstreamHas('x/b');
  expect(await sync()).toMatchObject({ code: 0 });
  upstreamHas('x/a, rebuilt', 'x/b');
  expect(await sync()).toMatchObject({ code: 6, stderr: expect.stringContaining('was published with other content') });
  expect(readFileSync(mirror.published(ID, 'x/a-1-1.noarch.rpm'))).toEqual(readFileSync(packages['a'] as string));
  upstreamHas('x/a', 'x/b');
  expect(await sync()).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
});

describe('a package that upstream dropped, and that was cut in the store', () => {
  const stored = (): string => {
    const hex = sha256(readFileSync(packages['a'] as string));
    return join(mirror.root, 'store/sha256', hex.slice(0, 2), hex);
  };

  test('comes back from the published tree where that has another copy', async () => {
    upstreamHas('x/a', 'x/b');
    declare('accumulate');
    await sync();
    const file = stored();
    copyFileSync(file, `${file}.copy`);
    renameSync(`${file}.copy`, file);
    truncateSync(file, 100);
    upstreamHas('x/b', 'x/c');
    expect(await sync()).toMatchObject({ code: 0 });
    expect(readFileSync(mirror.published(ID, 'x/a-1-1.noarch.rpm'))).toEqual(readFileSync(packages['a'] as string));
    expect(readFileSync(file)).toEqual(readFileSync(packages['a'] as string));
  });

  test('is not published; a scrub notes it, and syncs go on', async () => {
    upstreamHas('x/a', 'x/b');
    declare('accumulate');
    await sync();
    const before = mirror.currentTarget(ID);
    truncateSync(stored(), 100);
    upstreamHas('x/b', 'x/c');
    const ran = await sync();
    expect(ran).toMatchObject({ code: 7, stderr: expect.stringContaining('is damaged, too; upstream lists it no more') });
    expect(ran.stderr).toContain('mirrorctl scrub --all');
    expect(mirror.currentTarget(ID)).toBe(before);
    expect(await mirror.run('scrub', '--all')).toMatchObject({ code: 6 });
    expect(await sync()).toMatchObject({ code: 6, stderr: expect.stringContaining('degraded') });
    expect(published()).toEqual(expect.arrayContaining(['x/b-1-1.noarch.rpm', 'x/c-1-1.noarch.rpm']));
  });
});

test('what was published is not called failed where the state cannot be written', async () => {
  upstreamHas('x/a');
  declare('verbatim');
  await sync();
  const before = mirror.currentTarget(ID);
  mkdirSync(join(mirror.state, 'repositories', `${ID}.json.new`));
  upstreamHas('x/a', 'x/b');
  const ran = await mirror.run('sync', ID, '--json');
  expect(ran.code).toBe(7);
  const { repositories } = JSON.parse(ran.stdout) as { repositories: object[] };
  expect(repositories).toEqual([
    expect.objectContaining({
      result: 'published',
      error: expect.objectContaining({ message: expect.stringContaining('the state of epel-7 cannot be written') }),
    }),
  ]);
  expect(ran.stderr).toMatch(/epel-7: published .*; the state of epel-7 cannot be written/);
  expect(mirror.currentTarget(ID)).not.toBe(before);
});

test('whoever looks for the holder of a lock takes it from nobody', async () => {
  const path = join(work, 'lock');
  // Of a process that died.
  writeFileSync(path, '{}\n');
  let looks = 0;
  const end = Date.now() + 1500;
  const look = async (): Promise<void> => {
    while (Date.now() < end) {
      expect(await lockHolder(path)).toMatch(/^(dead|none|alive)$/);
      looks++;
    }
  };
  const take = async (): Promise<void> => {
    while (Date.now() < end) {
      await (await Lock.take(path, 'epel-7', { lookSeconds: 0.2 })).release();
      writeFileSync(path, '{}\n');
    }
  };
  await Promise.all([look(), look(), look(), take()]);
  expect(looks).toBeGreaterThan(10);
});

test('a redirect whose path is not ASCII leads where its bytes say', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (request.url === '/from') response.writeHead(301, { location: Buffer.from('/Päck').toString('latin1') }).end();
    else response.end('here');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new HttpClient();
  const { bytes } = await getSmall(client, `http://127.0.0.1:${(server.address() as AddressInfo).port}/from`, { maxBytes: 100 });
  expect([bytes.toString(), asked[1]]).toEqual(['here', '/P%c3%a4ck']);
  await client.close();
  server.close();
});
