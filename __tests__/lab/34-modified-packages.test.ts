/** The versioned mirror of modified packages on a real server: the commands of docs/how-to/publish-modified-packages.md, and what real dnf installs of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from '../content/support/keys';
import {
  adding,
  asItIs,
  codeBlocks,
  fetchPath,
  importing,
  lab,
  must,
  NAME,
  onMirror,
  putOnMirror,
  run,
  tryOnMirror,
  withDeployment,
} from './support';

jest.setTimeout(300_000);

const PAGE = 'docs/how-to/publish-modified-packages.md';
const ID = 'starlingx/stx-ha-rework-packages';
const PATH = '/mirror/starlingx/packages/feature/ha-rework/centos';
const REPO_FILE = `http://${NAME}/repo-files/stx-ha-rework-packages.repo`;
const [PUBLISH] = codeBlocks(PAGE, 'sh');

const work = mkdtempSync(join(tmpdir(), 'mirror-modified-'));
let key: TestKey;

/** main.ts with what the page declares, signed by this test's key. */
function declaring(main: string): string {
  const [block] = codeBlocks(PAGE, 'ts');
  const lines = (block as string).replace("key('RPM-GPG-KEY-stx-builders')", `PublicKey.fromFile('${join(work, 'builders.asc')}')`);
  return adding(lines)(importing('BuildArchive', 'ModifiedPackages', 'Rebuilt')(main));
}

/** A new package: the content is another one each time. */
function built(name: string, version: string): string {
  // A package of the same name and version was built at this path before.
  const path = buildPackage(mkdtempSync(join(work, 'build-')), name, version);
  signPackage(key, path);
  return path;
}
const header = (path: string): string => must('rpm', ['-qp', '--nosignature', '--qf', '%{SHA256HEADER}', path]);

/** dnf on a client that keeps what it installs. */
class Client {
  private readonly root = mkdtempSync(join(work, 'client-'));

  dnf(...args: string[]): string {
    const ran = run(process.execPath, ['dist/lab.cjs', 'dnf', '--installroot', this.root, '--repo-file', REPO_FILE, '--', '-y', ...args]);
    if (ran.status !== 0) throw new Error(ran.text);
    return ran.text;
  }

  /** Digest of the header of what was installed, which names that of its content. */
  installed(name: string): string {
    return must('rpm', ['--root', this.root, '-q', '--qf', '%{SHA256HEADER}', name]);
  }
}

interface Outcome {
  readonly snapshot?: string;
  readonly files: readonly {
    readonly result: string;
    readonly code?: string;
    readonly replaced?: { readonly served: { sha256: string; path: string }; readonly kept: { sha256: string; path: string } };
  }[];
}

/** Publishes files of this machine. */
function publish(component: string, ...files: string[]): { readonly status: number | null; readonly outcome: Outcome } {
  const ran = tryOnMirror(`mirrorctl publish ${ID}/${component} ${files.map((file) => putOnMirror(file)).join(' ')} --json`);
  return { status: ran.status, outcome: JSON.parse(ran.stdout) as Outcome };
}

const TIDY = `rm -rf /srv/mirror/repositories/${ID} /srv/mirror/public-snapshots/${ID} /var/tmp/modified /var/lib/mirror/changes/${ID.replace('/', '+')}+*`;

beforeAll(async () => {
  key = makeKey(join(work, 'key'), 'builders');
  writeFileSync(join(work, 'builders.asc'), key.publicKey);
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror(TIDY);
  await withDeployment(declaring, (deployment) => {
    expect(deployment.plan().sentences).toContain(`adds modified packages ${ID} (2 repositories)`);
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror(TIDY);
  dropKey(key);
  rmSync(work, { recursive: true });
});

test('both layers are there, empty and signed, and the page publishes into one; once more changes nothing', async () => {
  for (const layer of ['compiler', 'flock'])
    for (const tree of ['x86_64', 'Source']) expect((await fetchPath(`${PATH}/${layer}/${tree}/repodata/repomd.xml.asc`)).status).toBe(200);
  const file = putOnMirror(built('page', '1.0'));
  onMirror(`mkdir -p /var/tmp/modified/build/RPMS /var/tmp/modified/build/SRPMS; mv ${file} /var/tmp/modified/build/RPMS/`);
  // A directory without packages is most likely another one than was meant.
  expect(tryOnMirror(`cd /var/tmp/modified && ${PUBLISH}`).text).toContain('has no *.rpm in it');
  const source = join(work, 'page.spec');
  writeFileSync(source, 'Name: page\nVersion: 1.0\nRelease: 1\nSummary: test\nLicense: MIT\nBuildArch: noarch\n%description\ntest\n');
  must('rpmbuild', ['-bs', '--quiet', '--define', `_topdir ${work}`, '--define', `_srcrpmdir ${work}`, source]);
  const sources = join(work, 'page-1.0-1.src.rpm');
  signPackage(key, sources);
  onMirror(`mv ${putOnMirror(sources)} /var/tmp/modified/build/SRPMS/`);
  expect(onMirror(`cd /var/tmp/modified && ${PUBLISH}`)).toContain('2 published');
  const before = onMirror(`readlink /srv/mirror/repositories/${ID}/flock/current`);
  expect(onMirror(`cd /var/tmp/modified && ${PUBLISH}`)).toMatch(/0 published, 2 skipped[^]*nothing was changed/);
  expect(onMirror(`readlink /srv/mirror/repositories/${ID}/flock/current`)).toBe(before);
  const latest = await fetchPath(`${PATH}/snapshots/flock-latest.target.txt`);
  expect([latest.status, latest.body]).toEqual([200, expect.stringMatching(/^flock-\d{4}-/)]);
  expect((await fetchPath(`${PATH}/flock/Source/SPackages/${basename(sources)}`)).status).toBe(200);
});

test('a second version lies beside the first, and dnf installs either', () => {
  const versions = [built('tool', '1.0'), built('tool', '2.0')];
  for (const file of versions) expect(publish('flock', file)).toMatchObject({ status: 0, outcome: { files: [{ result: 'published' }] } });
  for (const [index, version] of ['1.0', '2.0'].entries()) {
    const client = new Client();
    client.dnf('install', `tool-${version}`);
    expect(client.installed('tool')).toBe(header(versions[index] as string));
  }
});

test('the same version with other content is refused in the compiler layer, and replaces in flock', async () => {
  const [first, second] = [built('again', '1.0'), built('again', '1.0')];
  expect(publish('compiler', first)).toMatchObject({ status: 0 });
  expect(publish('compiler', second)).toMatchObject({ status: 3, outcome: { files: [{ result: 'refused', code: 'PACKAGE_CHANGED' }] } });

  expect(publish('flock', first)).toMatchObject({ status: 0 });
  const before = (await fetchPath(`${PATH}/flock/x86_64/repodata/repomd.xml`)).body;
  const primary = /<data type="primary">[^]*?<location href="([^"]+)"/.exec(before)?.[1] as string;
  const { status, outcome } = publish('flock', second);
  expect(status).toBe(0);
  const { served, kept } = outcome.files[0]?.replaced as NonNullable<Outcome['files'][number]['replaced']>;
  expect(kept.path).toBe('x86_64/Packages/again-1.0-1.noarch.rpm');
  expect(served.path).toBe(`x86_64/Packages/${served.sha256.slice(0, 12)}/again-1.0-1.noarch.rpm`);
  for (const { sha256, path } of [served, kept])
    expect(onMirror(`sha256sum < /srv/mirror/www${PATH}/flock/${path}`).slice(0, 64)).toBe(sha256);
  for (const { path } of [served, kept]) expect((await fetchPath(`${PATH}/flock/${path}`)).status).toBe(200);

  // Who has the metadata of before asks for what it lists, and gets what it says.
  expect((await fetchPath(`${PATH}/flock/x86_64/${primary}`)).status).toBe(200);
  const old = onMirror(`gzip -dc /srv/mirror/www${PATH}/flock/x86_64/${primary}`);
  expect(old).toContain(`<location href="${kept.path.slice('x86_64/'.length)}"/>`);
  expect(old).toContain(`pkgid="YES">${kept.sha256}</checksum>`);

  const flock = ['--repo', `${ID.replace('/', '-')}-flock`];
  const fresh = new Client();
  fresh.dnf('install', ...flock, 'again');
  expect(fresh.installed('again')).toBe(header(second));

  expect(publish('flock', first)).toMatchObject({ status: 3, outcome: { files: [{ code: 'PACKAGE_SUPERSEDED' }] } });
});

test('status, lint and a scrub find both layers as they should be', () => {
  expect(onMirror(`mirrorctl status ${ID}/flock`)).toMatch(/ready/);
  const lint = tryOnMirror(`mirrorctl lint /srv/mirror/www${PATH}/flock`);
  expect(`${lint.status} ${lint.text}`).toMatch(/^0 /);
  expect(tryOnMirror('mirrorctl scrub --all').status).toBe(0);
});
