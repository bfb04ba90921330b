/** What a server tells a plan: what a deploy would meet, by the checks that the deploy runs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ObservationRequestSchema, type ObservationRequest } from '../../desired-state/model';
import { foresee } from '../../host-agent/foresee';
import { recordHosted } from '../../host-agent/hosted';
import { EMPTY_MANIFEST, type Manifest } from '../../host-agent/manifest';
import { hostPaths } from '../../host-agent/paths';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'mirror-foresee-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const served = { 'repository/a': ['a'], 'repository/b': ['b'], 'repository/c': ['c'] };
const manifest: Manifest = {
  ...EMPTY_MANIFEST,
  generation: 7,
  owner: 'ours/server',
  desiredState: 'd'.repeat(64),
  programs: 'p'.repeat(64),
  elements: { 'repository/a': '1', 'repository/b': '1', 'repository/c': '1' },
  links: Object.fromEntries(['a', 'b', 'c'].map((id) => [id, `repositories/${id}/current`])),
  published: served,
};
const links = (...ids: string[]) =>
  Object.fromEntries(ids.map((id) => [`repository/${id}`, { links: { [id]: `repositories/${id}/current` } }]));

function request(over: Partial<NonNullable<ObservationRequest['deploy']>> = {}, elements = manifest.elements): ObservationRequest {
  const deploy = {
    desiredState: manifest.desiredState,
    programs: manifest.programs,
    storage: { root: '/no/such/storage', ownMount: false },
    waivers: { unpublish: [] },
    elements: links('a', 'b', 'c'),
    ...over,
  };
  return ObservationRequestSchema.parse({ owner: 'ours/server', elements, deploy });
}

function told(asked: ObservationRequest, before = manifest, deviations: string[] = []): ReturnType<typeof foresee> {
  const paths = hostPaths(directory);
  mkdirSync(dirname(paths.hostedRecord), { recursive: true });
  recordHosted(paths, manifest);
  return foresee(paths, before, asked, { deviations, secrets: { 'signing-key': 'same' } });
}

test('the same again: no new generation', () => {
  expect(told(request())).toEqual({
    generation: 7,
    owner: 'ours/server',
    deviations: [],
    pending: { added: [], changed: [], removed: [] },
    secrets: { 'signing-key': 'same' },
    unchanged: true,
    samePrograms: true,
  });
});

test.each<[string, ObservationRequest, Manifest, string[], object]>([
  [
    'a change',
    request({ desiredState: 'e'.repeat(64) }, { 'repository/a': '2', 'repository/b': '1', n: '1' }),
    manifest,
    [],
    { unchanged: false, pending: { added: ['n'], changed: ['repository/a'], removed: ['repository/c'] } },
  ],
  ['other programs', request({ programs: 'q'.repeat(64) }), manifest, [], { unchanged: false, samePrograms: false }],
  ['drift, each once', request(), manifest, ['b', 'a', 'b'], { unchanged: false, deviations: ['a', 'b'] }],
  ['no generation', request(), EMPTY_MANIFEST, [], { unchanged: false, generation: 0 }],
  ['hosted content of another generation', request(), { ...manifest, secrets: { 'signing-key': 'x' } }, [], { unchanged: false }],
  ["another's server", request(), { ...manifest, owner: 'theirs/server' }, [], { refused: { code: 'FOREIGN_OWNER' } }],
  ['most would go', request({ elements: links('a') }), manifest, [], { refused: { code: 'UNPUBLISHES_MOST' } }],
  [
    'most would go, waived',
    request({ elements: links('a'), waivers: { unpublish: ['repository/b', 'repository/c'] } }),
    manifest,
    [],
    { samePrograms: true },
  ],
  [
    'a disk that is not mounted',
    request({ storage: { root: '/no/such/mount', ownMount: true } }),
    manifest,
    [],
    { refused: { code: 'DATA_MOUNT_MISSING' } },
  ],
])('%s', (_name, asked, before, deviations, expected) => {
  const foreseen = told(asked, before, deviations);
  expect(foreseen).toMatchObject(expected);
  expect(foreseen?.refused === undefined).toBe(!('refused' in expected));
});

test('a path that would lose its content, unless its element adopts it', () => {
  const storage = { root: join(directory, 'srv'), ownMount: false };
  mkdirSync(join(storage.root, 'repositories', 'c', 'current'), { recursive: true });
  writeFileSync(join(storage.root, '.mirror-data'), '');
  const renamed = (adopts: object) => ({ ...links('a', 'b'), 'repository/n': { links: { c: 'repositories/n/current' }, ...adopts } });
  expect(told(request({ storage, elements: renamed({}) }))?.refused?.code).toBe('PATH_WOULD_EMPTY');
  expect(told(request({ storage, elements: renamed({ adopts: 'c' }) }))?.refused).toBeUndefined();
});

test('what a deploy would bring in words of another version is not foretold, and does not stop the plan', () => {
  const other = ObservationRequestSchema.parse({ owner: 'o', elements: {}, deploy: { somethingElse: true } });
  expect(other.deploy).toBeUndefined();
  expect(told(other)).toBeUndefined();
});
