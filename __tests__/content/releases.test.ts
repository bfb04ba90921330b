import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Layout } from '../../content/layout';
import { buildsOfReleases, reachedByReleases } from '../../content/releases';
import type { ReleaseDefinition } from '../../desired-state/definitions';

const directory = mkdtempSync(join(tmpdir(), 'releases-'));
afterAll(() => rmSync(directory, { recursive: true }));

let count = 0;
function layoutWith(snapshots: Readonly<Record<string, readonly string[]>>): Layout {
  const base = join(directory, String(count++));
  const layout = new Layout(join(base, 'root'), join(base, 'state'), join(base, 'configuration'));
  for (const [id, names] of Object.entries(snapshots))
    for (const name of names) mkdirSync(join(layout.snapshots(id), name), { recursive: true });
  return layout;
}

const OLD = '20261101T000000Z-aaaaaaaaaaaa';
const NEW = '20261102T000000Z-bbbbbbbbbbbb';
const release = (id: string, rest: Partial<ReleaseDefinition>): ReleaseDefinition => ({
  kind: 'release',
  id,
  members: [{ id: 'a', publicPath: 'mirror/a' }],
  ...rest,
});

test('a declared release reaches what it would take', async () => {
  const layout = layoutWith({ a: [NEW, OLD, '.new-20261103T000000Z'], 'mos/c/os': [OLD] });
  const members = [
    { id: 'a', publicPath: 'mirror/a' },
    { id: 'mos/c/os', publicPath: 'mos-repos/c/os' },
  ];
  const reached = await reachedByReleases(layout, {
    releases: [
      release('then', { at: '2026-11-01T23:59:59Z', members }),
      release('exactly', { at: '2026-11-02T00:00:00Z' }),
      release('future', { at: '2999-01-01T00:00:00Z' }),
      release('before', { at: '2026-10-31T23:59:59Z' }),
      release('named', { members: [{ id: 'a', publicPath: 'mirror/a', snapshot: OLD }] }),
      release('absent', { members: [{ id: 'a', publicPath: 'mirror/a', snapshot: '20261102T000000Z-cccccccccccc' }] }),
    ],
  });
  expect(Object.fromEntries([...reached].map(([id, found]) => [id, Object.fromEntries(found)]))).toEqual({
    a: { [OLD]: ['then', 'named'], [NEW]: ['exactly', 'future'] },
    'mos/c/os': { [OLD]: ['then'] },
  });
});

test('what was withdrawn, or never came to be published, is taken by its name only', async () => {
  const layout = layoutWith({ a: [OLD, NEW] });
  symlinkSync(`snapshots/${OLD}`, layout.current('a'));
  const named = release('named', { members: [{ id: 'a', publicPath: 'mirror/a', snapshot: NEW }] });
  const reached = await reachedByReleases(layout, { releases: [release('now', { at: '2026-11-03T00:00:00Z' }), named] });
  expect(Object.fromEntries(reached.get('a') ?? [])).toEqual({ [OLD]: ['now'], [NEW]: ['named'] });
  // Where nobody knows, retention takes nothing that may have been published.
  rmSync(layout.current('a'));
  symlinkSync('nowhere', layout.current('a'));
  expect((await reachedByReleases(layout, { releases: [release('now', { at: '2026-11-03T00:00:00Z' })] })).get('a')?.has(NEW)).toBe(true);
});

test('a frozen release reaches what it is made of, whatever is declared', async () => {
  const layout = layoutWith({ a: [OLD, NEW] });
  mkdirSync(layout.release('r'), { recursive: true });
  const members = [{ id: 'a', publicPath: 'mirror/a', snapshot: OLD, files: 1, bytes: 1, carried: 0 }];
  const frozen = { version: 1, id: 'r', frozenAt: '2026-11-01T00:00:00.000Z', members, manifest: 'a'.repeat(64) };
  writeFileSync(join(layout.release('r'), 'release.json'), JSON.stringify(frozen));
  const both = [{ releases: [] }, { releases: [release('r', { at: '2026-11-02T00:00:00Z' })] }];
  for (const definitions of both) expect(await reachedByReleases(layout, definitions)).toEqual(new Map([['a', new Map([[OLD, ['r']]])]]));
});

test.each(['{', '{"version":2}', undefined])('a frozen release that cannot be read (%p) is none that reaches nothing', async (text) => {
  const layout = layoutWith({ a: [OLD] });
  mkdirSync(layout.release('r'), { recursive: true });
  if (text !== undefined) writeFileSync(join(layout.release('r'), 'release.json'), text);
  await expect(reachedByReleases(layout, { releases: [] })).rejects.toMatchObject({ code: 'RELEASE_DAMAGED' });
});

const BUILD = { series: 'master/centos/flock', timestamp: '20261101T023000Z', publicPath: 'mirror/starlingx/release/3.0.1/centos/flock' };
const OTHER = { ...BUILD, timestamp: '20261102T023000Z' };

test('builds of a frozen release are kept for it, declared or not, and those of one that is to be frozen', async () => {
  const layout = layoutWith({});
  mkdirSync(layout.release('3.0.1'), { recursive: true });
  const builds = [{ ...BUILD, files: 1, bytes: 1 }];
  const frozen = { version: 1, id: '3.0.1', frozenAt: '2026-11-01T00:00:00.000Z', members: [], builds, manifest: 'a'.repeat(64) };
  writeFileSync(join(layout.release('3.0.1'), 'release.json'), JSON.stringify(frozen));
  expect([...(await buildsOfReleases(layout, { releases: [] }))]).toEqual(['master/centos/flock@20261101T023000Z']);
  const releases = [
    release('3.0.1', { members: [], builds: [OTHER] }),
    release('3.0.2', { members: [], builds: [OTHER] }),
    release('3.1', {}),
  ];
  expect([...(await buildsOfReleases(layout, { releases }))]).toEqual([
    'master/centos/flock@20261101T023000Z',
    'master/centos/flock@20261102T023000Z',
  ]);
  writeFileSync(join(layout.release('3.0.1'), 'release.json'), '{');
  await expect(buildsOfReleases(layout, { releases: [] })).rejects.toMatchObject({ code: 'RELEASE_DAMAGED' });
});
