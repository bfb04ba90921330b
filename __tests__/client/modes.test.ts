/** Every source mode against every state of the mirror and of the upstreams: what arrives is right, what fails is said. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { World } from './world';

jest.setTimeout(300_000);

let world: World;
beforeAll(async () => {
  world = await new World().fill();
});
afterAll(() => world.close());
beforeEach(() => {
  world.mirror.fault = world.upstream.fault = () => false;
  world.mirror.asked.length = world.upstream.asked.length = 0;
});

test.each(['-s', '-S', '-u', '-U'])('%s brings everything where all is well, and no mode asks whom it must not', async (mode) => {
  const { code, report, output, stderr } = await world.download([mode]);
  expect(stderr).toBe('');
  expect(report.results.filter(({ status }) => status !== 'fetched')).toEqual([]);
  expect(world.there(output)).toEqual(world.expected);
  expect(code).toBe(0);
  expect(existsSync(join(output, 'Binary/EFI'))).toBe(true);
  if (mode === '-s') expect(world.upstream.asked).toEqual([]);
  if (mode === '-u') expect(world.mirror.asked).toEqual([]);
  expect(report.scripts).toEqual([
    { file: 'kmod-1.tar.gz', original: 'downloads/originals/kmod-1.tar.gz', script: 'post-dl-script/kmod.sh' },
  ]);
  expect(readFileSync(join(output, '.download-mirror/state.json'), 'utf8')).toContain('Source/acl-source-1-1.src.rpm');
});

type State = 'up' | 'down' | 'half broken' | 'corrupted';
const STATES: readonly State[] = ['up', 'down', 'half broken', 'corrupted'];
const isIndex = (path: string): boolean => /repodata\/|SHA256SUMS/.test(path);
/** Which files a half broken server does not give, by name, whatever the path: two servers lack different ones, and some both. */
const lacks = (side: 'mirror' | 'upstream', name: string): boolean =>
  ((name.charCodeAt(0) + name.length) >> (side === 'mirror' ? 0 : 1)) % 2 === 0;

async function bring(side: 'mirror' | 'upstream', state: State): Promise<void> {
  const web = world[side];
  if (state === 'down') return web.stop();
  if (!web.isUp) await web.start();
  web.fault = (path, _request, response) => {
    if (isIndex(path) || state === 'up') return false;
    const name = basename(path);
    if (state === 'half broken') {
      if (!lacks(side, name)) return false;
      response.writeHead(name.length % 2 === 0 ? 404 : 503).end('no\n');
      return true;
    }
    const file = join(web.root, path);
    if (!existsSync(file) || !statSync(file).isFile()) return false;
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    return true;
  };
}

const gives = (side: 'mirror' | 'upstream', state: State, path: string): boolean =>
  state === 'up' || (state === 'half broken' && !lacks(side, basename(path)));
const cases = (['-s', '-S', '-u', '-U'] as const).flatMap((mode) =>
  STATES.filter((state) => mode !== '-u' || state === 'up').flatMap((mirror) =>
    STATES.filter((state) => mode !== '-s' || state === 'up').map((upstream) => [mode, mirror, upstream] as const),
  ),
);

test.each(cases)('%s with the mirror %s and upstreams %s', async (mode, mirror, upstream) => {
  try {
    await Promise.all([bring('mirror', mirror), bring('upstream', upstream)]);
    const { code, report, output } = await world.download([mode]);
    const sides = { '-s': ['mirror'], '-u': ['upstream'], '-S': ['mirror', 'upstream'], '-U': ['upstream', 'mirror'] } as const;
    const states = { mirror, upstream };
    const asked: readonly ('mirror' | 'upstream')[] = sides[mode];
    const here = [...world.expected].filter(([path]) => asked.some((side) => gives(side, states[side], path)));
    expect(world.there(output)).toEqual(new Map(here));
    const lacking = report.results.filter(({ status }) => status === 'failed');
    expect(lacking.map(({ file }) => file).sort()).toEqual(
      [...world.expected.keys()].filter((path) => !here.some(([p]) => p === path)).sort(),
    );
    const corrupted = asked.some((side) => states[side] === 'corrupted');
    expect(code).toBe(lacking.length === 0 ? 0 : corrupted ? 6 : 5);
    expect(report.exitCode).toBe(code);
    // Each says why: by itself, or by the servers that gave no answer.
    const silent = asked.some((side) => states[side] === 'down');
    for (const { failures = [] } of lacking) expect(failures.length > 0 || (silent && report.problems.length > 0)).toBe(true);
    // The preferred side serves what it can.
    const [first] = asked as ['mirror' | 'upstream'];
    for (const { file, place } of report.results) if (gives(first, states[first], file)) expect(place?.startsWith(first)).toBe(true);
  } finally {
    await Promise.all([bring('mirror', 'up'), bring('upstream', 'up')]);
  }
});
