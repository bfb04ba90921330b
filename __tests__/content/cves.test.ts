import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { changesBetween, type PackageVersion } from '../../content/changes';
import { type CveFix, cvesOf, type Published } from '../../content/cves';
import { cvesIn } from '../../rpm-metadata/cve';
import { decompressed } from '../../rpm-metadata/decompress';
import type { MetadataSource } from '../../rpm-metadata/elements';
import { readPrimary } from '../../rpm-metadata/primary';
import { createrepo } from './support/upstream';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'cves-'));
afterAll(() => rmSync(work, { recursive: true }));

test.each<[string, string[]]>([
  ['', []],
  ['- Resolves: CVE-2020-8622, CVE-2020-8623', ['CVE-2020-8622', 'CVE-2020-8623']],
  ['fix cve-2021-25214 (#1958397); CVE 2021-25215', ['CVE-2021-25214', 'CVE-2021-25215']],
  ['CVE-2024-1234567 CVE-2024-1234567', ['CVE-2024-1234567']],
  ['https://x/CVE-2019-0001.html', ['CVE-2019-0001']],
  ['CVE-2024-123 CVE-24-1234 CVE-2024-12345678 XCVE-2024-1234 CAN-2004-0001', []],
])('names in %j', (text, expected) => {
  expect([...cvesIn(text)]).toEqual(expected);
});

let count = 0;
function file(text: string): MetadataSource {
  const path = join(work, `${++count}.gz`);
  writeFileSync(path, gzipSync(text));
  return { path, what: 'updateinfo.xml' };
}
const item = (name: string, version: string, arch = 'x86_64'): PackageVersion => ({
  name,
  epoch: '0',
  version,
  release: '1',
  arch,
  checksum: { algorithm: 'sha256', hex: Buffer.from(`${name}${version}${arch}`).toString('hex') },
});
interface Edition {
  id: string;
  text?: string;
  references?: string;
  packages?: PackageVersion[];
}
const advisory = ({ id, text = '', references = '', packages = [] }: Edition): string =>
  `<update><id>${id}</id><title>t</title><description>${text}</description><references>${references}</references><pkglist><collection>${packages
    .map(
      (p) =>
        `<package name="${p.name}" epoch="0" version="${p.version}" release="1" arch="${p.arch}"><filename>CVE-1999-9999.rpm</filename></package>`,
    )
    .join('')}</collection></pkglist></update>`;
const published = (packages: PackageVersion[], ...editions: Edition[]): Published => ({
  packages,
  updateinfo: editions.length === 0 ? [] : [file(`<updates>${editions.map(advisory).join('')}</updates>`)],
  other: [],
});
const fixes = (before: Published | undefined, after: Published): Promise<readonly CveFix[]> =>
  cvesOf(before, after, changesBetween(before?.packages ?? [], after.packages));

const bind1 = item('bind', '1');
const bind2 = item('bind', '2');
const libs2 = item('bind-libs', '2');
const older: Edition = { id: 'A-1', text: 'CVE-2020-0001', packages: [bind1] };
const newer: Edition = { id: 'A-2', text: 'CVE-2024-1234', packages: [libs2, bind2, item('bind', '2', 'i686')] };
const fix = (name: string, packages: string[], id: string): CveFix => ({ name, packages, advisory: id });

test.each<[string, Published | undefined, Published, CveFix[]]>([
  ['a first publish fixes nothing', undefined, published([bind1], older), []],
  ['nothing new', published([bind1], older), published([bind1], older), []],
  [
    'a new advisory with its packages, architectures once, the shortest name first',
    published([bind1], older),
    published([bind1, libs2, bind2, item('bind', '2', 'i686')], older, newer),
    [fix('CVE-2024-1234', ['bind 2-1', 'bind-libs 2-1'], 'A-2')],
  ],
  [
    'packages that are not here are not named',
    published([bind1], older),
    published([bind1, bind2], older, newer),
    [fix('CVE-2024-1234', ['bind 2-1'], 'A-2')],
  ],
  ['an advisory for nothing that is here', published([bind1], older), published([bind1], older, newer), []],
  [
    'packages that come after their advisory',
    published([bind1], older, newer),
    published([bind1, bind2], older, newer),
    [fix('CVE-2024-1234', ['bind 2-1'], 'A-2')],
  ],
  [
    'an advisory that comes after its packages',
    published([bind2], older),
    published([bind2], older, newer),
    [fix('CVE-2024-1234', ['bind 2-1'], 'A-2')],
  ],
  [
    'a CVE that is added to an advisory',
    published([bind2], newer),
    published([bind2], { ...newer, text: 'CVE-2024-1234 CVE-2024-5678' }),
    [fix('CVE-2024-5678', ['bind 2-1'], 'A-2')],
  ],
  [
    'a package that is added to an advisory',
    published([bind2, libs2], { ...newer, packages: [bind2] }),
    published([bind2, libs2], newer),
    [fix('CVE-2024-1234', ['bind-libs 2-1'], 'A-2')],
  ],
  ['other words for the same', published([bind2], newer), published([bind2], { ...newer, text: 'It was CVE-2024-1234.' }), []],
  [
    'names in references, by number',
    published([bind2], older),
    published([bind2], {
      ...newer,
      text: '',
      references:
        '<reference type="cve" id="CVE-2024-10000"/><reference type="bugzilla" title="CVE-2024-9999 bind: x"/><reference href="https://x/CVE-2023-0001"/>',
    }),
    [fix('CVE-2023-0001', ['bind 2-1'], 'A-2'), fix('CVE-2024-9999', ['bind 2-1'], 'A-2'), fix('CVE-2024-10000', ['bind 2-1'], 'A-2')],
  ],
  [
    'the first advisories of an upstream: only what came with them',
    published([bind1]),
    published([bind1, bind2], older, newer),
    [fix('CVE-2024-1234', ['bind 2-1'], 'A-2')],
  ],
  [
    'two advisories for one name',
    published([bind1], older),
    published([bind1, bind2], older, newer, { ...newer, id: 'A-3' }),
    [fix('CVE-2024-1234', ['bind 2-1'], 'A-2'), fix('CVE-2024-1234', ['bind 2-1'], 'A-3')],
  ],
])('%s', async (_name, before, after, expected) => {
  expect(await fixes(before, after)).toEqual(expected);
});

/** Builds packages with changelogs, and a repository of them by createrepo_c. */
async function repository(...packages: { name: string; version: string; changelog: string[] }[]): Promise<Published> {
  const tree = mkdtempSync(join(work, 'tree-'));
  for (const { name, version, changelog } of packages) {
    const spec = join(tree, `${name}.spec`);
    const entries = changelog.map(
      (text, i) => `* ${['Mon Jan 05', 'Sun Jan 04', 'Sat Jan 03'][i]} 2026 x <x@example.org> - ${version}-1\n- ${text}\n`,
    );
    writeFileSync(
      spec,
      `Name: ${name}\nVersion: ${version}\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n%files\n%changelog\n${entries.join('\n')}`,
    );
    execFileSync('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${tree}/build`, '--define', `_rpmdir ${tree}/rpms`, spec], {
      stdio: 'ignore',
    });
  }
  mkdirSync(join(tree, 'rpms'), { recursive: true });
  createrepo(join(tree, 'rpms'));
  const repodata = join(tree, 'rpms/repodata');
  const find = (type: string): string => join(repodata, readdirSync(repodata).find((name) => name.includes(type)) as string);
  return {
    packages: await readPrimary(decompressed(find('primary'), 'primary', undefined), 'primary', { weakChecksums: false }),
    updateinfo: [],
    other: [{ path: find('other'), what: 'other.xml' }],
  };
}

describe('where upstream has no advisories', () => {
  test('changelogs of updated packages tell', async () => {
    const before = await repository(
      { name: 'bind', version: '1', changelog: ['Fix CVE-2020-0001'] },
      { name: 'quiet', version: '1', changelog: ['Fix CVE-2020-0002'] },
    );
    const after = await repository(
      { name: 'bind', version: '2', changelog: ['Fix CVE-2024-1234 and CVE-2024-5678', 'Fix CVE-2020-0001'] },
      { name: 'quiet', version: '1', changelog: ['Fix CVE-2020-0002'] },
      { name: 'stranger', version: '1', changelog: ['Fix CVE-2019-0001'] },
    );
    expect(await fixes(before, after)).toEqual([
      { name: 'CVE-2024-1234', packages: ['bind 2-1'] },
      { name: 'CVE-2024-5678', packages: ['bind 2-1'] },
    ]);
    // Nothing for a downgrade, a first publish, or where there are no changelogs.
    expect(await fixes(after, before)).toEqual([]);
    expect(await fixes(undefined, after)).toEqual([]);
    expect(await fixes({ ...before, other: [] }, after)).toEqual([]);
  });

  test('what the predecessor said is not known: nothing is claimed', async () => {
    const before = await repository({ name: 'bind', version: '1', changelog: [] });
    const after = await repository({ name: 'bind', version: '2', changelog: ['Fix CVE-2024-1234'] });
    const empty = file('<otherdata xmlns="http://linux.duke.edu/metadata/other" packages="0"></otherdata>');
    expect(await fixes(before, after)).toEqual([{ name: 'CVE-2024-1234', packages: ['bind 2-1'] }]);
    expect(await fixes({ ...before, other: [empty] }, after)).toEqual([]);
  });
});
