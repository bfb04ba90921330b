import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildPackage } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'upstream-'));
let one: string;
let two: string;
let mirror: TestMirror;
let upstream: Upstream;

beforeAll(() => {
  one = buildPackage(work, 'hello', '1.0');
  two = buildPackage(work, 'hello', '2.0');
});
afterAll(() => rmSync(work, { recursive: true }));

function tree(name: string, ...packages: string[]): string {
  const root = join(work, name);
  mkdirSync(join(root, 'Packages'), { recursive: true });
  for (const path of packages) copyFileSync(path, join(root, 'Packages', basename(path)));
  createrepo(root);
  return root;
}

beforeEach(async () => {
  mirror = new TestMirror();
  upstream = await new Upstream(tree('a', one)).start();
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
  rmSync(join(work, 'a'), { recursive: true, force: true });
});

test('a first sync publishes upstream byte for byte; the second asks once and changes nothing', async () => {
  mirror.repository('epel-7', [upstream.url]);
  const first = await mirror.run('sync', 'epel-7', '--json');
  expect(first).toMatchObject({ code: 0 });
  console.log(first.stdout, first.stderr);
  expect(readFileSync(mirror.published('epel-7', 'Packages/hello-1.0-1.noarch.rpm'))).toEqual(readFileSync(one));
  const asked = upstream.requests.length;
  const second = await mirror.run('sync', 'epel-7');
  expect(second).toMatchObject({ code: 0, stdout: expect.stringContaining('epel-7: unchanged (1 packages') });
  expect(upstream.requests.slice(asked)).toEqual(['repodata/repomd.xml']);
  expect(mirror.snapshots('epel-7')).toHaveLength(1);
  tree('a', two);
  const third = await mirror.run('sync', '--all');
  console.log(third.stdout, third.stderr, (await mirror.run('status')).stdout, mirror.stateOf('epel-7'));
});
