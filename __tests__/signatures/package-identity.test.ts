import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identityIn, identityOf } from '../../signatures/package-identity';
import { readPackageStart } from '../../signatures/package-start';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'identity-'));
afterAll(() => rmSync(work, { recursive: true }));

test('what real packages say of themselves, as rpm reads it', () => {
  const spec = join(work, 'odd.spec');
  // A changelog that does not fit into the first read.
  const log = Array.from({ length: 3000 }, (_, i) => `* Sun Nov 22 2026 A <a@example.org> - ${i}\n- change number ${i}\n`).join('');
  writeFileSync(
    spec,
    `Name: odd\nVersion: 1.0~rc1\nRelease: 2.el7\nEpoch: 7\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%package -n plain\nEpoch: 0\nSummary: x\n%description -n plain\nx\n%files\n%files -n plain\n%changelog\n${log}`,
  );
  const defines = [`_topdir ${work}`, '_rpmdir %{_topdir}/out', '_srcrpmdir %{_topdir}/out/noarch', '_changelog_trimtime 0'];
  execFileSync('rpmbuild', ['-ba', '--quiet', ...defines.flatMap((one) => ['--define', one]), spec], { stdio: 'ignore' });
  const packages = readdirSync(join(work, 'out/noarch')).map((name) => join(work, 'out/noarch', name));
  const said = packages.map((path) => {
    const format = '%{NAME} %{EPOCHNUM} %{VERSION} %{RELEASE} %|SOURCERPM?{%{ARCH}}:{src}|';
    return execFileSync('rpm', ['-qp', '--nosignature', '--qf', format, path], { encoding: 'utf8' });
  });
  const found = packages.map((path) => identityOf(path)).map((id) => `${id?.name} ${id?.epoch} ${id?.version} ${id?.release} ${id?.arch}`);
  expect(found).toEqual(said);
  expect(found.sort()).toEqual(['odd 7 1.0~rc1 2.el7 noarch', 'odd 7 1.0~rc1 2.el7 src', 'plain 0 1.0~rc1 2.el7 noarch']);
});

test.each([
  ['nothing', ''],
  ['a web page', '<html>Sign in</html>'],
  ['the lead alone', Buffer.concat([Buffer.from([0xed, 0xab, 0xee, 0xdb]), Buffer.alloc(92)])],
])('%s has no identity', (name, bytes) => {
  const path = join(work, name);
  writeFileSync(path, bytes);
  expect(identityOf(path)).toBeUndefined();
});

/** A header whose entries are all strings of `type` that begin with its data and have no end. */
function endless(tags: readonly number[], type: number, bytes: number): Buffer {
  const header = Buffer.alloc(16 + tags.length * 16 + bytes, 'x');
  header.writeUInt32BE(0x8eade801, 0);
  header.writeUInt32BE(tags.length, 8);
  header.writeUInt32BE(bytes, 12);
  tags.forEach((tag, i) => [tag, type, 0, 16].forEach((value, n) => header.writeUInt32BE(value, 16 + i * 16 + n * 4)));
  return header;
}

const MIB = 1024 * 1024;

test('a header of which each tag names all of its data takes no more memory than others', () => {
  const tags = [1000, 1001, 1002, 1022, ...Array.from({ length: 3000 }, (_, i) => 2000 + i)];
  const before = process.memoryUsage().rss;
  expect(identityIn(endless(tags, 6, MIB))?.name.length).toBe(4096);
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
});

test('so many signatures that each name all of the data are refused', () => {
  const signature = endless(
    Array.from({ length: 3000 }, () => 278),
    8,
    MIB,
  );
  const bytes = Buffer.concat([Buffer.from([0xed, 0xab, 0xee, 0xdb]), Buffer.alloc(92), signature, endless([1000], 6, 16)]);
  const before = process.memoryUsage().rss;
  expect(readPackageStart(bytes)).toEqual({ problem: 'it has more than 32 signatures' });
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
});
