/** What a plan says of modified packages. */
import { summarize } from '../../../scripts/plan-summary';
import { activation, answered, change, codename, plan, type Resource } from './plans';

const ID = 'starlingx/stx-master-packages';
const SIGNED = 'trust:\n  mode: signedPackages\n  keys:\n    - file: keys/one\n';
const UNSIGNED = 'trust:\n  mode: digestsOnly\n  reason: builds sign nothing\n';
const fields = (
  more = SIGNED,
  layers = ['compiler', 'flock'],
  path = 'mirror/starlingx/packages/master/centos',
): Record<string, string> => ({
  element: `packages/${ID}`,
  definition: `kind: packages\nid: ${ID}\npublicPath: ${path}\ncomponents:\n${layers.map((layer) => `  - ${layer}\n`).join('')}architectures:\n  - x86_64\n${more}`,
  repo_file: `[${layers.join()}]\n`,
});
/** Others that stay: what goes is not most of what is public. */
const KEPT = [1, 2].map((number) => change(codename(`mos/kept${number}`), codename(`mos/kept${number}`)));
const changed = (): Resource => change(activation(), activation({ desired_state: 'b'.repeat(64) }));

test.each<[string, Resource, string[]]>([
  ['new', change(null, fields()), [`adds modified packages ${ID} (2 repositories)`]],
  ['gone', change(fields(), null), [`removes modified packages ${ID}: unpublished at once, its content stays on the server`]],
  [
    'layers',
    change(fields(), fields(SIGNED, ['compiler', 'distro'])),
    [`adds distro to modified packages ${ID}`, `removes flock from modified packages ${ID}: its packages stay on the server`],
  ],
  [
    'a rule for rebuilt packages',
    change(fields(`${SIGNED}replaces:\n  - compiler\n`), fields(`${SIGNED}replaces:\n  - flock\n`)),
    [
      `lets rebuilt packages replace others in flock of modified packages ${ID}`,
      `refuses rebuilt packages in compiler of modified packages ${ID} from now on`,
    ],
  ],
  ['unsigned ones', change(fields(), fields(UNSIGNED)), [`takes unsigned packages in modified packages ${ID}: builds sign nothing`]],
  ['signed ones again', change(fields(UNSIGNED), fields()), [`takes signed packages only in modified packages ${ID} from now on`]],
  [
    'another reason',
    change(fields(UNSIGNED), fields(UNSIGNED.replace('sign nothing', 'cannot sign'))),
    [`gives another reason to take unsigned packages in modified packages ${ID}: builds cannot sign`],
  ],
  [
    'another key',
    change(fields(), fields(SIGNED.replace('one', 'two'))),
    [`changes whose signatures count in modified packages ${ID}: clients import the keys once`],
  ],
  [
    'another branch',
    change(fields(), fields(SIGNED, undefined, 'mirror/starlingx/packages/rc/3.0/centos')),
    [
      `moves modified packages ${ID} from /mirror/starlingx/packages/master/centos/ to /mirror/starlingx/packages/rc/3.0/centos/: the old paths stop answering`,
    ],
  ],
])('%s', (_what, resource, sentences) => {
  expect(summarize(plan(...KEPT, resource, changed())).sentences).toEqual(sentences);
});

test('a server that is set up says how many there are', () => {
  const made = answered({ generation: 0, owner: '' }, change(null, fields()), change(null, activation()));
  expect(summarize(made).sentences.join('\n')).toContain('1 set of modified packages (2 repositories)');
});
