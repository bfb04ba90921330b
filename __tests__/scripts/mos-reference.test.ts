/** The reference of MOS repositories says what the specification says, and its how-to makes what lint accepts. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LINT_RULES } from '../../desired-state/lint-rules';
import { codenameOf, isComponent, isTree, parseCodename, parseSnapshot } from '../../desired-state/mos-scheme';
import { mosReference } from '../../scripts/mos-reference';

jest.setTimeout(60_000);

const text = mosReference([{ code: 'PACKAGE_OLDER', message: 'it is older than … | and <more>', remedy: 'Build a newer one.' }]);

test("the specification's 15 URLs", () => {
  const urls = ['mos-repos/centos/mos7.0-centos6', 'mos-repos/centos/mos7.0-centos6-fuel', 'customer/centos/mos7.0-centos6'].flatMap(
    (codename) =>
      ['os', 'updates', 'security', 'holdback', 'cr'].map((component) => `http://mirror.example.org/${codename}/${component}/x86_64/`),
  );
  expect(text.match(/^http:.*$/gm)).toEqual(urls);
});

test('each rule of lint and of publishing has a row; no cell ends early, and none is HTML', () => {
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));
  for (const code of [...Object.keys(LINT_RULES), 'PACKAGE_OLDER'])
    expect(rows.filter((row) => row.startsWith(`| \`${code}\` |`))).toHaveLength(1);
  expect(rows.find((row) => row.includes('PACKAGE_OLDER'))).toBe(
    '| `PACKAGE_OLDER` | it is older than … \\| and &lt;more> | Build a newer one. |',
  );
});

test('the page in docs/ is what the code says, with the rules of publishing as its source has them', () => {
  const checked = spawnSync(process.execPath, ['scripts/reference.mjs', '--check'], { encoding: 'utf8' });
  expect(checked.stderr).not.toContain('mos-repositories.md is not');
});

test.each([
  ['mos7.0-centos6', { release: '7.0', distribution: 'centos', version: '6' }],
  ['mos8.0-centos7-fuel', { release: '8.0', distribution: 'centos', version: '7', variant: 'fuel' }],
  ['mos9.2.1-rhel10', { release: '9.2.1', distribution: 'rhel', version: '10' }],
] as const)('the codename %s is read and written', (name, codename) => {
  expect(parseCodename(name)).toEqual(codename);
  expect(codenameOf(codename)).toBe(name);
});

test.each([
  'mos7-centos6',
  'mos7.0-debian6',
  'mos7.0-centos',
  'mos7.0-centos06',
  'mos7.0-centos6-fuel2',
  'Mos7.0-centos6',
  'mos7.0-centos6.repo',
  '',
])('%j is no codename', (name) => expect(parseCodename(name)).toBeUndefined());

test('components and trees', () => {
  expect(['os', 'hotfix', '9.2-updates', 'snapshots', 'OS', 'repodata', '..'].map(isComponent)).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
  expect(['x86_64', 'Source', 'amd64', 'noarch', 'source'].map(isTree)).toEqual([true, true, false, false, false]);
});

test.each([
  ['os-2026-11-22-093000', { component: 'os', is: 'snapshot', time: '2026-11-22-093000' }],
  ['9.2-updates-latest', { component: '9.2-updates', is: 'latest' }],
  ['os-latest.target.txt', { component: 'os', is: 'target' }],
  ['os-20261122-093000', undefined],
  ['-latest', undefined],
  ['os', undefined],
])('%s among snapshots', (name, parsed) => expect(parseSnapshot(name)).toEqual(parsed));

test('what the how-to makes, lint accepts', () => {
  const page = readFileSync('docs/how-to/make-your-own-repository.md', 'utf8');
  const [, script = ''] = /```sh\n([^]*?)```/.exec(page) ?? [];
  const home = mkdtempSync(join(tmpdir(), 'how-to-'));
  try {
    const env = { ...process.env, GNUPGHOME: home, TMPDIR: home };
    const ran = spawnSync('bash', ['-euo', 'pipefail', '-c', script], { encoding: 'utf8', env });
    expect({ status: ran.status, said: ran.stdout }).toEqual({ status: 0, said: expect.stringMatching(/: a prefix, 10 trees, 0 packages; 0 errors, 0 warnings\n$/) as string }); // prettier-ignore
  } finally {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true, force: true });
  }
});
