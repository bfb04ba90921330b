/** What somebody who controls a server or the network may try (the attacks of the TUF specification, section 1), each on the whole program. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { basename, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Report } from '../../client/report';
import { buildRpm } from '../content/support/hosted';
import { signDetached } from '../content/support/keys';
import { createrepo } from '../content/support/upstream';
import { OS, REPOSITORIES, sha256Of, World } from './world';

jest.setTimeout(300_000);

let world: World;
let lists: string;
let clean: string;
beforeAll(async () => {
  world = await new World().fill();
  lists = world.mirrorPath('mirror/starlingx/lists/master/centos');
  clean = join(world.directory, 'clean');
  cp(join(world.directory, 'mirror'), join(clean, 'mirror'));
  cp(join(world.directory, 'upstream'), join(clean, 'upstream'));
});
afterAll(() => world.close());
beforeEach(() => {
  for (const name of ['mirror', 'upstream']) {
    rmSync(join(world.directory, name), { recursive: true });
    cp(join(clean, name), join(world.directory, name));
  }
  world.mirror.fault = world.upstream.fault = () => false;
});

const cp = (from: string, to: string): void => {
  mkdirSync(join(to, '..'), { recursive: true });
  execFileSync('cp', ['-a', from, to]);
};
const BASH = 'Binary/x86_64/bash-1-1.x86_64.rpm';
const problemsOf = (report: Report): string[] => report.problems.map(({ code }) => code);
const failuresOf = (report: Report, file: string): string[] =>
  (report.results.find((result) => result.file === file)?.failures ?? []).map(({ code }) => code);

test('arbitrary software: another package in place of the one that was signed for is not taken', async () => {
  const evil = buildRpm(join(world.directory, 'build'), { name: 'bash', arch: 'x86_64', content: 'evil' });
  for (const place of [lists, world.mirrorPath('mirror/centos/vault.example.org/7/os/x86_64')])
    for (const folder of [join(place, 'Packages'), place])
      if (existsSync(join(folder, basename(evil)))) copyFileSync(evil, join(folder, basename(evil)));
  const { code, report, output } = await world.download(['-s']);
  expect(code).toBe(6);
  // Where it is longer than the one that was signed for, it is not even read to its end.
  const codes = failuresOf(report, BASH);
  expect(codes.length > 0 && codes.every((one) => ['CONTENT_MISMATCH', 'BODY_TOO_LONG'].includes(one))).toBe(true);
  expect(world.there(output).has(BASH)).toBe(false);
  // Upstream still has what the mirror signed for.
  const second = await world.download(['-S']);
  expect(second.code).toBe(0);
  expect(world.there(second.output)).toEqual(world.expected);
});

test('arbitrary software: metadata of another key is not taken, whatever it lists', async () => {
  const evil = buildRpm(join(world.directory, 'build'), { name: 'bash', arch: 'x86_64', content: 'evil again' });
  copyFileSync(evil, join(lists, 'Packages', basename(evil)));
  createrepo(lists);
  signDetached(world.upstreamKey, join(lists, 'repodata/repomd.xml'));
  rmSync(world.mirrorPath('mirror/centos/vault.example.org'), { recursive: true });
  const { code, report, output } = await world.download(['-s']);
  expect(problemsOf(report)).toContain('SIGNATURE_UNTRUSTED');
  expect(world.there(output).has(BASH)).toBe(false);
  expect(code).toBe(6);
});

test('arbitrary software: an upstream that is fallen back to cannot give other bytes than the mirror signed for', async () => {
  const build = join(world.directory, 'build');
  const evil = buildRpm(build, { name: 'bash', arch: 'x86_64', content: 'evil, of upstream' });
  const upstream = world.upstreamPath(OS);
  copyFileSync(evil, join(upstream, basename(evil)));
  createrepo(upstream);
  world.mirror.fault = (path, _request, response) => /\.rpm$/.test(path) && (response.writeHead(503).end(), true);
  const { code, report, output } = await world.download(['-S']);
  expect(failuresOf(report, BASH)).toContain('CONTENT_MISMATCH');
  expect(world.there(output).has(BASH)).toBe(false);
  expect(code).toBe(6);
});

test('arbitrary software: upstream alone, an unsigned package is not taken where packages are signed', async () => {
  const evil = buildRpm(join(world.directory, 'build'), { name: 'bash', arch: 'x86_64', content: 'unsigned' });
  const upstream = world.upstreamPath(OS);
  copyFileSync(evil, join(upstream, basename(evil)));
  createrepo(upstream);
  const { code, report, output } = await world.download(['-u']);
  expect(failuresOf(report, BASH)).toEqual(['PACKAGE_UNPROVEN']);
  expect(world.there(output).has(BASH)).toBe(false);
  expect(code).toBe(6);
});

test('endless data: a body that does not end is cut off, in metadata and in packages', async () => {
  let sent = 0;
  const endless = (response: ServerResponse): true => {
    response.writeHead(200);
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const more = (): void => {
      while (!response.destroyed && response.write(chunk)) sent += chunk.length;
    };
    response.on('drain', more);
    more();
    return true;
  };
  world.mirror.fault = (path, _request, response) => /bash.*rpm$|repomd\.xml$/.test(path) && endless(response);
  const { code, report, output } = await world.download(['-S']);
  expect(code).toBe(0);
  expect(report.problems.map(({ message }) => message).join()).toMatch(/does not end there/);
  expect(world.there(output)).toEqual(world.expected);
  expect(sent).toBeLessThan(200 * 1024 * 1024);
});

test('slow retrieval: a server that brings a byte a second is given up for the next one', async () => {
  world.mirror.fault = (path, _request, response) => {
    if (!/bash.*rpm$/.test(path)) return false;
    response.writeHead(200, { 'content-length': 100_000 });
    const timer = setInterval(() => response.write('x'), 300);
    response.on('close', () => clearInterval(timer));
    return true;
  };
  const started = Date.now();
  const { code, report, output } = await world.download(['-S', '--timeout', '1']);
  expect(code).toBe(0);
  expect(report.results.find(({ file }) => file === BASH)?.place).toMatch(/^upstream/);
  expect(world.there(output)).toEqual(world.expected);
  expect(Date.now() - started).toBeLessThan(30_000);
});

test('rollback: metadata that the mirror signed earlier is not taken again once something newer was seen', async () => {
  const old = join(world.directory, 'old');
  cp(lists, old);
  const { output } = await world.download(['-s']);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  createrepo(lists);
  rmSync(join(lists, 'repodata/repomd.xml.asc'), { force: true });
  signDetached(world.mirrorKey, join(lists, 'repodata/repomd.xml'));
  expect((await world.download(['-s'], { output })).code).toBe(0);
  const newer = readFileSync(join(lists, 'repodata/repomd.xml'), 'utf8');
  rmSync(lists, { recursive: true });
  cp(old, lists);
  rmSync(join(output, BASH));
  const { report } = await world.download(['-s'], { output });
  expect(report.warnings.join()).toMatch(/repomd\.xml is of .*; an earlier run saw one of .*; what an earlier run verified is used/);
  expect(readFileSync(join(notesOf(output), 'index'), 'utf8')).toBe(newer);
});

/** Where the index of the lists is kept. */
function notesOf(output: string): string {
  const url = `${world.mirror.url}/mirror/starlingx/lists/master/centos/repodata/repomd.xml`;
  return join(output, '.download-mirror/metadata', createHash('sha256').update(url).digest('hex').slice(0, 24));
}

/** An upstream that signs nothing, and gives another bash than the mirror has. */
function unsignedUpstream(): void {
  world.repositories(`[os]\nname=os\nbaseurl=${OS}\ngpgcheck=0\n`);
  replaceBash(world.upstreamPath(OS));
}
function replaceBash(at: string): void {
  const evil = buildRpm(join(world.directory, 'build'), { name: 'bash', arch: 'x86_64', content: `evil at ${at}` });
  copyFileSync(evil, join(at, basename(evil)));
  rmSync(join(at, 'repodata'), { recursive: true });
  createrepo(at);
}

test.each([
  ['404 for it', 404, /lists\/master\/centos\//],
  ['403 for it', 403, /lists\/master\/centos\//],
  ['404 for its signature', 404, /lists\/master\/centos\/repodata\/repomd\.xml\.asc$/],
])('silenced: what the mirror signed for decides also when somebody answers %s later', async (_what, status, silenced) => {
  const { output } = await world.download(['-s']);
  rmSync(join(output, BASH));
  unsignedUpstream();
  const { mtime } = statSync(join(lists, 'repodata/repomd.xml'));
  utimesSync(join(lists, 'repodata/repomd.xml'), mtime, new Date(mtime.getTime() + 5000));
  world.mirror.fault = (path, _request, response) => silenced.test(path) && (response.writeHead(status).end(), true);
  try {
    const { report } = await world.download(['-U'], { output });
    expect(report.warnings.join()).toMatch(/what an earlier run verified is used \(if its operator changed that on purpose/);
    expect(report.results.find(({ file }) => file === BASH)).toMatchObject({ status: 'fetched', sha256: world.expected.get(BASH) });
    expect(world.there(output)).toEqual(world.expected);
  } finally {
    world.repositories(REPOSITORIES);
  }
});

test.each(['no signature', 'the signature of another key'])(
  'stripped: a copy that the mirror signed once is not taken with %s',
  async (how) => {
    world.repositories(`[os]\nname=os\nbaseurl=${OS}\ngpgcheck=0\n`);
    try {
      rmSync(lists, { recursive: true });
      const copy = world.mirrorPath('mirror/centos/vault.example.org/7/os/x86_64');
      signDetached(world.mirrorKey, join(copy, 'repodata/repomd.xml'));
      const { output, report: first } = await world.download(['-s']);
      expect(first.results.find(({ file }) => file === BASH)?.proof).toBe('signed metadata');
      rmSync(join(output, BASH));
      replaceBash(copy);
      if (how !== 'no signature') signDetached(world.upstreamKey, join(copy, 'repodata/repomd.xml'));
      for (let run = 0; run < 2; run++) {
        const { code, report } = await world.download(['-s'], { output });
        expect(code).toBe(6);
        expect(report.warnings.join()).toMatch(
          how === 'no signature' ? /repomd\.xml\.asc is missing/ : /repomd\.xml\.asc does not prove it/,
        );
        expect(world.there(output).has(BASH)).toBe(false);
      }
    } finally {
      world.repositories(REPOSITORIES);
    }
  },
);

test('what rests on unsigned metadata alone is counted in the report', async () => {
  world.repositories(`[os]\nname=os\nbaseurl=${OS}\ngpgcheck=0\n`);
  try {
    const ran = await world.run(['-u', '--lists', world.lists, '--keys', world.keys]);
    expect(ran.stdout).toMatch(/^warning: files that rest on unsigned metadata \(gpgcheck=0\) alone: 3$/m);
  } finally {
    world.repositories(REPOSITORIES);
  }
});

test('mix and match: a list of packages of another moment than its index is not taken', async () => {
  const repodata = join(lists, 'repodata');
  const primary = readdirSync(repodata).find((name) => name.endsWith('primary.xml.gz')) as string;
  const { length: size } = readFileSync(join(repodata, primary));
  const text = gunzipSync(readFileSync(join(repodata, primary))).toString();
  writeFileSync(join(repodata, primary), gzipSync(text.replace('bash', 'dash'), { level: 9 }).subarray(0, size));
  const { report, code, output } = await world.download(['-S']);
  expect(problemsOf(report)).toContain('CONTENT_MISMATCH');
  // The mirror's copies of the repositories are whole.
  expect(report.results.find(({ file }) => file === BASH)?.place).toBe('mirror: os');
  expect(world.there(output)).toEqual(world.expected);
  expect(code).toBe(0);
});

test('wrong software: a package under the name of another one is not taken, even where nothing is signed', async () => {
  const upstream = world.upstreamPath(OS);
  world.repositories(`[os]\nname=os\nbaseurl=${OS}\ngpgcheck=0\n`);
  try {
    const [acl, bash] = ['acl-1-1.noarch.rpm', 'bash-1-1.x86_64.rpm'].map((name) => join(upstream, name)) as [string, string];
    const [hash, wrong] = [sha256Of(bash), sha256Of(acl)];
    copyFileSync(acl, bash);
    const repodata = join(upstream, 'repodata');
    const primary = readdirSync(repodata).find((name) => name.endsWith('primary.xml.gz')) as string;
    const size = readFileSync(acl).length;
    const changed = gunzipSync(readFileSync(join(repodata, primary)))
      .toString()
      .replace(/<package type="rpm">\s*<name>bash<[\s\S]*?<\/package>/, (one) =>
        one.replace(hash, wrong).replace(/package="\d+"/, `package="${size}"`),
      );
    reindex(repodata, primary, changed);
    const { report, code } = await world.download(['-u']);
    expect(failuresOf(report, BASH)).toEqual(['WRONG_PACKAGE']);
    expect(code).toBe(6);
  } finally {
    world.repositories(REPOSITORIES);
  }
});

test.each(['../../../escaped.rpm', '/escaped.rpm', '%2e%2e/%2e%2e/bash-1-1.x86_64.rpm', 'http://evil.example.org/bash-1-1.x86_64.rpm'])(
  'path escape: a location %s in metadata is refused',
  async (href) => {
    const repodata = join(world.upstreamPath(OS), 'repodata');
    const primary = readdirSync(repodata).find((name) => name.endsWith('primary.xml.gz')) as string;
    const text = gunzipSync(readFileSync(join(repodata, primary))).toString();
    reindex(repodata, primary, text.replace('href="bash-1-1.x86_64.rpm"', `href="${href}"`));
    const { report, code, output } = await world.download(['-u']);
    expect(problemsOf(report)).toEqual(['LOCATION_UNSAFE']);
    expect(code).toBe(6);
    expect([...world.there(output).keys()].filter((path) => !world.expected.has(path))).toEqual([]);
  },
);

test('path escape: names in lists and digests that leave the directory are refused before anything is asked', async () => {
  const list = join(world.directory, 'rpms_escape.lst');
  writeFileSync(list, '../../etc/passwd\n');
  const asked = world.mirror.asked.length;
  const { code, stderr } = await world.run(['-s', list]);
  expect(code).toBe(3);
  expect(stderr).toMatch(/rpms_escape\.lst line 1 .*\n {2}\S/);
  expect(stderr).not.toMatch(/ at .*\.[cj]s:\d+/);
  expect(world.mirror.asked.length).toBe(asked);
});

test('a captive portal: a page with the status of success is no tarball, even at first sight', async () => {
  const own = join(world.directory, 'portal');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'tarball-dl.lst'), 'dpdk-18.11.tar.gz#dpdk#http://source.example.org/archives/dpdk-18.11.tar.gz#http##\n');
  world.upstream.fault = (_path, _request, response) => (response.writeHead(200).end('<html>Log in first</html>'), true);
  const { code, stdout } = await world.run(['-u', '--first-sight', '--lists', own]);
  expect(code).toBe(6);
  expect(stdout).toMatch(/is no archive/);
});

test.each([
  ['a changed byte', true, (bytes: Buffer) => bytes.fill(bytes.readUInt8(bytes.length - 3) ^ 1, bytes.length - 3, bytes.length - 2)],
  ['a changed byte', false, (bytes: Buffer) => bytes.fill(bytes.readUInt8(bytes.length - 3) ^ 1, bytes.length - 3, bytes.length - 2)],
  ['its end cut off', true, (bytes: Buffer) => bytes.subarray(0, bytes.length - 40)],
  ['its end cut off', false, (bytes: Buffer) => bytes.subarray(0, bytes.length - 40)],
])('damage: a package with %s is not taken at first sight (keys: %s)', async (_what, keys, damage) => {
  const own = join(world.directory, 'first-sight');
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own);
  const at = world.upstreamPath('http://third.example.org/rpms/');
  copyFileSync(join(world.upstreamPath(OS), 'bash-1-1.x86_64.rpm'), join(at, 'bash-1-1.x86_64.rpm'));
  const names = ['novnc-1-1.noarch.rpm', 'bash-1-1.x86_64.rpm'];
  writeFileSync(join(own, 'rpms_x.lst'), names.map((name) => `${name}#http://third.example.org/rpms/${name}\n`).join(''));
  const argv = ['-u', '--first-sight', '--lists', own, ...(keys ? ['--keys', world.keys] : [])];
  const whole = await world.run(argv);
  expect({ code: whole.code, files: world.there(whole.output).size }).toEqual({ code: 0, files: 3 });
  for (const name of names) writeFileSync(join(at, name), damage(readFileSync(join(at, name))));
  const { code, stdout, output } = await world.run(argv);
  expect(code).toBe(6);
  expect(stdout.match(/rpm: it is (damaged|no intact package)/g)).toHaveLength(2);
  expect(world.there(output).size).toBe(0);
});

/** Writes a list of packages, and an index that names it rightly. */
function reindex(repodata: string, primary: string, text: string): void {
  const bytes = gzipSync(text);
  const before = readFileSync(join(repodata, primary));
  const hex = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
  writeFileSync(join(repodata, primary), bytes);
  const index = join(repodata, 'repomd.xml');
  const changed = readFileSync(index, 'utf8')
    .replace(hex(before), hex(bytes))
    .replace(hex(gunzipSync(before)), hex(Buffer.from(text)))
    .replace(`<size>${before.length}<`, `<size>${bytes.length}<`)
    .replace(`<open-size>${gunzipSync(before).length}<`, `<open-size>${Buffer.byteLength(text)}<`);
  writeFileSync(index, changed);
}
