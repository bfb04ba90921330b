// Publishing one more package into a large repository: ours beside `createrepo_c --update`.
//
//   node bench/publish-one.mjs [--packages 20000] [--runs 5]
//
// The repository's packages are empty files with the sizes and times that its metadata says, which is all that --update looks at; the package
// that is added is a real one. Ours includes what createrepo_c takes for that one package, Node's start, and reading what was published.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { median, root, run, seconds } from './measure.mjs';

/** The seconds of both, each a list. */
export async function publishOne({ packages = 20_000, runs = 5 } = {}) {
  const work = mkdtempSync(join(tmpdir(), 'publish-one-'));
  try {
    const program = join(work, 'publish.cjs');
    await build({
      absWorkingDir: root,
      entryPoints: ['bench/apps/publish.ts'],
      outfile: program,
      bundle: true,
      platform: 'node',
      target: 'node18',
      minifyWhitespace: true,
      logLevel: 'warning',
    });
    const upstream = join(work, 'upstream');
    mkdirSync(upstream);
    writeLists(upstream, packages);
    const repository = join(work, 'repository');
    await run('node', [program, repository, '', '--lists', upstream]);
    placePackages(repository);
    const added = await newcomer(work);
    const times = { ours: [], createrepo: [] };
    for (let i = 0; i < runs; i++) {
      const next = join(work, 'next');
      times.ours.push(await seconds(() => run('node', [program, next, repository, '--package', added])));
      rmSync(next, { recursive: true });
      await run('cp', ['-al', repository, next]);
      await run('cp', [added, join(next, 'Packages')]);
      times.createrepo.push(await seconds(() => run('createrepo_c', ['--quiet', '--no-database', '--update', next])));
      rmSync(next, { recursive: true });
    }
    return times;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export const identity = (i) => ({ name: `package-${i}`, version: `1.${i % 10}`, id: createHash('sha256').update(String(i)).digest('hex') });

/** Metadata of so many packages, like that of small real ones. */
export function writeLists(directory, count) {
  const lists = {
    primary: ['metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"', primary],
    filelists: [
      'filelists xmlns="http://linux.duke.edu/metadata/filelists"',
      (i) => listed(i, `  <file>/usr/bin/package-${i}</file>\n  <file>/usr/share/doc/package-${i}/README</file>\n`),
    ],
    other: [
      'otherdata xmlns="http://linux.duke.edu/metadata/other"',
      (i) =>
        listed(
          i,
          `  <changelog author="A Packager &lt;a@example.org&gt; - 1.${i % 10}-1" date="${1500000000 + i}">- rebuilt, see bug ${i}</changelog>\n`,
        ),
    ],
  };
  for (const [kind, [element, one]] of Object.entries(lists)) {
    const body = Array.from({ length: count }, (_, i) => one(i)).join('');
    const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<${element} packages="${count}">\n${body}</${element.split(' ')[0]}>\n`;
    writeFileSync(join(directory, `${kind}.xml.gz`), gzipSync(xml));
  }
}

function listed(i, body) {
  const { name, version, id } = identity(i);
  return `<package pkgid="${id}" name="${name}" arch="noarch">\n  <version epoch="0" ver="${version}" rel="1"/>\n${body}</package>\n`;
}

function primary(i) {
  const { name, version, id } = identity(i);
  return `<package type="rpm">
  <name>${name}</name>
  <arch>noarch</arch>
  <version epoch="0" ver="${version}" rel="1"/>
  <checksum type="sha256" pkgid="YES">${id}</checksum>
  <summary>Package number ${i}</summary>
  <description>The package number ${i} of a repository that is large.</description>
  <packager></packager>
  <url>http://example.org/${name}</url>
  <time file="${1500000000 + i}" build="${1400000000 + i}"/>
  <size package="${1000 + i}" installed="${3000 + i}" archive="${3500 + i}"/>
  <location href="Packages/${name}-${version}-1.noarch.rpm"/>
  <format>
    <rpm:license>MIT</rpm:license>
    <rpm:vendor></rpm:vendor>
    <rpm:group>Unspecified</rpm:group>
    <rpm:buildhost>localhost</rpm:buildhost>
    <rpm:sourcerpm>${name}-${version}-1.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="4504" end="${6000 + i}"/>
    <rpm:provides>
      <rpm:entry name="${name}" flags="EQ" epoch="0" ver="${version}" rel="1"/>
    </rpm:provides>
    <file>/usr/bin/${name}</file>
  </format>
</package>
`;
}

/** Files where the metadata says that packages are. */
export function placePackages(repository) {
  const name = readdirSync(join(repository, 'repodata')).find((file) => file.endsWith('-primary.xml.gz'));
  const text = gunzipSync(readFileSync(join(repository, 'repodata', name))).toString();
  mkdirSync(join(repository, 'Packages'), { recursive: true });
  for (const [, time, size, href] of text.matchAll(/<time file="(\d+)".*?<size package="(\d+)".*?<location href="([^"]+)"/gs)) {
    const path = join(repository, href);
    writeFileSync(path, '');
    truncateSync(path, Number(size));
    utimesSync(path, Number(time), Number(time));
  }
}

async function newcomer(work) {
  const spec = join(work, 'newcomer.spec');
  writeFileSync(
    spec,
    'Name: newcomer\nVersion: 1\nRelease: 1\nSummary: new\nLicense: MIT\nBuildArch: noarch\n%description\nnew\n%install\nmkdir -p %{buildroot}/opt\necho > %{buildroot}/opt/new\n%files\n/opt/new\n',
  );
  await run('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${work}/rpmbuild`, '--define', `_rpmdir ${work}`, spec]);
  return join(work, 'noarch', 'newcomer-1-1.noarch.rpm');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name, fallback) => (process.argv.includes(name) ? Number(process.argv[process.argv.indexOf(name) + 1]) : fallback);
  const packages = option('--packages', 20_000);
  const { ours, createrepo } = await publishOne({ packages, runs: option('--runs', 5) });
  const ratio = median(createrepo) / median(ours);
  process.stdout.write(
    `one package into ${packages}: ours ${median(ours).toFixed(2)} s, createrepo_c --update ${median(createrepo).toFixed(2)} s, ${ratio.toFixed(1)} times faster\n`,
  );
}
