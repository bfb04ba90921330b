/** The commands of the page on downloads, as they stand there, one after the other in one shell. */
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { codeBlocks } from '../lab/support';
import { World } from './world';

jest.setTimeout(120_000);

test('every command of the page runs, and the files are those that it promises', async () => {
  const world = await new World().fill();
  try {
    // The proxy serves the mirror under its name.
    symlinkSync(world.mirror.root, join(world.upstream.root, 'mirror.example.org'));
    writeFileSync(join(world.mirror.root, 'RPM-GPG-KEY-mirror'), world.mirrorKey.publicKey);
    world.publish(world.packages, '3.0');
    mkdirSync(join(world.mirror.root, 'releases/3.0'), { recursive: true });
    symlinkSync(join(world.mirror.root, 'mirror'), join(world.mirror.root, 'releases/3.0/mirror'));
    const cwd = join(world.directory, 'shell');
    mkdirSync(join(cwd, 'bin'), { recursive: true });
    for (const name of ['lists', 'keys']) cpSync(join(world.directory, name), join(cwd, name), { recursive: true });
    writeFileSync(join(cwd, 'bin/download-mirror'), `#!/bin/sh\nexec ${process.execPath} ${world.bundle} "$@"\n`);
    chmodSync(join(cwd, 'bin/download-mirror'), 0o755);
    const blocks = codeBlocks('docs/how-to/download-from-the-mirror.md', 'sh');
    expect(blocks).toHaveLength(8);
    const env = { PATH: `${join(cwd, 'bin')}:${process.env['PATH']}`, HOME: cwd, http_proxy: world.upstream.url };
    const { stdout } = await promisify(execFile)('bash', ['-euxo', 'pipefail', '-c', blocks.join('\n')], { cwd, env });
    expect(world.there(join(cwd, 'stx'))).toEqual(world.expected);
    expect(stdout).toContain(world.mirrorKey.fingerprint);
    expect(stdout).toMatch(/10 files are asked for: 0 are here, 4 can be had, 0 cannot, 6 have an address that was not asked/);
    const report = JSON.parse(readFileSync(join(cwd, 'report.json'), 'utf8')) as { files: { failed: number } };
    expect(report.files.failed).toBe(0);
  } finally {
    await world.close();
  }
});
