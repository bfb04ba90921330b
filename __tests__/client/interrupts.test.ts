/** A signal ends a run soon, whatever it waits for, and says so. */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { World } from './world';

jest.setTimeout(120_000);

let world: World;
let lists: string;
beforeAll(async () => {
  world = await new World().fill();
  lists = join(world.directory, 'own');
  mkdirSync(lists);
  writeFileSync(
    join(lists, 'tarball-dl.lst'),
    'tss2-930.tar.gz#tss2-930#http://git.example.org/tss#git#v930#\nacm.tar.gz#acm#http://acm.example.org/files/#http_filelist#acm.txt#\n',
  );
  writeFileSync(join(lists, 'acm.txt'), 'one\n');
});
afterAll(() => world.close());
afterEach(() => {
  world.mirror.fault = world.upstream.fault = () => false;
});

const byGit = ({ headers }: IncomingMessage): boolean => headers['user-agent']?.startsWith('git/') === true;

test.each<[string, 'mirror' | 'upstream', readonly string[], NodeJS.Signals, number, (path: string, request: IncomingMessage) => boolean]>([
  ['an index', 'mirror', ['-s'], 'SIGINT', 130, (path) => path.endsWith('SHA256SUMS')],
  ['a list of packages', 'upstream', ['-u'], 'SIGTERM', 143, (path) => path.includes('primary')],
  ['a member of an archive', 'upstream', ['-u', '--first-sight'], 'SIGINT', 130, (path) => path.endsWith('files/one')],
  ['git', 'upstream', ['-u', '--first-sight'], 'SIGTERM', 143, (path, request) => path.includes('tss/info/refs') && byGit(request)],
])('%s that does not come', async (what, side, argv, signal, expected, isSilent) => {
  let pid = 0;
  let asked = 0;
  world[side].fault = (path, request, response) => {
    if (path.includes('tss/info/refs') && !byGit(request)) return (response.writeHead(200).end('x'), true);
    if (!isSilent(path, request)) return false;
    // A second signal would end it at once.
    if (asked === 0) setTimeout(() => process.kill(pid, signal), 300).unref();
    asked ||= Date.now();
    return true;
  };
  const from = what === 'a list of packages' ? world.lists : lists;
  const { code, stderr } = await world.run([...argv, '--lists', from, '--keys', world.keys], { onStart: (started) => (pid = started) });
  expect(asked).toBeGreaterThan(0);
  expect(Date.now() - asked).toBeLessThan(5000);
  expect(stderr).toBe(`download-mirror: interrupted by ${signal}; what came is here, and the next run goes on from there\n`);
  expect(code).toBe(expected);
});
