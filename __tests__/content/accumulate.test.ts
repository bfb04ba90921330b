/** The view `accumulate`, from real upstreams to what dnf, gpgv and createrepo_c read of it. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { RepositoryDefinition, RepositoryWaiver } from '../../desired-state/definitions';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, fillRepository, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'accumulate-'));
const ID = 'epel-7';
const packages: Record<string, string> = {};
let own: TestKey;
let next: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const version of ['1.0', '2.0', '3.0']) packages[`hello-${version}`] = buildPackage(join(work, version), 'hello', version);
  packages['other-1.0'] = buildPackage(join(work, 'other'), 'other', '1.0');
  // The same version with other content: it is built from random bytes.
  packages['rebuilt'] = buildPackage(join(work, 'rebuilt'), 'hello', '1.0');
  own = makeKey(join(work, 'own'), 'own');
  next = makeKey(join(work, 'next'), 'next');
});
afterAll(() => {
  dropKey(own);
  dropKey(next);
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

/** Makes the upstream hold exactly these packages, and these records. */
function upstreamHas(names: readonly string[], records: Readonly<Record<string, string>> = {}, folder = 'Packages'): void {
  fillRepository(
    tree,
    names.map((name) => packages[name] as string),
    folder,
  );
  for (const [file, text] of Object.entries(records)) {
    writeFileSync(join(work, file), text);
    const type = file.split('.')[0] as string;
    execFileSync('modifyrepo_c', ['--mdtype', type === 'comps' ? 'group' : type, join(work, file), join(tree, 'repodata')], {
      stdio: 'ignore',
    });
  }
}

function declare(more: Partial<RepositoryDefinition> = {}): void {
  mirror.repository(ID, [upstream.url], undefined, { view: 'accumulate', ...more });
}

const waive = (allow: RepositoryWaiver): Partial<RepositoryDefinition> => ({ waivers: [{ allow, reason: 'a test' }] });

/** What real dnf lists. */
function dnf(...argv: string[]): string {
  const cache = mkdtempSync(join(work, 'cache-'));
  const options = ['-q', '--setopt=reposdir=/nonexistent', `--setopt=cachedir=${cache}`, `--repofrompath=m,file://${mirror.published(ID)}`];
  return execFileSync('dnf', [...options, '--repo=m', '--setopt=module_platform_id=platform:el8', ...argv], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
const listed = (): string[] => dnf('repoquery', '--nogpgcheck', '--qf', '%{name}-%{version}\n').split('\n').filter(Boolean).sort();

function verifiedBy(key: TestKey): boolean {
  const ring = join(work, `${key.name}.gpg`);
  execFileSync('gpg', ['--homedir', key.home, '--yes', '--output', ring, '--export', key.name]);
  const repomd = mirror.published(ID, 'repodata/repomd.xml');
  try {
    execFileSync('gpgv', ['--keyring', ring, `${repomd}.asc`, repomd], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('a package that a verbatim copy had at two places is listed once when the view becomes accumulate', async () => {
  upstreamHas(['hello-1.0', 'other-1.0']);
  mkdirSync(join(tree, 'extra'));
  copyFileSync(packages['hello-1.0'] as string, join(tree, 'extra', basename(packages['hello-1.0'] as string)));
  createrepo(tree);
  mirror.repository(ID, [upstream.url]);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  upstreamHas(['hello-2.0']);
  declare(waive('shrunk'));
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0', 'other-1.0']);
});

test('what upstream drops stays, signed by the mirror; createrepo_c agrees', async () => {
  declare();
  upstreamHas(['hello-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
  upstreamHas(['hello-2.0', 'other-1.0'], {}, 'moved');
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining('3 packages') });
  upstreamHas(['hello-3.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0', 'hello-3.0', 'other-1.0']);
  expect(verifiedBy(own)).toBe(true);
  expect(verifiedBy(next)).toBe(false);
  expect(readFileSync(mirror.published(ID, 'repodata/repomd.xml.key'), 'utf8')).toContain('BEGIN PGP PUBLIC KEY BLOCK');

  // An independent union: createrepo_c over all packages that ever were.
  const union = join(work, 'union');
  rmSync(union, { recursive: true, force: true });
  mkdirSync(union);
  for (const name of ['hello-1.0', 'hello-2.0', 'hello-3.0', 'other-1.0'])
    copyFileSync(packages[name] as string, join(union, `${name}.rpm`));
  createrepo(union);
  const checksums = (directory: string): string[] =>
    execFileSync('sh', ['-c', `gzip -dc ${directory}/repodata/*-primary.xml.gz | grep -o 'pkgid="YES">[0-9a-f]*' | sort`], {
      encoding: 'utf8',
    }).split('\n');
  const latest = mkdtempSync(join(work, 'latest-'));
  mkdirSync(join(latest, 'repodata'));
  const primary = /href="(repodata\/[0-9a-f]+-primary\.xml\.gz)"/.exec(
    readFileSync(mirror.published(ID, 'repodata/repomd.xml'), 'utf8'),
  )?.[1] as string;
  copyFileSync(mirror.published(ID, primary), join(latest, primary));
  expect(checksums(latest)).toEqual(checksums(union));

  const asked = upstream.requests.length;
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged (4 packages') });
  expect(upstream.requests.slice(asked)).toEqual(['repodata/repomd.xml']);
});

test('advisories, groups and modules survive; upstream’s unknown records are kept', async () => {
  const advisory = (id: string, version: string): string =>
    `<update from="a" status="stable" type="security" version="1"><id>${id}</id><title>t</title><issued date="2026-01-01 00:00:00"/><references><reference href="https://x/CVE-2026-0001" id="CVE-2026-0001" type="cve"/></references><pkglist><collection short="c"><name>c</name><package name="hello" version="${version}" release="1" epoch="0" arch="noarch" src="hello.src.rpm"><filename>hello-${version}-1.noarch.rpm</filename></package></collection></pkglist></update>`;
  const comps = (id: string): string =>
    `<?xml version="1.0" encoding="UTF-8"?><comps><group><id>${id}</id><name>${id}</name><description/><default>false</default><uservisible>true</uservisible><packagelist><packagereq type="mandatory">hello</packagereq></packagelist></group></comps>`;
  declare();
  upstreamHas(['hello-1.0'], {
    'updateinfo.xml': `<updates>${advisory('A-1', '1.0')}</updates>`,
    'comps.xml': comps('one'),
    'productid.txt': 'a certificate\n',
  });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  upstreamHas(['hello-2.0'], {
    'updateinfo.xml': `<updates>${advisory('A-2', '2.0')}</updates>`,
    'comps.xml': comps('two'),
    'unheard.txt': 'nobody knows this\n',
  });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  for (const [advisory, fixed] of [
    ['A-1', 'hello-1.0'],
    ['A-2', 'hello-2.0'],
  ] as const)
    expect(dnf('repoquery', `--advisory=${advisory}`, '--qf', '%{name}-%{version}\n').trim()).toBe(fixed);
  expect(
    dnf('group', 'list', '-v', '--hidden')
      .match(/\((one|two)\)/g)
      ?.sort(),
  ).toEqual(['(one)', '(two)']);
  const repomd = readFileSync(mirror.published(ID, 'repodata/repomd.xml'), 'utf8');
  expect(repomd).toContain('type="unheard"');
  expect(repomd).not.toMatch(/type="(primary_db|prestodelta)"/);
  // yum reads `group` as it is, and unpacks only `group_gz`.
  const group = /<data type="group">[^]*?<location href="([^"]*)"/.exec(repomd)?.[1] as string;
  expect(readFileSync(mirror.published(ID, group), 'utf8')).toContain('<id>two</id>');
  expect(repomd).toContain('type="group_gz"');

  // And it was told what each of the two publishes changed.
  expect((await mirror.run('changes', ID)).stdout).toMatch(
    /: first publish, 1 packages\n.*: 0 added, 1 updated, 0 removed; fixes CVE-2026-0001 \(hello 2\.0-1\)\n$/,
  );
});

test('a bad package holds up nothing: the rest is published, degraded, and the next run repairs it', async () => {
  declare();
  upstreamHas(['hello-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  upstreamHas(['hello-2.0', 'other-1.0']);
  const bad = 'Packages/hello-2.0-1.noarch.rpm';
  const bytes = readFileSync(join(tree, bad));
  const flipped = Buffer.from(bytes);
  flipped[flipped.length - 1] = (flipped[flipped.length - 1] as number) ^ 1;
  writeFileSync(join(tree, bad), flipped);
  const degraded = await mirror.run('sync', ID);
  expect(degraded).toMatchObject({ code: 6, stderr: expect.stringContaining(`${ID}: degraded: one file of 2 could not be had`) });
  expect(degraded.stderr).toContain(upstream.url + bad);
  expect(degraded.stderr).toContain('Waiver.incomplete(reason)');
  // Much was changed.
  expect(degraded.stderr).not.toContain('Nothing was changed');
  expect(listed()).toEqual(['hello-1.0', 'other-1.0']);
  expect((await mirror.run('status')).stdout).toMatch(/epel-7 +degraded[^]*could not be had/);
  const snapshot = mirror.currentTarget(ID);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 6, stderr: expect.stringContaining('degraded') });
  expect(mirror.currentTarget(ID)).toBe(snapshot);
  const { repositories } = JSON.parse((await mirror.run('sync', ID, '--json')).stdout) as { repositories: { problems: object[] }[] };
  expect(repositories[0]?.problems).toEqual([expect.objectContaining({ path: bad, url: upstream.url + bad, code: 'CONTENT_MISMATCH' })]);
  declare(waive('incomplete'));
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining(bad) });
  declare();
  writeFileSync(join(tree, bad), bytes);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0', 'other-1.0']);
});

test('advisories that cannot be read or had hold up nothing: the former ones stay, degraded', async () => {
  const advisory = (id: string): string => `<updates><update type="security"><id>${id}</id><title>t</title></update></updates>`;
  const served = (): string => {
    const repomd = readFileSync(mirror.published(ID, 'repodata/repomd.xml'), 'utf8');
    const file = /href="(repodata\/[0-9a-f]+-updateinfo\.xml\.gz)"/.exec(repomd)?.[1] as string;
    return execFileSync('gzip', ['-dc', mirror.published(ID, file)], { encoding: 'utf8' });
  };
  declare();
  upstreamHas(['hello-1.0'], { 'updateinfo.xml': advisory('A-1') });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  upstreamHas(['hello-2.0'], { 'updateinfo.xml': '<updates><update><id>A-2</id></updates>' });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 6, stderr: expect.stringMatching(/degraded: .*updateinfo.*not well-formed/) });
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0']);
  expect(served()).toContain('A-1');
  upstreamHas(['hello-2.0'], { 'updateinfo.xml': advisory('A-3') });
  const file = readdirSync(join(tree, 'repodata')).find((name) => name.includes('updateinfo')) as string;
  upstream.handlers.set(`repodata/${file}`, (_request, response) => response.writeHead(404).end() !== undefined);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 5, stderr: expect.stringContaining(file) });
  expect(served()).toContain('A-1');
  upstream.handlers.clear();
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
  expect(served()).toMatch(/A-1[^]*A-3/);
  // What did not change is not merged again.
  upstreamHas(['hello-3.0'], { 'updateinfo.xml': advisory('A-3') });
  const before = served();
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
  expect(served()).toBe(before);
});

test('a version with other content is held back, and taken by a waiver', async () => {
  declare();
  upstreamHas(['hello-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  const before = readFileSync(mirror.published(ID, 'Packages/hello-1.0-1.noarch.rpm'));
  upstreamHas(['rebuilt', 'hello-2.0']);
  const ran = await mirror.run('sync', ID);
  expect(ran).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/hello-1\.0-1\.noarch was published with other content[^]*Waiver\.changedPackages/),
  });
  expect(ran.stderr).toContain(`  - ${upstream.url}Packages/hello-1.0-1.noarch.rpm: `);
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0']);
  expect(readFileSync(mirror.published(ID, 'Packages/hello-1.0-1.noarch.rpm'))).toEqual(before);
  declare(waive('changedPackages'));
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(readFileSync(mirror.published(ID, 'Packages/hello-1.0-1.noarch.rpm'))).toEqual(readFileSync(packages['rebuilt'] as string));
});

test('filters choose what is taken; what was taken stays', async () => {
  upstreamHas(['hello-1.0', 'hello-2.0', 'other-1.0']);
  declare({ filter: { newest: 1, exclude: ['oth*'], sources: true, debuginfo: true } });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-2.0']);
  expect(upstream.requests.filter((path) => path.endsWith('.rpm'))).toEqual(['Packages/hello-2.0-1.noarch.rpm']);
  declare({ filter: { include: ['other'], sources: true, debuginfo: true } });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-2.0', 'other-1.0']);
});

test('from verbatim to accumulate and back', async () => {
  mirror.repository(ID, [upstream.url]);
  upstreamHas(['hello-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  declare();
  upstreamHas(['hello-2.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0']);
  expect(verifiedBy(own)).toBe(true);
  mirror.repository(ID, [upstream.url]);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-2.0']);
  expect(existsSync(mirror.published(ID, 'repodata/repomd.xml.asc'))).toBe(false);
  // In its grace period.
  expect(existsSync(mirror.published(ID, 'Packages/hello-1.0-1.noarch.rpm'))).toBe(true);
});

test('a lost catalogue and a lost list are made again from what is served', async () => {
  declare();
  upstreamHas(['hello-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  rmSync(join(mirror.root, 'repositories', ID, 'records'), { recursive: true });
  upstreamHas(['hello-2.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0']);
});

test('files that somebody deleted from the store come back from what is served, and one with a wrong size holds up nothing', async () => {
  declare();
  upstreamHas(['hello-1.0', 'other-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  rmSync(join(mirror.root, 'store'), { recursive: true });
  upstreamHas(['other-1.0', 'hello-2.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stderr: expect.stringContaining('of which 2 are to be fetched') });
  expect(listed()).toEqual(['hello-1.0', 'hello-2.0', 'other-1.0']);
  for (const name of readdirSync(mirror.published(ID, 'Packages'))) {
    const bytes = readFileSync(mirror.published(ID, 'Packages', name));
    const hex = createHash('sha256').update(bytes).digest('hex');
    const stored = join(mirror.root, 'store/sha256', hex.slice(0, 2), hex);
    expect(readFileSync(stored)).toEqual(bytes);
    // A crash of the file system may have cut it.
    if (name.startsWith('other')) truncateSync(stored, 10);
  }
  upstreamHas(['other-1.0', 'hello-3.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  expect(readFileSync(mirror.published(ID, 'Packages/other-1.0-1.noarch.rpm'))).toEqual(readFileSync(packages['other-1.0'] as string));
});

test('another signing key: an unchanged repository is signed anew; without a key it is refused, and stays', async () => {
  declare();
  upstreamHas(['hello-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  mirror.signBy(next, own);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
  expect(readFileSync(mirror.published(ID, 'repodata/repomd.xml.asc'), 'utf8').match(/BEGIN PGP SIGNATURE/g)).toHaveLength(2);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
  rmSync(join(mirror.configuration, 'secrets'), { recursive: true });
  const before = mirror.currentTarget(ID);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 7, stderr: expect.stringContaining('signing key') });
  expect(mirror.currentTarget(ID)).toBe(before);
});

test('a retired repository is signed anew by another key, from what is here; else nothing is done', async () => {
  declare();
  upstreamHas(['hello-1.0', 'other-1.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  declare({ retired: 'upstream is gone for good' });
  upstreamHas(['hello-2.0']);
  const before = mirror.currentTarget(ID);
  expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0, stdout: 'nothing to sync\n' });
  mirror.signBy(next);
  const asked = upstream.requests.length;
  const packagesBefore = listed();
  expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0, stdout: expect.stringMatching(/: published .* \(2 packages/) });
  expect(upstream.requests.slice(asked)).toEqual([]);
  expect(mirror.currentTarget(ID)).not.toBe(before);
  expect(readFileSync(mirror.published(ID, 'repodata/repomd.xml.key'), 'utf8').trim()).toBe(next.publicKey.trim());
  expect(listed()).toEqual(packagesBefore);
  expect([verifiedBy(next), verifiedBy(own)]).toEqual([true, false]);
  expect(await mirror.run('sync', '--all')).toMatchObject({ code: 0, stdout: 'nothing to sync\n' });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 3, stderr: expect.stringContaining('never to be synced') });
});

test('packages that upstream did not sign are left out', async () => {
  const signed = join(work, 'signed.rpm');
  copyFileSync(packages['other-1.0'] as string, signed);
  signPackage(next, signed);
  packages['signed'] = join(work, 'other-1.0-1.noarch.rpm');
  copyFileSync(signed, packages['signed']);
  upstreamHas(['signed', 'hello-1.0']);
  mirror.repository(ID, [upstream.url], mirror.pin('signedPackages', next), { view: 'accumulate' });
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 6, stderr: expect.stringContaining('it is not signed') });
  expect(listed()).toEqual(['other-1.0']);
});

test('trust that is tightened reaches what was published before; most of it is never left out by one wrong key', async () => {
  const signed = ['3.0', '4.0', '5.0'].map((version) => {
    const path = join(work, `trusted-${version}-1.noarch.rpm`);
    copyFileSync(buildPackage(join(work, `trusted-${version}`), 'trusted', version), path);
    signPackage(next, path);
    packages[`trusted-${version}`] = path;
    return `trusted-${version}`;
  });
  declare();
  upstreamHas(['hello-1.0', ...signed]);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
  upstreamHas(signed);
  mirror.repository(ID, [upstream.url], mirror.pin('signedPackages', own), { view: 'accumulate' });
  const before = mirror.currentTarget(ID);
  expect(await mirror.run('sync', ID)).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/4 of 4 published packages are not signed by a pinned key[^]*Pin the key[^]*Waiver\.shrunk/),
  });
  expect(mirror.currentTarget(ID)).toBe(before);
  mirror.repository(ID, [upstream.url], mirror.pin('signedPackages', next), { view: 'accumulate' });
  expect(await mirror.run('sync', ID)).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/hello-1\.0-1\.noarch\.rpm: it is not signed; .*it was published before, and is left out now/),
  });
  expect(listed()).toEqual(['trusted-3.0', 'trusted-4.0', 'trusted-5.0']);
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
});
