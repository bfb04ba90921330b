/** What operators did with a codename outlives the server: a backup has it, and a restore brings it back with the packages. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HostedMirror, signedRpm } from './support/hosted';
import { dropKey, makeKey, type TestKey } from './support/keys';

jest.setTimeout(180_000);

const CODENAME = 'acme/mos7.0-centos6';
const work = mkdtempSync(join(tmpdir(), 'operated-'));
/** Another file system than that of the content: a backup beside it is refused. */
const elsewhere = mkdtempSync('/dev/shm/operated-');
const mirrors: HostedMirror[] = [];
let own: TestKey;
let owner: TestKey;

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'mirror');
  owner = makeKey(join(work, 'owner'), 'acme');
});
afterAll(() => {
  for (const key of [own, owner]) dropKey(key);
  for (const mirror of mirrors) mirror.remove();
  rmSync(work, { recursive: true });
  rmSync(elsewhere, { recursive: true });
});

function server(): HostedMirror {
  const mirror = new HostedMirror(own, owner);
  mirrors.push(mirror);
  mirror.codename(CODENAME);
  mirror.write('definitions/backup.yaml', {
    kind: 'backup',
    name: 'mirror.example.org',
    repository: { type: 'directory', path: join(elsewhere, 'restic') },
    keep: { daily: 7, weekly: 5, monthly: 12 },
    checkEveryDays: 30,
    everyHours: 24,
  });
  mirror.write('secrets/backup-password', 'correct horse\n');
  return mirror;
}

async function said(mirror: HostedMirror, ...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await mirror.run(...argv);
  expect(`${code} ${code === 0 ? '' : stderr}`).toBe('0 ');
  return stdout;
}

test('the freeze, the reasons of holdback and the snapshots by time are on a new server after a restore', async () => {
  const first = server();
  await first.prepare();
  const files = ['nova', 'openssl', 'glance'].map((name) => signedRpm(work, owner, { name })) as [string, string, string];
  await said(first, 'publish', `${CODENAME}/os`, files[0]);
  await said(first, 'ga', 'freeze', CODENAME);
  await said(first, 'holdback', 'add', CODENAME, files[1], '--reason', 'bug 7');
  await said(first, 'holdback', 'add', CODENAME, files[2], '--reason', 'bug 8');
  await said(first, 'holdback', 'remove', CODENAME, 'glance', '--reason', 'good again');
  await said(first, 'backup', 'run');

  const second = server();
  await second.prepare();
  expect(await said(second, 'holdback', 'list')).toBe('Nothing is held back.\n');
  await said(second, 'backup', 'restore');
  for (const argv of [
    ['ga', 'list', '--json'],
    ['holdback', 'list', '--json'],
  ])
    expect(JSON.parse(await said(second, ...argv))).toEqual(JSON.parse(await said(first, ...argv)));
  const refused = await second.run('publish', `${CODENAME}/os`, files[2]);
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('is frozen since')]);
  const links = join(second.root, 'public-snapshots', CODENAME);
  const latest = readFileSync(join(links, 'holdback-latest.target.txt'), 'utf8').trim();
  expect(readdirSync(join(links, latest, 'x86_64/Packages'))).toContain('openssl-1-1.noarch.rpm');
});
