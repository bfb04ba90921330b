import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildPackage, dropKey, makeKey, signDetached, signPackage, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { createrepo, Upstream } from './support/upstream';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'sync-'));
const packages: Record<string, string> = {};
let pinned: TestKey;
let stranger: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const version of ['1.0', '2.0', '3.0']) packages[version] = buildPackage(work, 'hello', version, 20_000);
  pinned = makeKey(join(work, 'pinned'), 'pinned');
  stranger = makeKey(join(work, 'stranger'), 'stranger');
  for (const [name, key] of Object.entries({ signed: pinned, foreign: stranger })) {
    const path = join(work, `${name}-1.0-1.noarch.rpm`);
    copyFileSync(buildPackage(work, name, '1.0'), path);
    signPackage(key, path);
    packages[name] = path;
  }
});
afterAll(() => {
  dropKey(pinned);
  dropKey(stranger);
  rmSync(work, { recursive: true });
});

/** Makes the upstream hold exactly these packages. */
function publishUpstream(names: readonly string[], options: { sign?: TestKey; createrepo?: readonly string[] } = {}): void {
  rmSync(join(tree, 'Packages'), { recursive: true, force: true });
  mkdirSync(join(tree, 'Packages'), { recursive: true });
  for (const name of names) copyFileSync(packages[name] as string, join(tree, 'Packages', basename(packages[name] as string)));
  createrepo(tree, ...(options.createrepo ?? []));
  if (options.sign !== undefined) signDetached(options.sign, join(tree, 'repodata/repomd.xml'));
}

beforeEach(async () => {
  mirror = new TestMirror();
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

/** Syncs and expects a failure that leaves what is published as it was. */
async function refused(id: string, exitCode: number, message: RegExp): Promise<void> {
  const before = mirror.currentTarget(id);
  const ran = await mirror.run('sync', id);
  expect(ran).toMatchObject({ code: exitCode, stdout: '', stderr: expect.stringMatching(message) });
  expect(ran.stderr).toContain(`${id}: failed: `);
  expect(ran.stderr).not.toMatch(/^\s+at /m);
  expect(mirror.currentTarget(id)).toBe(before);
  expect(mirror.snapshots(id).filter((name) => name.startsWith('.new-') === false)).toHaveLength(before === undefined ? 0 : 1);
}

test('a first sync publishes upstream byte for byte; the second asks for the index alone and changes nothing', async () => {
  publishUpstream(['1.0', '2.0']);
  writeFileSync(join(tree, 'repodata/repomd.xml.key'), pinned.publicKey);
  mirror.repository('epel-7', [upstream.url]);
  const first = await mirror.run('sync', 'epel-7', '--json');
  expect(first.code).toBe(0);
  const { repositories } = JSON.parse(first.stdout) as { repositories: object[] };
  expect(repositories).toEqual([
    expect.objectContaining({ id: 'epel-7', result: 'published', packages: 2, downloadedFiles: 5, bytes: expect.any(Number) }),
  ]);
  for (const folder of ['Packages', 'repodata']) {
    expect(readdirSync(mirror.published('epel-7', folder))).toEqual(readdirSync(join(tree, folder)));
    for (const name of readdirSync(join(tree, folder))) {
      expect(readFileSync(mirror.published('epel-7', folder, name))).toEqual(readFileSync(join(tree, folder, name)));
      expect(statSync(mirror.published('epel-7', folder, name)).mode & 0o777).toBe(0o444);
    }
  }
  expect(mirror.currentTarget('epel-7')).toMatch(/^snapshots\/\d{8}T\d{6}Z-[0-9a-f]{12}$/);
  const asked = upstream.requests.length;
  const second = await mirror.run('sync', 'epel-7');
  expect(second).toMatchObject({ code: 0, stdout: expect.stringContaining('epel-7: unchanged (2 packages') });
  expect(upstream.requests.slice(asked).sort()).toEqual(['repodata/repomd.xml', 'repodata/repomd.xml.asc', 'repodata/repomd.xml.key']);
  expect(mirror.snapshots('epel-7')).toHaveLength(1);
  expect(readdirSync(join(mirror.root, 'store/.incoming'))).toEqual([]);
});

test('a signature that comes later, or changes, is served; a page that says "not found" is none', async () => {
  publishUpstream(['1.0']);
  rmSync(join(tree, 'repodata/repomd.xml.asc'), { force: true });
  mirror.repository('epel-7', [upstream.url]);
  upstream.handlers.set('repodata/repomd.xml.key', (_request, response) => void response.end('<html>not found</html>') === undefined);
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
  expect(readdirSync(mirror.published('epel-7', 'repodata'))).not.toEqual(expect.arrayContaining(['repomd.xml.asc']));
  for (const signature of ['-----BEGIN PGP SIGNATURE-----\none\n', '-----BEGIN PGP SIGNATURE-----\nanother\n']) {
    writeFileSync(join(tree, 'repodata/repomd.xml.asc'), signature);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('published') });
    expect(readFileSync(mirror.published('epel-7', 'repodata/repomd.xml.asc'), 'utf8')).toBe(signature);
    expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('unchanged') });
  }
  expect(readdirSync(mirror.published('epel-7', 'repodata'))).not.toContain('repomd.xml.key');
});

test('an update publishes the new version, fetches nothing twice, and old metadata still resolves', async () => {
  publishUpstream(['1.0']);
  mirror.repository('epel-7', [upstream.url]);
  await mirror.run('sync', 'epel-7');
  const old = readdirSync(join(tree, 'repodata'));
  publishUpstream(['2.0']);
  upstream.requests.length = 0;
  const ran = await mirror.run('sync', '--all');
  expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('epel-7: published') });
  expect(upstream.requests.filter((path) => path.endsWith('.rpm'))).toEqual(['Packages/hello-2.0-1.noarch.rpm']);
  expect(readdirSync(mirror.published('epel-7', 'Packages'))).toEqual(['hello-1.0-1.noarch.rpm', 'hello-2.0-1.noarch.rpm']);
  const now = readdirSync(mirror.published('epel-7', 'repodata'));
  expect(now).toEqual(expect.arrayContaining(old));
  expect(readFileSync(mirror.published('epel-7', 'repodata/repomd.xml'))).toEqual(readFileSync(join(tree, 'repodata/repomd.xml')));
  expect(mirror.snapshots('epel-7')).toHaveLength(2);
});

// createrepo_c of Debian 12 makes no zstd; rpm-metadata/metadata.test.ts reads it.
test.each(['xz', 'bz2'])('primary compressed by %s', async (kind) => {
  publishUpstream(['1.0', '2.0']);
  const primary = readdirSync(join(tree, 'repodata')).find((name) => name.includes('primary')) as string;
  const xml = join(work, 'primary.xml');
  writeFileSync(xml, execFileSync('gzip', ['-dc', join(tree, 'repodata', primary)]));
  const tool = kind === 'bz2' ? 'bzip2' : kind;
  execFileSync(tool, ['-f', '-k', '-q', xml]);
  execFileSync('modifyrepo_c', ['--remove', 'primary', join(tree, 'repodata')], { stdio: 'ignore' });
  execFileSync('modifyrepo_c', ['--no-compress', '--mdtype', 'primary', `${xml}.${kind}`, join(tree, 'repodata')], { stdio: 'ignore' });
  mirror.repository('epel-7', [upstream.url]);
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('(2 packages') });
});

test.each(['sha512', 'sha384', 'sha224'])('checksums of type %s, and reuse under them', async (algorithm) => {
  publishUpstream(['1.0', '2.0'], { createrepo: ['--checksum', algorithm] });
  mirror.repository('a', [upstream.url]);
  mirror.repository('b', [upstream.url]);
  expect((await mirror.run('sync', 'a')).code).toBe(0);
  upstream.requests.length = 0;
  expect((await mirror.run('sync', 'b')).code).toBe(0);
  expect(upstream.requests).toEqual(['repodata/repomd.xml', 'repodata/repomd.xml.asc', 'repodata/repomd.xml.key']);
  expect(statSync(mirror.published('b', 'Packages/hello-1.0-1.noarch.rpm')).ino).toBe(
    statSync(mirror.published('a', 'Packages/hello-1.0-1.noarch.rpm')).ino,
  );
});

test.each(['sha1', 'md5'])('checksums of type %s are refused by name', async (algorithm) => {
  publishUpstream(['1.0'], { createrepo: ['--checksum', algorithm] });
  mirror.repository('old', [upstream.url]);
  await refused('old', 6, /the checksum type (md5|sha1?) is broken and not accepted; sha256 or better is/);
});

describe('signed metadata', () => {
  beforeEach(() => {
    publishUpstream(['1.0'], { sign: pinned });
    mirror.repository('centos', [upstream.url], mirror.pin('signedMetadata', pinned));
  });

  test('good: published with its signature', async () => {
    expect((await mirror.run('sync', 'centos')).code).toBe(0);
    expect(readFileSync(mirror.published('centos', 'repodata/repomd.xml.asc'))).toEqual(
      readFileSync(join(tree, 'repodata/repomd.xml.asc')),
    );
  });

  test.each<[string, () => void, RegExp]>([
    [
      'by a stranger',
      () => publishUpstream(['2.0'], { sign: stranger }),
      /repomd\.xml\.asc: it is signed by key [0-9A-F]+, which is not pinned/,
    ],
    ['missing', () => publishUpstream(['2.0']), /repomd\.xml\.asc is missing, and centos is declared with signedMetadata/],
    [
      'of other bytes',
      () => writeFileSync(join(tree, 'repodata/repomd.xml'), `${readFileSync(join(tree, 'repodata/repomd.xml'), 'utf8')}<!-- -->`),
      /does not match the file/,
    ],
    [
      'that is a web page',
      () => [publishUpstream(['2.0']), writeFileSync(join(tree, 'repodata/repomd.xml.asc'), '<html>Sign in</html>')],
      /no OpenPGP signature/,
    ],
  ])('%s: the previous snapshot stays', async (_name, change, message) => {
    await mirror.run('sync', 'centos');
    change();
    if (_name === 'missing') rmSync(join(tree, 'repodata/repomd.xml.asc'), { force: true });
    await refused('centos', 6, message);
    expect(mirror.stateOf('centos')).toMatchObject({
      lastRun: { result: 'failed', error: { message: expect.stringMatching(message) } },
      lastSuccess: expect.any(String),
    });
  });

  test('a key file that is not what is pinned', async () => {
    mirror.write('keys/pinned', stranger.publicKey);
    await refused('centos', 6, new RegExp(`holds ${stranger.fingerprint}; pinned is ${pinned.fingerprint}`));
  });

  test('the signature catches up while the sync waits', async () => {
    const good = readFileSync(join(tree, 'repodata/repomd.xml.asc'));
    signDetached(pinned, join(tree, 'repodata', readdirSync(join(tree, 'repodata')).find((n) => n.includes('primary')) as string));
    const early = readFileSync(join(tree, 'repodata', readdirSync(join(tree, 'repodata')).find((n) => n.endsWith('gz.asc')) as string));
    let asked = 0;
    upstream.handlers.set('repodata/repomd.xml.asc', (_request, response) => void response.end(asked++ === 0 ? early : good) === undefined);
    expect((await mirror.run('sync', 'centos')).code).toBe(0);
    expect(asked).toBe(2);
  });
});

describe('signed packages', () => {
  test('good ones are checked once', async () => {
    publishUpstream(['signed']);
    mirror.repository('epel', [upstream.url], mirror.pin('signedPackages', pinned));
    expect((await mirror.run('sync', 'epel')).code).toBe(0);
    const journal = readdirSync(join(mirror.state, 'signatures'));
    expect(readFileSync(join(mirror.state, 'signatures', journal[0] as string), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    publishUpstream(['signed'], { createrepo: ['--revision', '5'] });
    expect((await mirror.run('sync', 'epel')).code).toBe(0);
    expect(readFileSync(join(mirror.state, 'signatures', journal[0] as string), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    expect(existsSync(join(mirror.state, 'tmp/epel'))).toBe(false);
  });

  test.each<[string, RegExp]>([
    ['1.0', /Packages\/hello-1\.0-1\.noarch\.rpm: it is not signed; pinned: [0-9A-F]{40}/],
    ['foreign', /Packages\/foreign-1\.0-1\.noarch\.rpm: it is signed by key [0-9a-f]+, which is not pinned/],
  ])('one that is not (%s) holds the previous snapshot, in the next run too', async (name, message) => {
    publishUpstream(['signed']);
    mirror.repository('epel', [upstream.url], mirror.pin('signedPackages', pinned));
    await mirror.run('sync', 'epel');
    publishUpstream(['signed', name]);
    await refused('epel', 6, message);
    await refused('epel', 6, message);
  });

  test('other keys are other proofs', async () => {
    publishUpstream(['signed']);
    mirror.repository('epel', [upstream.url], mirror.pin('signedPackages', pinned));
    await mirror.run('sync', 'epel');
    mirror.repository('epel', [upstream.url], mirror.pin('signedPackages', stranger));
    await refused('epel', 6, /which is not pinned/);
  });
});

describe('bad bytes', () => {
  const rpm = 'Packages/hello-2.0-1.noarch.rpm';
  beforeEach(async () => {
    publishUpstream(['1.0']);
    mirror.repository('epel-7', [upstream.url]);
    await mirror.run('sync', 'epel-7');
    publishUpstream(['1.0', '2.0']);
  });

  test.each<[string, () => void, number, RegExp]>([
    [
      'a flipped bit',
      () => {
        const bytes = readFileSync(join(tree, rpm));
        bytes[500] = (bytes[500] as number) ^ 1;
        writeFileSync(join(tree, rpm), bytes);
      },
      6,
      /hello-2\.0-1\.noarch\.rpm has the sha256 [0-9a-f]{64}; the metadata says/,
    ],
    ['a short package', () => truncateSync(join(tree, rpm), 1000), 6, /has 1000 bytes; the metadata says \d+/],
    ['an empty package', () => truncateSync(join(tree, rpm), 0), 6, /has 0 bytes; the metadata says \d+/],
    [
      'a longer package',
      () => writeFileSync(join(tree, rpm), Buffer.concat([readFileSync(join(tree, rpm)), Buffer.from('x')])),
      6,
      /may have \d+ bytes and announces/,
    ],
    ['no package', () => rmSync(join(tree, rpm)), 5, /answered with status 404/],
    [
      'metadata cut short',
      () => truncateSync(join(tree, 'repodata', readdirSync(join(tree, 'repodata')).find((n) => n.includes('filelists')) as string), 10),
      6,
      /filelists.* has 10 bytes; the metadata says/,
    ],
    [
      'no metadata',
      () => rmSync(join(tree, 'repodata', readdirSync(join(tree, 'repodata')).find((n) => n.includes('other')) as string)),
      5,
      /other.*status 404/,
    ],
    [
      'an index that is a web page',
      () => writeFileSync(join(tree, 'repodata/repomd.xml'), '<html><body>Sign in</body></html>'),
      6,
      /is no repomd\.xml: its root is <html>/,
    ],
    ['an empty index', () => truncateSync(join(tree, 'repodata/repomd.xml'), 0), 6, /not well-formed/],
    ['no index', () => rmSync(join(tree, 'repodata/repomd.xml')), 5, /repomd\.xml answered with status 404/],
  ])('%s holds the previous snapshot', async (_name, damage, exitCode, message) => {
    damage();
    await refused('epel-7', exitCode, message);
    // What went wrong is repaired: the next run is whole.
    publishUpstream(['1.0', '2.0']);
    expect((await mirror.run('sync', 'epel-7')).code).toBe(0);
  });

  test('an endless index is cut at once', async () => {
    let sent = 0;
    upstream.handlers.set('repodata/repomd.xml', (_request, response) => {
      const chunk = Buffer.alloc(1 << 16, ' ');
      const more = (): void => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
      };
      response.on('drain', more);
      more();
      return true;
    });
    await refused('epel-7', 6, /may have 10485760 bytes and does not end there/);
    expect(sent).toBeLessThan(40 * 1024 * 1024);
  });

  test('a redirect to a file of the server', async () => {
    upstream.handlers.set(
      rpm,
      (_request, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end() === undefined,
    );
    await refused('epel-7', 6, /redirects to file:\/\/\/etc\/passwd: only http and https are followed/);
  });

  test('a server that stumbles is asked again', async () => {
    let stumbles = 0;
    upstream.handlers.set(rpm, (_request, response) => {
      if (stumbles++ === 0) return void response.writeHead(503).end() === undefined;
      if (stumbles === 2) {
        response.writeHead(200, { 'content-length': statSync(join(tree, rpm)).size });
        response.write('x', () => response.destroy());
        return true;
      }
      return false;
    });
    expect((await mirror.run('sync', 'epel-7')).code).toBe(0);
    expect(stumbles).toBe(3);
  });

  test('what the first source lacks comes from the second', async () => {
    const second = await new Upstream(tree).start();
    try {
      upstream.handlers.set(rpm, (_request, response) => void response.writeHead(404).end() === undefined);
      mirror.repository('epel-7', [upstream.url, second.url]);
      expect((await mirror.run('sync', 'epel-7')).code).toBe(0);
      expect(second.requests).toEqual([rpm]);
      await upstream.stop();
      publishUpstream(['3.0']);
      expect((await mirror.run('sync', 'epel-7')).code).toBe(0);
      expect(existsSync(mirror.published('epel-7', 'Packages/hello-3.0-1.noarch.rpm'))).toBe(true);
      await second.stop();
      await refusedBoth();
      upstream = await new Upstream(tree).start();
    } finally {
      await second.stop().catch(() => undefined);
    }
  });

  async function refusedBoth(): Promise<void> {
    const ran = await mirror.run('sync', 'epel-7');
    expect(ran).toMatchObject({ code: 5, stderr: expect.stringMatching(/none of 2 sources has it: .*ECONNREFUSED.*; .*ECONNREFUSED/) });
  }

  test.each<[string, string[], string[]]>([
    ['with names of their own', [], ['3.0']],
    ['with names that are used again', ['--simple-md-filenames'], ['1.0', '2.0', '3.0', 'signed', 'foreign']],
  ])('an index that changes during the sync starts it again, metadata %s', async (_name, options, next) => {
    publishUpstream(['1.0', '2.0'], { createrepo: options });
    const before = readFileSync(join(tree, 'repodata/repomd.xml'));
    publishUpstream(next, { createrepo: options });
    let asked = 0;
    upstream.handlers.set('repodata/repomd.xml', (_request, response) => (asked++ === 0 ? void response.end(before) === undefined : false));
    const ran = await mirror.run('sync', 'epel-7');
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringContaining('upstream changed during the sync; starting again') });
    expect(readFileSync(mirror.published('epel-7', 'repodata/repomd.xml'))).toEqual(readFileSync(join(tree, 'repodata/repomd.xml')));
  });
});

test.each(['sha256', 'sha512'])('a mirror that stands still does not hide what its metalink lists (%s)', async (algorithm) => {
  publishUpstream(['1.0']);
  cpSync(join(tree, 'repodata'), join(tree, 'late/repodata'), { recursive: true, preserveTimestamps: true });
  cpSync(join(tree, 'Packages'), join(tree, 'late/Packages'), { recursive: true });
  const metalink = (): void => {
    const hex = createHash(algorithm)
      .update(readFileSync(join(tree, 'repodata/repomd.xml')))
      .digest('hex');
    const at = (path: string, preference: number): string =>
      `<url protocol="http" preference="${preference}">${upstream.url}${path}repodata/repomd.xml</url>`;
    const inner = `<verification><hash type="${algorithm}">${hex}</hash></verification><resources>${at('late/', 100)}${at('', 50)}</resources>`;
    writeFileSync(join(tree, 'metalink'), `<metalink version="3.0"><files><file name="repomd.xml">${inner}</file></files></metalink>`);
  };
  metalink();
  mirror.repository('epel-7', [], undefined, { fetchFrom: [{ metalink: `${upstream.url}metalink` }] });
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0 });
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('epel-7: unchanged') });
  rmSync(join(tree, 'Packages/hello-1.0-1.noarch.rpm'));
  copyFileSync(packages['2.0'] as string, join(tree, 'Packages/hello-2.0-1.noarch.rpm'));
  createrepo(tree, '--excludes', '*late*');
  metalink();
  expect(await mirror.run('sync', 'epel-7')).toMatchObject({ code: 0, stdout: expect.stringContaining('epel-7: published') });
  expect(existsSync(mirror.published('epel-7', 'Packages/hello-2.0-1.noarch.rpm'))).toBe(true);
});

test('locations that leave the tree never touch the disk', async () => {
  publishUpstream(['1.0']);
  const primary = readdirSync(join(tree, 'repodata')).find((name) => name.includes('primary')) as string;
  const xml = join(work, 'primary.xml');
  writeFileSync(
    xml,
    execFileSync('gzip', ['-dc', join(tree, 'repodata', primary)], { encoding: 'utf8' }).replace(
      'Packages/hello',
      '../../../../evil/hello',
    ),
  );
  execFileSync('modifyrepo_c', ['--remove', 'primary', join(tree, 'repodata')], { stdio: 'ignore' });
  execFileSync('modifyrepo_c', ['--mdtype', 'primary', xml, join(tree, 'repodata')], { stdio: 'ignore' });
  mirror.repository('evil', [upstream.url]);
  await refused('evil', 6, /the location "\.\.\/\.\.\/\.\.\/\.\.\/evil\/hello-1\.0-1\.noarch\.rpm" has a segment "\." or "\.\."/);
  expect(upstream.requests.some((path) => path.includes('evil'))).toBe(false);
});

test('--new takes what was never published, and what a deploy adds meanwhile', async () => {
  publishUpstream(['1.0']);
  mirror.repository('a', [upstream.url]);
  await mirror.run('sync', 'a');
  mirror.repository('b', [upstream.url]);
  mirror.repository('broken', [`${upstream.url}nothing/`]);
  upstream.handlers.set('repodata/repomd.xml', () => {
    mirror.repository('late', [upstream.url]);
    return false;
  });
  const ran = await mirror.run('sync', '--new', '--json');
  expect(ran.code).toBe(5);
  const { repositories } = JSON.parse(ran.stdout) as { repositories: { id: string; result: string }[] };
  expect(repositories.map((r) => `${r.id} ${r.result}`).sort()).toEqual(['b published', 'broken failed', 'late published']);
});
