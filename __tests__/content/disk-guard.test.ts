/** The disk guard on real file systems, by bytes and by inodes; and what is declared never to be synced. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ServerDefinition } from '../../desired-state/definitions';
import { buildPackage } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'guard-'));
const packages: Record<string, string> = {};
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const name of ['a', 'b', 'c']) packages[name] = buildPackage(work, name, '1', 1_000_000);
});
afterAll(() => rmSync(work, { recursive: true }));
beforeEach(async () => {
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
});
afterEach(() => upstream.stop());

function publishUpstream(...names: string[]): void {
  rmSync(join(tree, 'Packages'), { recursive: true, force: true });
  mkdirSync(join(tree, 'Packages'));
  for (const name of names) copyFileSync(packages[name] as string, join(tree, 'Packages', basename(packages[name] as string)));
  createrepo(tree);
}

interface Disk {
  readonly mirror: TestMirror;
  readonly declare: (more: Partial<ServerDefinition>) => void;
  /** Fills it until at most so much of it is free, in percent. */
  readonly fill: (freePercent: number) => void;
}

/** A mirror on an ext4 of its own. @param options of mkfs */
async function withDisk(options: readonly string[], work_: (disk: Disk) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(work, 'disk-'));
  const [image, root] = [join(directory, 'image'), join(directory, 'root')];
  execFileSync('truncate', ['-s', '64M', image]);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', ...options, image]);
  mkdirSync(root);
  execFileSync('mount', ['-o', 'loop', image, root]);
  const mirror = new TestMirror({ root, ownMount: true });
  try {
    mirror.repository('epel-7', [upstream.url]);
    await work_({
      mirror,
      declare: (more) => mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: root, ownMount: true, ...more }),
      fill: (freePercent) => {
        rmSync(join(root, 'ballast'), { force: true });
        const { blocks, bavail, bsize } = statfsSync(root);
        writeFileSync(join(root, 'ballast'), Buffer.alloc((bavail - (blocks * freePercent) / 100) * bsize));
      },
    });
  } finally {
    execFileSync('umount', [root]);
    mirror.remove();
  }
}

test('what would make the disk too full is not fetched; nothing is asked for while it is too full', async () => {
  await withDisk([], async ({ mirror, declare, fill }) => {
    publishUpstream('a');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    const before = mirror.currentTarget('epel-7');
    fill(7);
    publishUpstream('a', 'b', 'c');
    const ran = await mirror.run('sync', 'epel-7');
    expect(ran).toMatchObject({ code: 7 });
    expect(ran.stderr).toMatch(
      /epel-7: failed: \/\S+ is 9[23]\.\d % full; epel-7 needs 1\.9 MiB more, which would make it 9[56]\.\d %: nothing is added beyond 95 %\n +What is published stays and is served\. "mirrorctl retention plan"/,
    );
    expect(mirror.currentTarget('epel-7')).toBe(before);
    expect(mirror.stateOf('epel-7')).toMatchObject({ lastRun: { result: 'failed', error: { code: 'DISK_GUARD' } } });

    fill(3);
    const requests = upstream.requests.length;
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/ is 9[67]\.\d % full: nothing is added beyond 95 %/),
    });
    expect(upstream.requests).toHaveLength(requests);
    expect((await mirror.run('status', 'epel-7')).stdout).toMatch(/ is 9[67]\.\d % full: nothing is added beyond 95 %/);
    const old = mkdtempSync(join(work, 'old-'));
    copyFileSync(packages['b'] as string, join(old, 'b.rpm'));
    expect(await mirror.run('import', old)).toMatchObject({ code: 7, stderr: expect.stringContaining('nothing is added beyond 95 %') });
    expect(await mirror.run('import', old, '--dry-run')).toMatchObject({ code: 0 });
    // It reads, and mends with what is there.
    expect(await mirror.run('scrub', '--all')).toMatchObject({ code: 0 });

    declare({ diskGuard: { stopAtPercent: 99 } });
    fill(7);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    expect(mirror.currentTarget('epel-7')).not.toBe(before);
  });
});

test('inodes count as bytes do', async () => {
  await withDisk(['-N', '4000'], async ({ mirror, declare }) => {
    publishUpstream('a');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
    const { files, ffree } = statfsSync(mirror.root);
    const ballast = join(mirror.root, 'ballast');
    mkdirSync(ballast);
    const used = Math.ceil(files * 0.96) - (files - ffree);
    for (let i = 0; i < used; i++) writeFileSync(join(ballast, String(i)), '');
    publishUpstream('a', 'b');
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/epel-7: failed: 96\.\d % of the inodes of \/\S+ are used: nothing is added beyond 95 %/),
    });
    declare({ diskGuard: { stopAtPercent: 98 } });
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
  });
});

test('what is declared never to be synced: no request, what is published stays, and the status says why', async () => {
  const mirror = new TestMirror();
  try {
    publishUpstream('a');
    mirror.repository('epel-7', [upstream.url]);
    expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0 });
    const before = mirror.currentTarget('epel-7');
    const why = 'upstream was shut down in June 2026';
    mirror.repository('epel-7', [upstream.url], undefined, { retired: why });
    publishUpstream('a', 'b');
    const requests = upstream.requests.length;
    for (const option of ['--all', '--new'])
      expect(await mirror.run('sync', option)).toMatchObject({ code: 0, stdout: 'nothing to sync\n' });
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(`epel-7 is declared never to be synced: ${why}`),
    });
    expect(upstream.requests).toHaveLength(requests);
    expect(mirror.currentTarget('epel-7')).toBe(before);
    const status = (await mirror.run('status')).stdout;
    expect(status).toMatch(/epel-7 +retired /);
    expect(status).toContain(`epel-7: is not synced any more, and stays as it is: ${why}`);
  } finally {
    mirror.remove();
  }
});
