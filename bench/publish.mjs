// mirrorctl publish of 1 and of 500 packages into a hosted component with 20,000, beside what a user does without it: copy the packages into a
// directory, createrepo_c --update, sign repomd.xml. --tiny tries the program, not the speed.
//
// The 20,000 packages are empty files with the sizes and times that their metadata says, which is all that either side looks at; those that are
// published are real, and signed. Ours verifies every signature and flushes everything to disk within the measured time; the peer does neither.
import { execFileSync } from 'node:child_process';
import { cpSync, linkSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { interleaved, Results, root, run } from './measure.mjs';
import { identity, placePackages, writeLists } from './publish-one.mjs';
import { installPrograms } from './sync/contenders.mjs';

const ID = 'acme/mos7.0-centos6/updates';

/** @param {{ packages?: number, many?: number, runs?: number, results?: string }} options */
export async function publish({ packages = 20_000, many = 500, runs = 5, results: directory } = {}) {
  const results = new Results('publish', directory);
  const work = mkdtempSync(join(tmpdir(), 'mirror-bench-publish-'));
  try {
    process.stderr.write(`making ${packages} packages and ${many} signed ones\n`);
    const key = makeKey(join(work, 'gnupg'));
    const repository = await makeRepository(work, packages);
    const ours = await makeComponent(work, repository, packages, key);
    const signed = await makePackages(work, many, key);
    await installPrograms(work);
    for (const [files, aim] of [
      [signed.slice(0, 1), { text: 'more than 4 times faster', met: (row) => row.ratio > 4 }],
      [signed, { text: 'faster', met: (row) => row.ratio > 1 }],
    ]) {
      const what = `publish ${files.length} into ${packages} packages`;
      const peerAt = join(work, 'peer');
      const [mirrorctl, createrepo] = await interleaved(what, runs, [
        {
          name: 'mirrorctl publish',
          before: () => {
            ours.reset();
            execFileSync('sync');
          },
          action: async () => void (await ours.mirrorctl('publish', ID, ...files)),
        },
        {
          name: 'cp, createrepo_c --update, gpg',
          before: () => {
            rmSync(peerAt, { recursive: true, force: true });
            execFileSync('cp', ['-al', repository, peerAt]);
            execFileSync('sync');
          },
          action: async () => {
            await run('cp', ['--reflink=auto', ...files, join(peerAt, 'Packages')]);
            await run('createrepo_c', ['--quiet', '--no-database', '--update', '--skip-stat', peerAt]);
            const repomd = join(peerAt, 'repodata/repomd.xml');
            await run('gpg', [...key.options, '--yes', '--armor', '--detach-sign', repomd]);
          },
        },
      ]);
      ours.requirePublished(packages + files.length);
      results.add(what, mirrorctl, createrepo, 'cp, createrepo_c --update, gpg', aim, { size: packages });
    }
    execFileSync('gpgconf', ['--homedir', key.home, '--kill', 'all']);
    return results.rows;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export function makeKey(home) {
  mkdirSync(home, { mode: 0o700 });
  const options = ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
  const gpg = (...args) => execFileSync('gpg', [...options, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  gpg('--quick-gen-key', 'bench <bench@example.org>', 'rsa2048', 'sign', 'never');
  const fingerprint = /^fpr:{9}([0-9A-F]+):/m.exec(gpg('--with-colons', '--list-keys'))[1];
  return { home, options, fingerprint, publicKey: gpg('--armor', '--export'), secretKey: gpg('--armor', '--export-secret-keys') };
}

/** A directory as a user of createrepo_c has it, and beside it the catalogue of its metadata. */
async function makeRepository(work, packages) {
  const program = join(work, 'lists.cjs');
  const options = { absWorkingDir: root, outfile: program, bundle: true, platform: 'node', target: 'node18', logLevel: 'warning' };
  await build({ ...options, entryPoints: ['bench/apps/publish.ts'] });
  const lists = join(work, 'lists');
  mkdirSync(lists);
  writeLists(lists, packages);
  const repository = join(work, 'repository');
  await run('node', [program, repository, '', '--lists', lists]);
  renameSync(join(repository, 'catalogue'), join(work, 'catalogue'));
  placePackages(repository);
  return repository;
}

/** A mirror whose component publishes the same packages. `reset` takes back what was published since. */
async function makeComponent(work, repository, packages, key) {
  const [configuration, storage, state] = ['configuration', 'storage', 'state'].map((name) => join(work, name));
  const write = (path, text) => {
    mkdirSync(join(configuration, path, '..'), { recursive: true });
    writeFileSync(join(configuration, path), typeof text === 'string' ? text : JSON.stringify(text));
  };
  mkdirSync(storage);
  writeFileSync(join(storage, '.mirror-data'), '');
  write('definitions/server.yaml', { kind: 'server', storageRoot: storage, ownMount: false, diskGuard: { stopAtPercent: 99 } });
  write('definitions/codenames/acme/mos7.0-centos6.yaml', {
    kind: 'codename',
    id: 'acme/mos7.0-centos6',
    owner: 'acme',
    release: '7.0',
    distribution: 'centos',
    version: '6',
    publicPath: 'acme/centos/mos7.0-centos6',
    components: ['updates'],
    architectures: ['x86_64'],
    keyFile: 'RPM-GPG-KEY-mos7.0',
    keys: [{ file: 'owners/acme/key.asc', fingerprint: key.fingerprint }],
  });
  write('owners/acme/key.asc', key.publicKey);
  write('secrets/signing-key', key.secretKey);
  const program = join(root, 'dist/programs/mirrorctl.cjs');
  const mirrorctl = (...args) => run('node', [program, '--configuration', configuration, '--state', state, ...args]);
  await mirrorctl('prepare');

  // A second snapshot, with the packages; those of the store are the same files.
  const home = join(storage, 'repositories', ID);
  const [empty] = readdirSync(join(home, 'snapshots'));
  const full = `20200101T000000Z-${'0'.repeat(12)}`;
  const tree = join(home, 'snapshots', full, 'x86_64');
  execFileSync('cp', ['-al', join(home, 'snapshots', empty), join(home, 'snapshots', full)]);
  rmSync(tree, { recursive: true });
  cpSync(join(repository, 'repodata'), join(tree, 'repodata'), { recursive: true });
  execFileSync('gpg', [...key.options, '--armor', '--detach-sign', join(tree, 'repodata/repomd.xml')]);
  mkdirSync(join(tree, 'Packages'));
  const store = join(storage, 'store/sha256');
  for (let i = 0; i < packages; i++) {
    const { name, version, id } = identity(i);
    const file = `${name}-${version}-1.noarch.rpm`;
    mkdirSync(join(store, id.slice(0, 2)), { recursive: true });
    cpSync(join(repository, 'Packages', file), join(store, id.slice(0, 2), id), { preserveTimestamps: true });
    linkSync(join(store, id.slice(0, 2), id), join(tree, 'Packages', file));
  }
  const catalogue = join(work, 'catalogue');
  const reset = () => {
    for (const name of readdirSync(join(home, 'snapshots')))
      if (name !== full && name !== empty) rmSync(join(home, 'snapshots', name), { recursive: true });
    rmSync(join(home, 'records'), { recursive: true, force: true });
    mkdirSync(join(home, 'records'));
    cpSync(catalogue, join(home, 'records', `${full}.x86_64.catalogue`));
    rmSync(join(home, 'current'));
    symlinkSync(`snapshots/${full}`, join(home, 'current'));
    // What was published came into the store.
    execFileSync('find', [store, '-type', 'f', '-links', '1', '-delete']);
  };
  const requirePublished = (count) => {
    const [row] = JSON.parse(
      execFileSync('node', [program, '--configuration', configuration, '--state', state, 'status', ID, '--json'], { encoding: 'utf8' }),
    ).repositories;
    if (row.packages !== count) throw new Error(`${row.packages} packages are published, not ${count}`);
  };
  return { mirrorctl, reset, requirePublished };
}

/** Real packages of one spec, signed. */
async function makePackages(work, count, key) {
  const name = (i) => `newcomer-${i}`;
  const parts = Array.from(
    { length: count },
    (_, i) => `%package -n ${name(i)}\nSummary: new\n%description -n ${name(i)}\nNumber ${i}.\n%files -n ${name(i)}\n/opt/${name(i)}\n`,
  );
  const install = Array.from({ length: count }, (_, i) => `head -c 7000 /dev/urandom > %{buildroot}/opt/${name(i)}`).join('\n');
  const spec = join(work, 'newcomers.spec');
  writeFileSync(
    spec,
    `Name: newcomers\nVersion: 1\nRelease: 1\nSummary: new\nLicense: MIT\nBuildArch: noarch\n%description\nnew\n${parts.join('')}%install\nmkdir -p %{buildroot}/opt\n${install}\n`,
  );
  await run('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${work}/rpmbuild`, '--define', `_rpmdir ${work}/rpms`, spec]);
  const directory = join(work, 'rpms/noarch');
  const files = readdirSync(directory).map((file) => join(directory, file));
  const sign = ['--define', '__gpg /usr/bin/gpg', '--define', '_gpg_name bench', '--addsign', ...files];
  await run('rpmsign', sign, { env: { GNUPGHOME: key.home } });
  return files.sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
}
