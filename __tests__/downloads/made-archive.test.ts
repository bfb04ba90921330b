/** Archives of git commits and of lists of files: the same source gives the same tar, and nothing of a server's reaches further than the archive. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchCommit } from '../../downloads/git';
import { MirrorError } from '../../desired-state/errors';
import { HttpClient } from '../../downloads/http';
import { type ArchiveOptions, type ArchiveSource, type MadeArchive, makeArchive } from '../../downloads/made-archive';
import { GitRepository, GitServer } from '../content/support/git-upstream';
import { sha256, write } from '../content/support/tree-upstream';
import { Upstream } from '../content/support/upstream';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'archives-'));
const client = new HttpClient();
let repository: GitRepository;
let server: GitServer;
let first: string;

beforeEach(async () => {
  repository = new GitRepository();
  first = repository.commit({
    'a file': 'one\n',
    'sub/b.sh': 'two\n',
    '.gitattributes': 'version export-subst\n',
    version: '$Format:%h %d$\n',
  });
  repository.git('tag', 'v930');
  server = await new GitServer(repository.directory).start();
});
afterEach(async () => {
  await server.stop();
  rmSync(repository.directory, { recursive: true });
});
afterAll(async () => {
  await client.close();
  rmSync(work, { recursive: true });
});

async function made(
  source: ArchiveSource,
  name = 'x.tar.gz',
  options: Partial<ArchiveOptions> = {},
): Promise<MadeArchive & { readonly path: string }> {
  const directory = mkdtempSync(join(work, 'work-'));
  const path = join(directory, name);
  mkdirSync(join(directory, 'work'));
  try {
    return { path, ...(await makeArchive(client, source, name, path, { work: join(directory, 'work'), retry: { tries: 1 }, ...options })) };
  } finally {
    if (existsSync(path)) expect(readdirSync(directory).sort()).toEqual(['work', name].sort());
    else expect(readdirSync(directory)).toEqual(['work']);
  }
}

const git = (ref: string, url = `${server.url}.git`): ArchiveSource => ({ method: 'git', url, ref, directory: 'tss2-930' });
const listed = (path: string): readonly string[] => execFileSync('tar', ['-tf', path], { encoding: 'utf8' }).trimEnd().split('\n');
const fileOf = (path: string, name: string): string => execFileSync('tar', ['-xOf', path, name], { encoding: 'utf8' });

test('a tag, a branch and a commit, long and short, give the same tar; another commit another one', async () => {
  const byTag = await made(git('v930'));
  expect(listed(byTag.path)).toEqual(['', '.gitattributes', 'a file', 'sub/', 'sub/b.sh', 'version'].map((name) => `tss2-930/${name}`));
  expect(sha256(readFileSync(byTag.path))).toBe(byTag.sha256);
  expect(sha256(execFileSync('gzip', ['-dc', byTag.path]))).toBe(byTag.tar);
  const others = [await made(git('main')), await made(git(first)), await made(git(first.slice(0, 9)))];
  expect(others.map(({ tar, sha256: whole, size }) => ({ tar, whole, size }))).toEqual(
    Array(3).fill({ tar: byTag.tar, whole: byTag.sha256, size: byTag.size }),
  );
  repository.commit({ more: 'm' });
  expect((await made(git('main'))).tar).not.toBe(byTag.tar);
  // The older commit comes alone or among all: it is the same one.
  expect((await made(git(first))).tar).toBe(byTag.tar);
  expect((await made(git(first.slice(0, 9)))).tar).toBe(byTag.tar);
  expect(fileOf(byTag.path, 'tss2-930/version')).toBe(`${first.slice(0, 12)} \n`);
});

test.each([
  ['x.tar', 'cat'],
  ['x.tgz', 'gzip -dc'],
  ['x.tar.bz2', 'bzip2 -dc'],
  ['x.tar.xz', 'xz -dc'],
])('%s is compressed as its name says', async (name, program) => {
  const { path, tar } = await made(git('v930'), name);
  const [command, ...argv] = program.split(' ') as [string];
  expect(sha256(execFileSync(command, [...argv, path]))).toBe(tar);
});

test('a server of files, which knows no protocol of git, gives the same', async () => {
  const { tar } = await made(git('v930'));
  repository.git('update-server-info');
  repository.git('gc', '--quiet');
  const web = await new Upstream(join(repository.directory, '.git')).start();
  web.handlers.set('info/refs?service=git-upload-pack', (_request, response) => {
    response.end(readFileSync(join(repository.directory, '.git/info/refs')));
    return true;
  });
  try {
    for (const ref of ['v930', 'main', first]) expect((await made(git(ref, web.url))).tar).toBe(tar);
  } finally {
    await web.stop();
  }
});

test('a redirect is followed by our own client, as far as that goes', async () => {
  const { tar } = await made(git('v930'));
  const other = await new GitServer(repository.directory).start();
  server.requests.length = 0;
  server.instead = (request, response) => {
    response.writeHead(301, { location: other.url + (request.url as string).slice(1) }).end();
    return true;
  };
  try {
    expect((await made(git('v930'))).tar).toBe(tar);
    expect(server.requests.every((path) => path.endsWith('/info/refs?service=git-upload-pack'))).toBe(true);
    server.instead = (_request, response) => (
      response.writeHead(302, { location: `http://localhost:1/x/info/refs?service=git-upload-pack` }).end(),
      true
    );
    await expect(made(git('v930'))).rejects.toMatchObject({ code: 'PRIVATE_ADDRESS' });
    server.instead = (_request, response) => (response.writeHead(302, { location: `${other.url}login` }).end(), true);
    await expect(made(git('v930'))).rejects.toThrow(/status 404|is no repository/);
  } finally {
    await other.stop();
  }
});

test('git goes through the declared proxy, unless the host is an exception', async () => {
  const { tar } = await made(git('v930'));
  server.requests.length = 0;
  const proxy = { url: server.url, except: ['127.0.0.1'] };
  const proxied = new HttpClient({ proxy });
  const byProxy = async (url: string): Promise<MadeArchive> => {
    const directory = mkdtempSync(join(work, 'proxy-'));
    mkdirSync(join(directory, 'work'));
    return makeArchive(proxied, git('v930', url), 'x.tar', join(directory, 'x.tar'), {
      work: join(directory, 'work'),
      retry: { tries: 1 },
      proxy,
    });
  };
  expect((await byProxy('http://git.example.org/.git')).tar).toBe(tar);
  expect(server.requests.length).toBeGreaterThan(1);
  expect(server.requests.every((url) => url.startsWith('http://git.example.org/.git/'))).toBe(true);
  server.requests.length = 0;
  expect((await byProxy(`${server.url}.git`)).tar).toBe(tar);
  expect(server.requests.every((url) => url.startsWith('/.git/'))).toBe(true);
  await proxied.close();
});

test.each<[string, (upstream: { url: string }) => ArchiveSource, string]>([
  ['a ref that is not there', ({ url }) => git('v931', `${url}.git`), 'GIT_REF_MISSING'],
  ['a commit that is not there', ({ url }) => git('f'.repeat(40), `${url}.git`), 'GIT_REF_MISSING'],
  ['the start of several commits, or of none', ({ url }) => git('fffffff', `${url}.git`), 'GIT_REF_MISSING'],
  ['an option', ({ url }) => git('--upload-pack=touch', `${url}.git`), 'GIT_REF_MISSING'],
  ['a range', ({ url }) => git('v930..main', `${url}.git`), 'GIT_REF_MISSING'],
  ['another revision', ({ url }) => git('v930^{/x}', `${url}.git`), 'GIT_REF_MISSING'],
  ['a pattern', ({ url }) => git('v*', `${url}.git`), 'GIT_REF_MISSING'],
  ['no repository', ({ url }) => git('v930', `${url}nothing.git`), 'UPSTREAM_FILE_MISSING'],
])('%s is told with its URL', async (_what, source, code) => {
  await expect(made(source(server))).rejects.toMatchObject({
    code,
    message: expect.stringContaining(server.url),
    remedy: expect.stringMatching(/./),
  });
});

/** Answers our own client as git's server does, and git with what never ends, every so many milliseconds a piece. */
function slowly(piece: string, every: number): void {
  server.instead = (request, response) => {
    if (request.headers['user-agent']?.startsWith('git/') !== true) return false;
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
    response.write(`001e# service=git-upload-pack\n0000`);
    const ticker = setInterval(() => response.write(piece), every);
    response.on('close', () => clearInterval(ticker));
    return true;
  };
}
/** Processes that talk to the server. */
const talking = (): string => spawnSync('pgrep', ['-f', `git.*${server.url}`], { encoding: 'utf8' }).stdout;
const ref = (name: string): string => {
  const line = `${'a'.repeat(40)} refs/tags/${name}\n`;
  return (line.length + 4).toString(16).padStart(4, '0') + line;
};

test.each<[string, () => void, RegExp]>([
  ['refs that trickle', () => slowly(ref('v930'), 200), /git: it was stopped after 2 s/],
  ['nothing', () => slowly('', 200), /git: it was stopped after 2 s/],
])('git that is sent %s ends in time, with its helpers', async (_what, begin, message) => {
  begin();
  const directory = mkdtempSync(join(work, 'slow-'));
  const began = Date.now();
  await expect(fetchCommit(client, `${server.url}.git`, 'v930', directory, { seconds: 2 })).rejects.toMatchObject({
    kind: 'transient',
    message: expect.stringMatching(message),
  });
  expect(Date.now() - began).toBeLessThan(10_000);
  expect(talking()).toBe('');
});

test('a machine without setpriv and prlimit makes the same; one without git is told so, and waits for nothing', async () => {
  const { tar } = await made(git('v930'));
  const path = process.env['PATH'];
  const bin = mkdtempSync(join(work, 'bin-'));
  symlinkSync(execFileSync('which', ['git'], { encoding: 'utf8' }).trim(), join(bin, 'git'));
  try {
    process.env['PATH'] = bin;
    expect((await made(git('v930'))).tar).toBe(tar);
    // The server runs git, too.
    server.instead = (_request, response) => (response.end(), true);
    process.env['PATH'] = work;
    await expect(made(git('v930'))).rejects.toMatchObject({ code: 'TOOL_MISSING', message: 'the program git is not installed' });
  } finally {
    process.env['PATH'] = path;
  }
});

test('nothing of this machine or of the repository runs, and no repository is larger than it may be', async () => {
  const mark = join(work, 'mark');
  const home = mkdtempSync(join(work, 'home-'));
  writeFileSync(
    join(home, '.gitconfig'),
    `[core]\n fsmonitor = touch ${mark}\n[uploadpack]\n packObjectsHook = touch ${mark}\n[tar "tar.gz"]\n command = touch ${mark}\n[http]\n proxy = http://127.0.0.1:1\n`,
  );
  const before = { HOME: process.env['HOME'], GIT_DIR: process.env['GIT_DIR'], GIT_CONFIG_COUNT: process.env['GIT_CONFIG_COUNT'] };
  Object.assign(process.env, { HOME: home, GIT_DIR: '/nowhere', GIT_CONFIG_COUNT: '7' });
  try {
    await made(git('v930'));
  } finally {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
  expect(existsSync(mark)).toBe(false);
  // Bytes that nothing compresses.
  const noise = Array.from({ length: 40_000 }, (_, n) => sha256(String(n))).join('\n');
  repository.commit({ noise });
  await expect(made(git('main'), 'x.tar.gz', { maxBytes: 200_000 })).rejects.toMatchObject({ code: 'BODY_TOO_LONG' });
});

test('a list of files gives one archive, the same from wherever and whenever they are fetched', async () => {
  const root = mkdtempSync(join(work, 'upstream-'));
  write(root, { 'rel/b': 'b', 'rel/sub dir/a': 'a', 'rel/c': Buffer.alloc(3_000_000, 1) });
  const web = await new Upstream(root).start();
  const source = (members: readonly string[]): ArchiveSource => ({ method: 'filelist', url: `${web.url}rel`, members, directory: 'd/e' });
  try {
    const one = await made(source(['b', 'sub dir/a', 'c']));
    expect(listed(one.path)).toEqual(['d/', 'd/e/', 'd/e/b', 'd/e/c', 'd/e/sub dir/', 'd/e/sub dir/a']);
    expect(execFileSync('tar', ['-tvf', one.path], { encoding: 'utf8', env: { ...process.env, TZ: 'UTC' } })).toMatch(
      /^drwxr-xr-x 0\/0 +0 1970-01-01 00:00 d\/\n(.*\n)*-rw-r--r-- 0\/0 +1 1970-01-01 00:00 d\/e\/b\n/,
    );
    expect((await made(source(['c', 'sub dir/a', 'b']), 'other.tar.xz')).tar).toBe(one.tar);
    await expect(made(source(['b', 'gone']))).rejects.toMatchObject({
      code: 'UPSTREAM_FILE_MISSING',
      message: expect.stringContaining('rel/gone'),
    });
  } finally {
    await web.stop();
  }
});

test.each([
  ['x', '../../../escaped'],
  ['x', '/escaped'],
  ['x', 'a/../../x-beside/escaped'],
  ['../../x', 'escaped'],
  ['.', 'escaped'],
])('in the directory %j the member %j is refused before anything is asked', async (directory, member) => {
  const web = await new Upstream(mkdtempSync(join(work, 'web-'))).start();
  web.handlers.set('escaped', (_request, response) => (response.end('pwn'), true));
  try {
    const source: ArchiveSource = { method: 'filelist', url: `${web.url}/`, members: [member], directory };
    await expect(made(source)).rejects.toMatchObject({ code: 'MEMBER_UNSAFE', exitCode: 3 });
    expect(web.requests).toEqual([]);
  } finally {
    await web.stop();
  }
});

describe('an archive that takes too much room', () => {
  const noRoom = (): Promise<never> => Promise.reject(new MirrorError({ code: 'DISK_GUARD', message: 'full', remedy: 'r', exitCode: 7 }));
  const sparse = (bytes: number): string => {
    const root = mkdtempSync(join(work, 'sparse-'));
    for (const name of ['a', 'b']) {
      writeFileSync(join(root, name), '');
      truncateSync(join(root, name), bytes);
    }
    return root;
  };

  test.each(['x.tar', 'x.tar.gz', 'x.tar.bz2', 'x.tar.xz'])(
    'is not made beyond the limit: %s of a commit that unpacks to more',
    async (name) => {
      repository.commit({ zeros: '0'.repeat(30_000_000) });
      await expect(made(git('main'), name, { maxArchiveBytes: 20_000_000 })).rejects.toMatchObject({
        code: 'BODY_TOO_LONG',
        message: expect.stringMatching(/has more than 20000000 bytes before it is compressed/),
        remedy: expect.stringContaining('The mirror makes no longer archive'),
      });
      await expect(made(git('main'), name, { maxArchiveBytes: 40_000_000 })).resolves.toMatchObject({ sha256: expect.any(String) });
    },
  );

  test('is not begun where what is announced does not fit, or is more than the limit', async () => {
    const web = await new Upstream(sparse(1000)).start();
    const source: ArchiveSource = { method: 'filelist', url: web.url, members: ['a', 'b'], directory: 'd' };
    const asked: unknown[] = [];
    const full = (need?: object): Promise<void> => (asked.push(need), need === undefined ? Promise.resolve() : noRoom());
    try {
      await expect(made(source, 'x.tar', { room: full })).rejects.toMatchObject({ code: 'DISK_GUARD' });
      expect(asked).toEqual([undefined, { bytes: 4000, files: 3 }]);
      await expect(made(source, 'x.tar', { room: noRoom })).rejects.toMatchObject({ code: 'DISK_GUARD' });
      await expect(made(source, 'x.tar', { maxArchiveBytes: 1999 })).rejects.toMatchObject({ code: 'BODY_TOO_LONG' });
      web.handlers.set('b', (_request, response) => (response.write('0'.repeat(1500)), response.end(), true));
      await expect(made(source, 'x.tar', { maxArchiveBytes: 1999 })).rejects.toMatchObject({ code: 'BODY_TOO_LONG' });
    } finally {
      await web.stop();
    }
  });

  test('is looked at again with each GiB', async () => {
    const web = await new Upstream(sparse(520 * 1024 ** 2)).start();
    const source: ArchiveSource = { method: 'filelist', url: web.url, members: ['a', 'b'], directory: 'd' };
    let asked = 0;
    const room = (need?: object): Promise<void> => (need === undefined && ++asked === 2 ? noRoom() : Promise.resolve());
    try {
      await expect(made(source, 'x.tar', { room })).rejects.toMatchObject({ code: 'DISK_GUARD' });
      expect(asked).toBe(2);
    } finally {
      await web.stop();
    }
  });
});
