/** What a plan says of downloads. */
import { stringify } from 'yaml';
import { summarize } from '../../../scripts/plan-summary';
import { activation, change, plan, repository, timer, type Resource } from './plans';

interface File {
  readonly path: string;
  readonly url?: string;
  readonly sha256?: string;
  readonly ref?: string;
}

const of = (files: readonly File[], more: object = {}, id = 'stx-3.0'): Record<string, string> => ({
  element: `downloads/${id}`,
  definition: stringify({
    kind: 'downloads',
    id,
    publicPath: `mirror/${id}`,
    files: files.map((file) => ({ url: `http://a/${file.path}`, ...file })),
    ...more,
  }),
});
const changed: Resource = change(activation(), activation({ desired_state: 'b' }));
const [D, E] = ['d'.repeat(64), 'e'.repeat(64)];
const KEPT = [1, 2, 3].map((number) => change(repository(`kept${number}`), repository(`kept${number}`)));
const time = { ...timer('03:00'), element: 'timer/stx-3.0' };

test.each<[string, Resource[], string[]]>([
  [
    'new ones',
    [change(null, of([{ path: 'a', sha256: D }, { path: 'b' }])), change(null, time), changed],
    ['adds downloads stx-3.0 (2 files, 1 without a recorded digest), synced daily at 03:00 UTC; its first sync starts in the background'],
  ],
  [
    'some that go',
    [...KEPT, change(of([{ path: 'a' }]), null), changed],
    ['removes downloads stx-3.0: unpublished at once, its content stays on the server'],
  ],
  [
    'a new name',
    [change(of([{ path: 'a' }], {}, 'old'), null), change(null, of([{ path: 'a' }], { formerId: 'old' })), changed],
    ['renames downloads old to stx-3.0: its content stays, and is public at /mirror/stx-3.0/; /mirror/old/ stops answering'],
  ],
  [
    'a line more, and one less',
    [change(of([{ path: 'a' }], { lists: { l: '1' } }), of([{ path: 'b' }, { path: 'c', sha256: D }], { lists: { l: '2' } })), changed],
    [
      'downloads stx-3.0: adds c, by the recorded digest',
      'downloads stx-3.0: adds b, which has no recorded digest: the first that comes is taken',
      'downloads stx-3.0: removes a: what is there stays for the grace period',
    ],
  ],
  [
    'another source',
    [
      change(
        of([{ path: 'a' }, { path: 'b', ref: 'v1' }]),
        of([
          { path: 'a', url: 'http://c/a' },
          { path: 'b', ref: 'v2', sha256: D },
        ]),
      ),
      changed,
    ],
    ['downloads stx-3.0: fetches a from http://c/a, which has no recorded digest', 'downloads stx-3.0: fetches b from http://a/b (at v2)'],
  ],
  [
    'digests',
    [
      change(
        of([{ path: 'a' }, { path: 'b', sha256: D }, { path: 'c', sha256: D }]),
        of([{ path: 'a', sha256: D }, { path: 'b', sha256: E }, { path: 'c' }]),
      ),
      changed,
    ],
    [
      'downloads stx-3.0: records the digest of a: what is served and differs is replaced',
      'downloads stx-3.0: changes the recorded digest of b: what is served is replaced by what has it',
      'downloads stx-3.0: no longer says the digest of c: what is served stays',
    ],
  ],
  [
    'many',
    [change(of([{ path: 'a' }]), of(Array.from({ length: 40 }, (_, n) => ({ path: `n${n}` })))), changed],
    [
      'downloads stx-3.0: adds 40 files, which have no recorded digest: the first that comes is taken',
      'downloads stx-3.0: removes a: what is there stays for the grace period',
    ],
  ],
  [
    'a comment in the list',
    [change(of([{ path: 'a' }], { lists: { l: '1' } }), of([{ path: 'a' }], { lists: { l: '2' } })), changed],
    ['downloads stx-3.0: serves its list as it is now; the files stay'],
  ],
  [
    'waivers',
    [change(of([{ path: 'a' }]), of([{ path: 'a' }], { waivers: [{ allow: 'incomplete', reason: 'gone' }] })), changed],
    [expect.stringMatching(/^waives incomplete for stx-3\.0 \(gone\): /) as string],
  ],
])('%s', (_what, resources, expected) => {
  expect(summarize(plan(...resources)).sentences).toEqual(expected);
});
