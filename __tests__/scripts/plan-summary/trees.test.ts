/** What a plan says of file trees. */
import { summarize } from '../../../scripts/plan-summary';
import { activation, change, plan, repository, timer, type Resource } from './plans';

const tree = (fields = '', id = 'epel-7'): Record<string, string> => ({
  element: `tree/${id}`,
  definition: `kind: tree\nid: ${id}\npublicPath: mirror/${id}\n${fields}`,
});
const changed: Resource = change(activation(), activation({ desired_state: 'b' }));
const unsigned = (...files: string[]): string =>
  `trust:\n  mode: checksums\n  files:\n${files.map((file) => `    - ${file}\n`).join('')}  reason: nobody signs\n`;
const signed = `trust:\n  mode: signedChecksums\n  files:\n    - sums\n  keys:\n    - file: keys/A\n`;
const none = `trust:\n  mode: none\n  reason: there is none\n`;
const KEPT = [1, 2, 3].map((number) => change(repository(`kept${number}`), repository(`kept${number}`)));

test.each<[string, Resource[], string[]]>([
  [
    'a new one',
    [change(null, tree()), change(null, timer('03:00')), changed],
    ['adds file tree epel-7, synced daily at 03:00 UTC; its first sync starts in the background'],
  ],
  [
    'one that goes',
    [...KEPT, change(tree(), null), change(timer('03:00'), null), changed],
    ['removes file tree epel-7: unpublished at once, its content stays on the server'],
  ],
  [
    'a new name',
    [change(tree('', 'old'), null), change(null, tree('formerId: old\n')), changed],
    ['renames file tree old to epel-7: its content stays, and is public at /mirror/epel-7/; /mirror/old/ stops answering'],
  ],
  [
    'other files',
    [change(tree(), tree('files:\n  - a\n  - b\n')), changed],
    ['copies of epel-7 the files a, b (was none: what the checksum files list)'],
  ],
  ['other folders', [change(tree('folders:\n  - a\n'), tree('folders:\n  - b\n')), changed], ['copies of epel-7 the folders b (was a)']],
  [
    'other exclusions',
    [change(tree('exclude:\n  - "*.a"\n'), tree('exclude:\n  - "*.b"\n')), changed],
    ['copies *.b of epel-7 no longer: what is there stays for the grace period', 'copies *.a of epel-7 from the next sync on'],
  ],
  [
    'weaker trust',
    [change(tree(signed), tree(none)), changed],
    ['trusts epel-7 by nothing but TLS, weaker than by sums signed by A (there is none): it counts from the next sync on'],
  ],
  [
    'stronger trust',
    [change(tree(unsigned('sums')), tree(signed)), changed],
    ['trusts epel-7 by sums signed by A, not by sums, unsigned: it counts from the next sync on'],
  ],
  [
    'another reason',
    [change(tree(none), tree(none.replace('there', 'here'))), changed],
    ['gives another reason to trust epel-7 by nothing but TLS: here is none'],
  ],
  [
    'other sources',
    [change(tree('fetchFrom:\n  - http://a/\n'), tree('fetchFrom:\n  - rsync://b/c/\n')), changed],
    ['fetches epel-7 from rsync://b/c/ (was http://a/): nothing changes for clients'],
  ],
  [
    'a waiver',
    [change(tree(), tree('waivers:\n  - allow: shrunk\n    reason: why not\n')), changed],
    ['waives shrunk for epel-7 (why not): far fewer packages or files than before are accepted'],
  ],
])('%s', (_name, resources, sentences) => {
  expect(summarize(plan(...resources)).sentences).toEqual(sentences);
});

test('a server that is set up counts them', () => {
  const resources = [change(null, tree()), change(null, tree('', 'b')), change(null, activation({ last_drift: 'no generation' }))];
  expect(summarize(plan(...resources)).sentences.join()).toMatch(/2 file trees, likewise/);
});
