/** The commands of the page, as they stand there, one after the other in one shell. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { dropKey, makeKey, signDetached } from '../../content/support/keys';
import { createrepo } from '../../content/support/upstream';
import { codeBlocks } from '../../lab/support';
import { TestWeb } from '../web';

jest.setTimeout(120_000);

test('every command of the page runs, and what it says becomes true', async () => {
  const work = mkdtempSync(join(tmpdir(), 'needs-build-docs-'));
  const web = new TestWeb(join(work, 'www'));
  const key = makeKey(join(work, 'gnupg'), 'mirror');
  try {
    await web.start();
    mkdirSync(join(work, 'bin'));
    const bundle = join(work, 'needs-build.cjs');
    buildSync({ entryPoints: [join(__dirname, '../../../client/needs/main.ts')], outfile: bundle, bundle: true, platform: 'node', target: 'node18', logLevel: 'error' }); // prettier-ignore
    writeFileSync(join(work, 'bin/needs-build'), `#!/bin/sh\nexec ${process.execPath} ${bundle} "$@"\n`);
    chmodSync(join(work, 'bin/needs-build'), 0o755);
    for (const name of ['acl', 'attr']) {
      mkdirSync(join(work, 'packages', name), { recursive: true });
      writeFileSync(
        join(work, 'packages', name, `${name}.spec`),
        `Name: ${name}\nVersion: 1\nRelease: 1%{?dist}\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%files\n`,
      );
    }
    mkdirSync(join(work, 'downloads'));
    writeFileSync(join(work, 'downloads/acl-2.2.tar.gz'), 'x');
    writeFileSync(join(work, 'RPM-GPG-KEY-mirror'), key.publicKey);
    const blocks = codeBlocks('docs/how-to/rebuild-only-on-change.md', 'sh');
    expect(blocks).toHaveLength(6);
    const env = { PATH: `${join(work, 'bin')}:${process.env['PATH']}`, HOME: work, http_proxy: web.url };
    const shell = async (script: string): Promise<string> => {
      const child = spawn('bash', ['-euxo', 'pipefail', '-c', script], { cwd: work, env, stdio: ['ignore', 'pipe', 'pipe'] });
      let [said, failed] = ['', ''];
      child.stdout.on('data', (text: Buffer) => (said += text.toString()));
      child.stderr.on('data', (text: Buffer) => (failed += text.toString()));
      const code = await new Promise((resolve) => child.on('close', resolve));
      expect([code, code === 0 ? '' : failed]).toEqual([0, '']);
      return said;
    };
    const first = await shell(blocks.slice(0, 4).join('\n'));
    expect(first).toMatch(/2 of 2 packages must be rebuilt\.\nNothing must be rebuilt/);
    await shell(blocks[4] as string);
    expect(readFileSync(join(work, 'rebuild.txt'), 'utf8')).toBe('acl\n');

    // The build as the mirror has it.
    const at = join(web.root, 'mirror.example.org/mirror/starlingx/master/centos/flock/20261101T023000Z');
    const url = 'http://mirror.example.org/mirror/starlingx/master/centos/flock/20261101T023000Z';
    mkdirSync(join(at, 'outputs/RPMS'), { recursive: true });
    execFileSync('cp', ['-r', join(work, 'RPMS'), join(at, 'outputs/RPMS/std')]);
    execFileSync('cp', ['-r', join(work, 'SRPMS'), join(at, 'outputs/SRPMS')]);
    for (const one of ['RPMS/std', 'SRPMS']) {
      createrepo(join(at, 'outputs', one));
      signDetached(key, join(at, 'outputs', one, 'repodata/repomd.xml'));
    }
    copyFileSync(join(work, 'record.json'), join(at, 'outputs/record.json'));
    writeFileSync(join(at, 'build.repo'), ['RPMS/std', 'SRPMS'].map((one) => `[${one.slice(0, 4)}]\nname=x\nbaseurl=${url}/outputs/${one}/\n`).join('')); // prettier-ignore
    symlinkSync(at, join(at, '../latest_build'));
    expect(await shell(blocks[5] as string)).toMatch(/^Nothing must be rebuilt: 2 packages are as recorded, and built\.\nNot verified/);
  } finally {
    await web.stop();
    dropKey(key);
    rmSync(work, { recursive: true });
  }
});
