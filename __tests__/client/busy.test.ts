/** Many requests at a time: servers that are away for a moment, and repositories that have the same address. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { OS, World } from './world';

jest.setTimeout(300_000);

let world: World;
let many: string;
/** More than are asked for at a time. */
const FILES = 400;
beforeAll(async () => {
  world = await new World().fill();
  many = join(world.directory, 'many');
  const at = world.upstreamPath('http://busy.example.org/');
  for (const directory of [many, at]) mkdirSync(directory, { recursive: true });
  const names = Array.from({ length: FILES }, (_, i) => `file-${i}.tar.gz`);
  const bytes = new Map(names.map((name) => [name, gzipSync(name)]));
  for (const [name, content] of bytes) writeFileSync(join(at, name), content);
  writeFileSync(join(many, 'tarball-dl.lst'), names.map((name) => `${name}#x#http://busy.example.org/${name}#http##\n`).join(''));
  const sums = [...bytes].map(([name, content]) => `${createHash('sha256').update(content).digest('hex')}  ${name}\n`);
  writeFileSync(join(many, 'tarball-dl.sha256'), sums.join(''));
});
afterAll(() => world.close());
beforeEach(() => {
  world.mirror.fault = world.upstream.fault = () => false;
  world.upstream.asked.length = 0;
});

/** Answers so for that many milliseconds from the first request on. */
function away(milliseconds: number, answer: (response: ServerResponse) => void): void {
  let until: number | undefined;
  world.upstream.fault = (_path, _request, response) => {
    until ??= performance.now() + milliseconds;
    if (performance.now() > until) return false;
    answer(response);
    return true;
  };
}

test.each<[string, number, (response: ServerResponse) => void]>([
  ['answers 503 and asks to come back in a second', 1500, (response) => response.writeHead(503, { 'retry-after': '1' }).end()],
  ['answers 502', 1500, (response) => response.writeHead(502).end()],
  ['closes connections', 600, (response) => response.destroy()],
])('a server that %s for a moment costs no file', async (_what, milliseconds, answer) => {
  away(milliseconds, answer);
  const { code, output, stdout } = await world.run(['-u', '--lists', many]);
  expect(stdout).toMatch(new RegExp(`${FILES} came`));
  expect(code).toBe(0);
  expect(readdirSync(join(output, 'downloads')).filter((name) => name.endsWith('.gz'))).toHaveLength(FILES);
});

test('a server that stays away is given up once, after three tries, and not asked for each file', async () => {
  away(600_000, (response) => response.destroy());
  const { code, stdout } = await world.run(['-u', '--lists', many]);
  expect(code).toBe(5);
  expect(stdout).toMatch(/was not asked/);
  // One for each request of the first moment, and then one at a time.
  expect(world.upstream.asked.length).toBeLessThan(FILES);
});

test('one file that a server always fails at costs itself', async () => {
  world.upstream.fault = (path, _request, response) => path.endsWith('/file-0.tar.gz') && (response.destroy(), true);
  const { code, output } = await world.run(['-u', '--lists', many]);
  expect(code).toBe(5);
  expect(readdirSync(join(output, 'downloads')).filter((name) => name.endsWith('.gz'))).toHaveLength(FILES - 1);
});

test.each([[[]], [['--dry-run']]])(
  'two repositories of one address: its list of packages comes once, and nobody takes it away from another (%j)',
  async (argv) => {
    const own = join(world.directory, 'twice');
    mkdirSync(join(own, 'yum.repos.d'), { recursive: true });
    const section = (id: string): string => `[${id}]\nname=${id}\nbaseurl=${OS}\ngpgcheck=0\n`;
    writeFileSync(join(own, 'yum.repos.d/a.repo'), ['one', 'two', 'three'].map(section).join('\n'));
    writeFileSync(join(own, 'rpms_centos.lst'), 'bash-1-1.x86_64.rpm\nnot-there-1-1.noarch.rpm\n');
    // So late that all of them are at it.
    world.upstream.fault = (path, _request, response) => {
      if (!/primary/.test(path)) return false;
      const bytes = readFileSync(join(world.upstream.root, path));
      setTimeout(() => response.writeHead(200, { 'content-length': bytes.length }).end(bytes), 300);
      return true;
    };
    const { code, stdout, stderr } = await world.run(['-u', '--lists', own, '--json', ...argv]);
    expect(stderr).toBe('');
    expect(code).toBe(5);
    expect(JSON.parse(stdout)).toMatchObject({ problems: [], files: { failed: 1 } });
    expect(world.upstream.asked.filter((path) => /primary/.test(basename(path)))).toHaveLength(1);
  },
);
