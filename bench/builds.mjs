// mirrorctl build publish of a build of 3,000 files of which 90 % are unchanged, beside what a user does without it: rsync of the directory into a fresh
// one, and createrepo_c in each directory of packages. --tiny tries the program, not the speed.
//
// Ours judges forms and packages, signs each repository and flushes everything to disk within the measured time; the peer does none of that.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manyBuilds } from './builds-many.mjs';
import { interleaved, Results, root, run } from './measure.mjs';
import { makeKey } from './publish.mjs';
import { installPrograms } from './sync/contenders.mjs';

const SERIES = 'master/centos/flock';
const FOLDERS = ['outputs/RPMS/std', 'outputs/RPMS/rt', 'inputs/RPMS/centos'];

/** @param {{ files?: number, runs?: number, many?: { builds?: number, runs?: number }, results?: string }} options two thirds of the files are packages */
export async function builds({ files = 3000, runs = 5, many = {}, results: directory } = {}) {
  const results = new Results('builds', directory);
  const work = mkdtempSync(join(tmpdir(), 'mirror-bench-builds-'));
  try {
    const packages = Math.round((files * 2) / 3);
    const changed = Math.round(packages / 10);
    process.stderr.write(`making ${packages + changed} packages\n`);
    const key = makeKey(join(work, 'gnupg'));
    const made = await makePackages(work, packages + changed);
    const first = makeBuild(work, 'first', made.slice(0, packages), files - packages);
    const second = makeBuild(work, 'second', [...made.slice(changed, packages), ...made.slice(packages)], files - packages, first);
    const ours = makeArchive(work, key);
    await installPrograms(work);
    await ours.publish(first, '20260101T000000Z');
    const peer = join(work, 'peer');
    const disk = { ours: [], peer: [] };
    const what = `publish a build of ${files} files, 90 % unchanged`;
    const [mirrorctl, rsync] = await interleaved(what, runs, [
      {
        name: 'mirrorctl build publish',
        before: () => {
          ours.reset('20260101T000000Z');
          execFileSync('sync');
        },
        action: async () => {
          const before = used(work);
          const start = process.hrtime.bigint();
          await ours.publish(second, '20260102T000000Z');
          const seconds = Number(process.hrtime.bigint() - start) / 1e9;
          disk.ours.push(used(work) - before);
          return seconds;
        },
      },
      {
        name: 'rsync, createrepo_c',
        before: () => {
          rmSync(peer, { recursive: true, force: true });
          execFileSync('sync');
        },
        action: async () => {
          const before = used(work);
          const start = process.hrtime.bigint();
          await run('rsync', ['-a', `${second}/`, peer]);
          for (const folder of FOLDERS) await run('createrepo_c', ['--quiet', '--no-database', join(peer, folder)]);
          const seconds = Number(process.hrtime.bigint() - start) / 1e9;
          execFileSync('sync');
          disk.peer.push(used(work) - before);
          return seconds;
        },
      },
    ]);
    ours.requirePublished(files);
    results.add(
      what,
      mirrorctl,
      rsync,
      'rsync -a, createrepo_c',
      { text: 'a third of the time', met: (row) => row.ratio >= 3 },
      { size: files },
    );
    const amounts = (runs_) => ({ value: Math.min(...runs_), runs: runs_, disturbed: 0 });
    const aim = { text: 'only the changed tenth', met: (row) => row.ratio > 7 };
    results.add(`${what}: disk`, amounts(disk.ours), amounts(disk.peer), 'rsync -a, createrepo_c', aim, { unit: 'MB', size: files });
    execFileSync('gpgconf', ['--homedir', key.home, '--kill', 'all']);
    await manyBuilds(results, { files, ...many });
    return results.rows;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Megabytes. */
function used(directory) {
  const { blocks, bfree, bsize } = statfsSync(directory);
  return ((blocks - bfree) * bsize) / 1e6;
}

/** Packages of some 30 KB, of one spec. Returns their files. */
async function makePackages(work, count) {
  const parts = [];
  const install = [];
  for (let i = 0; i < count; i++) {
    parts.push(`%package -n part-${i}\nSummary: part\n%description -n part-${i}\nNumber ${i}.\n%files -n part-${i}\n/opt/part-${i}\n`);
    install.push(`head -c 28000 /dev/urandom > %{buildroot}/opt/part-${i}`);
  }
  const spec = join(work, 'parts.spec');
  writeFileSync(
    spec,
    `Name: parts\nVersion: 1\nRelease: 1\nSummary: parts\nLicense: MIT\nBuildArch: noarch\n%description\nparts\n${parts.join('')}%install\nmkdir -p %{buildroot}/opt\n${install.join('\n')}\n`,
  );
  const define = (text) => ['--define', text];
  const options = [...define(`_topdir ${work}/rpmbuild`), ...define(`_rpmdir ${work}/rpms`), ...define('_binary_payload w1.gzdio')];
  await run('rpmbuild', ['-bb', '--quiet', ...options, spec]);
  const directory = join(work, 'rpms/noarch');
  return readdirSync(directory)
    .sort()
    .map((file) => join(directory, file));
}

/** A build of packages and other files; of those, a tenth are other than in `former`. */
function makeBuild(work, title, packages, others, former) {
  const directory = join(work, title);
  for (const folder of [...FOLDERS, 'outputs/other', 'logs']) mkdirSync(join(directory, folder), { recursive: true });
  for (const file of packages) {
    const name = file.slice(file.lastIndexOf('/') + 1);
    // A package is in the same directory in both builds.
    const folder = FOLDERS[Number(/-(\d+)-1-1/.exec(name)[1]) % FOLDERS.length];
    cpSync(file, join(directory, folder, name), { preserveTimestamps: true });
  }
  for (let i = 0; i < others - 1; i++) {
    const path = `${i % 2 === 0 ? 'logs' : 'outputs/other'}/file-${i}`;
    if (former !== undefined && i % 10 !== 0) cpSync(join(former, path), join(directory, path), { preserveTimestamps: true });
    else writeFileSync(join(directory, path), randomBytes(30_000));
  }
  writeFileSync(join(directory, 'Success'), '');
  return directory;
}

/** A mirror with a series. `reset` takes back what was published but the build that is named. */
function makeArchive(work, key) {
  const [configuration, storage, state] = ['configuration', 'storage', 'state'].map((name) => join(work, name));
  const write = (path, value) => {
    mkdirSync(join(configuration, path, '..'), { recursive: true });
    writeFileSync(join(configuration, path), typeof value === 'string' ? value : JSON.stringify(value));
  };
  mkdirSync(storage);
  writeFileSync(join(storage, '.mirror-data'), '');
  write('definitions/server.yaml', { kind: 'server', storageRoot: storage, ownMount: false, diskGuard: { stopAtPercent: 99 } });
  write('definitions/builds/stx-master.yaml', {
    ...{ kind: 'builds', id: 'stx-master', branch: 'master', distribution: 'centos', series: [SERIES] },
    siteUrl: 'http://mirror.example.org',
  });
  write('secrets/signing-key', key.secretKey);
  const program = join(root, 'dist/programs/mirrorctl.cjs');
  const publish = (directory, timestamp) =>
    run('node', [
      program,
      '--configuration',
      configuration,
      '--state',
      state,
      'build',
      'publish',
      SERIES,
      directory,
      '--timestamp',
      timestamp,
    ]);
  const home = join(storage, 'builds', SERIES);
  const records = join(storage, 'build-records', SERIES);
  const kept = join(work, 'kept');
  const reset = (timestamp) => {
    // What is known of the first build's metadata goes with the next publish.
    if (!existsSync(kept)) cpSync(records, kept, { recursive: true, preserveTimestamps: true });
    for (const name of readdirSync(home)) if (/^\d/.test(name) && name !== timestamp) rmSync(join(home, name), { recursive: true });
    rmSync(records, { recursive: true });
    cpSync(kept, records, { recursive: true, preserveTimestamps: true });
    // What was published came into the store.
    execFileSync('find', [join(storage, 'store/sha256'), '-type', 'f', '-links', '1', '-delete']);
  };
  const requirePublished = (files) => {
    const record = JSON.parse(execFileSync('cat', [join(records, '20260102T000000Z.json')], { encoding: 'utf8' }));
    if (record.files < files) throw new Error(`${record.files} files are published, not ${files}`);
  };
  return { publish, reset, requirePublished };
}
