/** What a plan says of package lists. */
import { stringify } from 'yaml';
import { summarize } from '../../../scripts/plan-summary';
import { activation, change, plan, repository, timer, type Resource } from './plans';

const bash = (release: string): string => `bash-4.2.46-${release}.el7.x86_64.rpm`;
const A = 'a-1-1.noarch.rpm';
const B = 'b-1-1.noarch.rpm';
const D = 'd'.repeat(64);

const of = (lines: readonly string[], more: object = {}, id = 'stx-3.0'): Record<string, string> => ({
  element: `lists/${id}`,
  definition: stringify({
    kind: 'lists',
    id,
    publicPath: `mirror/${id}`,
    lists: { 'rpms_centos.lst': lines.map((line) => `${line}\n`).join('') },
    ...more,
  }),
});
const changed: Resource = change(activation(), activation({ desired_state: 'b' }));
const KEPT = [1, 2, 3].map((number) => change(repository(`kept${number}`), repository(`kept${number}`)));
const time = { ...timer('06:10'), element: 'timer/stx-3.0' };
const many = (version: number): string[] => Array.from({ length: 11 }, (_, i) => `p${i}-${version}-1.noarch.rpm`);

test.each<[string, Resource[], string[]]>([
  [
    'new ones',
    [change(null, of([bash('31'), `${A}#http://h/a`])), change(null, time), changed],
    ['adds lists stx-3.0 (2 packages, 1 with a URL), synced daily at 06:10 UTC; its first sync starts in the background'],
  ],
  [
    'some that go',
    [...KEPT, change(of([A]), null), changed],
    ['removes lists stx-3.0: unpublished at once, its content stays on the server'],
  ],
  [
    'another version, a new package and one less',
    [change(of([bash('31'), A]), of([bash('34'), `${B}#http://h/b`])), changed],
    [
      'lists stx-3.0: asks for bash-4.2.46-34.el7.x86_64 instead of bash-4.2.46-31.el7.x86_64, which stays beside it',
      'lists stx-3.0: asks for b-1-1.noarch from http://h/b',
      'lists stx-3.0: asks for a-1-1.noarch no more: what is published stays by the rules of retention',
    ],
  ],
  [
    'many',
    [change(of(many(1)), of(many(2))), changed],
    ['lists stx-3.0: asks for other versions of 11 packages; the former ones stay beside them'],
  ],
  [
    'a comment',
    [change(of([A]), of(['# of the base', A])), changed],
    ['lists stx-3.0: serves its lists as they are now; the packages stay'],
  ],
  [
    'another URL',
    [change(of([`${A}#http://h/a`]), of([`${A}#http://i/a`])), changed],
    ['lists stx-3.0: asks for a-1-1.noarch at http://i/a'],
  ],
  [
    'a recorded digest and a key',
    [change(of([A]), of([A], { digests: { [A]: D }, keys: [{ file: 'keys/K', fingerprint: 'F' }] })), changed],
    [
      `lists stx-3.0: records the digest of ${A}: what is published and differs is replaced`,
      'lists stx-3.0: accepts packages with a URL that K signed',
    ],
  ],
])('%s', (_name, resources, sentences) => {
  expect(summarize(plan(...resources)).sentences).toEqual(sentences);
});
