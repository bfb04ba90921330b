/** What a plan says of builds. */
import { stringify } from 'yaml';
import { summarize } from '../../../scripts/plan-summary';
import { activation, change, plan, repository, type Resource } from './plans';

const FLOCK = 'master/centos/flock';
const DISTRO = 'master/centos/distro';

const of = (series: readonly string[], retention?: object, more: object = {}): Record<string, string> => ({
  element: 'builds/stx-master',
  definition: stringify({ kind: 'builds', id: 'stx-master', branch: 'master', distribution: 'centos', series, retention }),
  service: 'as it is',
  ...more,
});
const changed: Resource = change(activation(), activation({ desired_state: 'b' }));
const KEPT = [1, 2, 3].map((number) => change(repository(`kept${number}`), repository(`kept${number}`)));

test.each<[string, Resource[], string[]]>([
  ['new ones', [change(null, of([DISTRO, FLOCK])), changed], [`adds builds stx-master: ${DISTRO}, ${FLOCK}, by the default rules`]],
  [
    'new ones with rules',
    [change(null, of([FLOCK], { greenDays: 60, yellowDays: 20, otherDays: 3, atLeast: 5 })), changed],
    [`adds builds stx-master: ${FLOCK}, green ones 60 days, yellow ones 20 days, others 3 days, at least 5`],
  ],
  [
    'some that go',
    [...KEPT, change(of([FLOCK]), null), changed],
    [`removes builds stx-master: ${FLOCK} no longer public; the builds stay on the server`],
  ],
  [
    'another layer, and one less',
    [change(of([DISTRO]), of([FLOCK])), changed],
    [`builds stx-master: adds ${FLOCK}`, `builds stx-master: ${DISTRO} no longer public; its builds stay on the server`],
  ],
  [
    'other rules',
    [change(of([FLOCK]), of([FLOCK], { otherDays: 14 })), changed],
    ['builds stx-master: they stay by other rules, others 14 days'],
  ],
  [
    'the default rules again',
    [change(of([FLOCK], { otherDays: 14 }), of([FLOCK])), changed],
    ['builds stx-master: they stay by other rules, by the default rules'],
  ],
  [
    'another unit',
    [change(of([FLOCK]), of([FLOCK], undefined, { service: 'another' })), changed],
    ['changes how builds expire (builds stx-master)'],
  ],
])('%s', (_name, resources, sentences) => {
  expect(summarize(plan(...resources)).sentences).toEqual(sentences);
});
