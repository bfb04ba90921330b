import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describePackages } from '../../../rpm-metadata/accumulate/describe';
import { Publisher, readRepositories } from './support/repository';

let publisher: Publisher;
let rpm: string;
beforeEach(() => {
  publisher = new Publisher();
  const spec = join(publisher.root, 'tool.spec');
  writeFileSync(
    spec,
    'Name: tool\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n%install\nmkdir -p %{buildroot}/opt\necho x > %{buildroot}/opt/tool\n%files\n/opt/tool\n',
  );
  execFileSync('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${publisher.root}/b`, '--define', `_rpmdir ${publisher.root}`, spec], {
    stdio: 'ignore',
  });
  rpm = join(publisher.root, 'noarch/tool-1-1.noarch.rpm');
});
afterEach(() => publisher.remove());

test('a package file becomes a source, at the place where it is to lie', async () => {
  const work = join(publisher.root, 'work');
  mkdirSync(work);
  const source = await describePackages([{ file: rpm, path: 'Packages/t/tool-1-1.noarch.rpm' }], work);
  const { path, counts } = await publisher.publish(undefined, [source]);
  expect(counts.added).toBe(1);
  const [read] = readRepositories([path]);
  expect(Object.values(read?.primary ?? {})[0]?.slice(0, 6)).toEqual(['tool', '0', '1', '1', 'noarch', 'Packages/t/tool-1-1.noarch.rpm']);
  expect(Object.values(read?.filelists ?? {})[0]?.[5]).toEqual(['/opt/tool']);
});

test('a file that is no package is named', async () => {
  const work = join(publisher.root, 'work');
  mkdirSync(work);
  const bad = join(publisher.root, 'bad.rpm');
  copyFileSync(rpm, bad);
  writeFileSync(bad, 'not a package');
  const packages = [rpm, bad].map((file, i) => ({ file, path: `${i}.rpm` }));
  await expect(describePackages(packages, work)).rejects.toMatchObject({
    code: 'PACKAGE_UNREADABLE',
    message: `${bad} is no package that createrepo_c can read`,
  });
});

test('a server without createrepo_c says what to install', async () => {
  const work = join(publisher.root, 'work');
  mkdirSync(work);
  const path = process.env.PATH;
  process.env.PATH = publisher.root;
  try {
    await expect(describePackages([{ file: rpm, path: 't.rpm' }], work)).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      remedy: 'apt-get install createrepo-c',
    });
  } finally {
    process.env.PATH = path;
  }
});
