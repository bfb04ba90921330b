/** What a plan says of releases with builds. */
import { stringify } from 'yaml';
import { summarize } from '../../../scripts/plan-summary';
import { activation, change, plan, type Resource } from './plans';

const BUILD = {
  series: 'rc/3.0/centos/flock',
  timestamp: '20261101T023000Z',
  publicPath: 'mirror/starlingx/release/3.0.1/centos/flock',
};
const LATER = { ...BUILD, timestamp: '20261102T023000Z' };
const MEMBERS = [{ id: 'epel-7', publicPath: 'mirror/epel-7' }];
const of = (more: object): Record<string, string> => ({
  element: 'release/3.0.1',
  definition: stringify({ kind: 'release', id: '3.0.1', members: [], ...more }),
});
const changed: Resource = change(activation(), activation({ desired_state: 'b' }));

test.each<[string, Resource, string[]]>([
  [
    'builds alone',
    change(null, of({ builds: [BUILD] })),
    ['adds release 3.0.1: the builds rc/3.0/centos/flock/20261101T023000Z; once frozen it never changes'],
  ],
  [
    'with what they were built from',
    change(null, of({ at: '2026-11-01T02:30:00Z', members: MEMBERS, builds: [BUILD] })),
    [
      'adds release 3.0.1: 1 repository as of 2026-11-01T02:30:00Z, and the builds rc/3.0/centos/flock/20261101T023000Z; once frozen it never changes',
    ],
  ],
  [
    'another one',
    change(of({ builds: [BUILD] }), of({ builds: [LATER] })),
    [
      'declares release 3.0.1 as the builds rc/3.0/centos/flock/20261102T023000Z (was the builds rc/3.0/centos/flock/20261101T023000Z): refused by the server if it was frozen otherwise',
    ],
  ],
  [
    'named snapshots still',
    change(null, of({ members: MEMBERS })),
    ['adds release 3.0.1: named snapshots of 1 repository; once frozen it never changes'],
  ],
])('%s', (_what, one, sentences) => {
  expect(summarize(plan(one, changed)).sentences).toEqual(sentences);
});
