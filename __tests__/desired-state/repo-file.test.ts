/** The `.repo` files of copied repositories: what they make a real dnf check, and refuse. */
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TrustDefinition } from '../../desired-state/definitions';
import { copiedRepoFile } from '../../desired-state/render/repo-file';
import { buildPackage, dropKey, makeKey, signDetached, signPackage, type TestKey } from '../content/support/keys';
import { createrepo, Upstream } from '../content/support/upstream';

let work: string;
let site: Upstream;
let mirrorKey: TestKey;
let upstreamKey: TestKey;
let stranger: TestKey;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'mirror-repo-file-'));
  const root = join(work, 'site');
  mkdirSync(join(root, 'keys'), { recursive: true });
  [mirrorKey, upstreamKey, stranger] = ['mirror', 'upstream', 'stranger'].map((name) => makeKey(join(work, name), name)) as [
    TestKey,
    TestKey,
    TestKey,
  ];
  writeFileSync(join(root, 'RPM-GPG-KEY-mirror'), mirrorKey.publicKey);
  writeFileSync(join(root, 'keys/UPSTREAM'), upstreamKey.publicKey);
  const built = buildPackage(work, 'a', '1');
  for (const [name, packages, metadata] of [
    ['good', upstreamKey, mirrorKey],
    ['stranger-metadata', upstreamKey, stranger],
    ['stranger-package', stranger, mirrorKey],
    ['unsigned-metadata', upstreamKey, undefined],
  ] as const) {
    const directory = join(root, name);
    mkdirSync(directory);
    copyFileSync(built, join(directory, 'a-1-1.noarch.rpm'));
    signPackage(packages, join(directory, 'a-1-1.noarch.rpm'));
    createrepo(directory);
    if (metadata !== undefined) signDetached(metadata, join(directory, 'repodata/repomd.xml'));
  }
  site = await new Upstream(root).start();
});
afterAll(async () => {
  await site.stop();
  for (const key of [mirrorKey, upstreamKey, stranger]) dropKey(key);
  rmSync(work, { recursive: true, force: true });
});

const signed = (mode: 'signedMetadata' | 'signedPackages'): TrustDefinition => ({
  mode,
  keys: [{ file: 'keys/UPSTREAM', fingerprint: upstreamKey.fingerprint }],
});
const digests: TrustDefinition = { mode: 'digestsOnly', reason: 'upstream signs nothing' };

/** Installs the package by nothing but the `.repo` file. The web server is in this process: dnf runs beside it. */
async function install(
  directory: string,
  trust: TrustDefinition,
  view: 'verbatim' | 'accumulate',
): Promise<{ code: number; text: string }> {
  const scratch = mkdtempSync(join(work, 'dnf-'));
  mkdirSync(join(scratch, 'repos'));
  const text = copiedRepoFile({ id: 'r', name: 'r', siteUrl: site.url.replace(/\/$/, ''), publicUrlPath: directory, trust, view });
  writeFileSync(join(scratch, 'repos/r.repo'), text);
  const config = [
    '[main]',
    `reposdir=${join(scratch, 'repos')}`,
    `cachedir=${join(scratch, 'cache')}`,
    `logdir=${scratch}`,
    'plugins=0',
    '',
  ];
  writeFileSync(join(scratch, 'dnf.conf'), config.join('\n'));
  const argv = ['-y', '-c', join(scratch, 'dnf.conf'), '--installroot', join(scratch, 'root'), '--releasever', '7'];
  return new Promise((resolve) => {
    const child = spawn('dnf', [...argv, '--forcearch', 'x86_64', 'install', 'a'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('close', (code) => resolve({ code: code ?? 1, text: output }));
  });
}

describe('accumulated: metadata by the mirror, packages by upstream', () => {
  test.each(['signedMetadata', 'signedPackages'] as const)('%s: dnf fetches both keys, and installs', async (mode) => {
    expect(await install('good', signed(mode), 'accumulate')).toMatchObject({ code: 0 });
  });
  test('nothing signed upstream: the metadata is, and names the packages by digest', async () => {
    expect(await install('stranger-package', digests, 'accumulate')).toMatchObject({ code: 0 });
    const refused = await install('unsigned-metadata', digests, 'accumulate');
    expect(refused.code).not.toBe(0);
  });
  test.each([
    ['stranger-metadata', /repomd\.xml GPG signature verification error|Bad GPG signature/],
    ['unsigned-metadata', /repomd\.xml\.asc|GPG/],
    ['stranger-package', /GPG check FAILED|not correct|is not signed|Public key/],
  ])('%s is refused', async (directory, reason) => {
    const { code, text } = await install(directory, signed('signedPackages'), 'accumulate');
    expect(code).not.toBe(0);
    expect(text).toMatch(reason);
  });
});

test('verbatim: unsigned metadata is taken where only packages are signed', async () => {
  expect(await install('unsigned-metadata', signed('signedPackages'), 'verbatim')).toMatchObject({ code: 0 });
  expect((await install('stranger-package', signed('signedPackages'), 'verbatim')).code).not.toBe(0);
});

test('the lines', () => {
  const lines = (trust: TrustDefinition): string[] =>
    copiedRepoFile({ id: 'r', name: 'r', siteUrl: 'http://m', publicUrlPath: 'p', trust, view: 'accumulate' })
      .split('\n')
      .filter((line) => /gpg/.test(line));
  expect(lines(signed('signedPackages'))).toEqual([
    'gpgcheck=1',
    'repo_gpgcheck=1',
    'gpgkey=http://m/RPM-GPG-KEY-mirror http://m/keys/UPSTREAM',
  ]);
  expect(lines(digests)).toEqual(['gpgcheck=0', 'repo_gpgcheck=1', 'gpgkey=http://m/RPM-GPG-KEY-mirror']);
});
