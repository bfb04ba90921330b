// The cases of `npm run bench -- client`: the pins of a StarlingX release, from a mirror that is 20 ms away.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from '../scripts/build.mjs';
import { interleaved, Results, root, run } from './measure.mjs';
import { BEST, peakMemory } from './sync/contenders.mjs';
import { LATENCY, repository, settle, Web } from './sync/upstream.mjs';

const atLeast = (times) => ({ text: `at least ${times} times faster`, met: (row) => row.ratio >= times });
const atMost = (value, unit = 's') => ({ text: `at most ${value} ${unit}`, met: (row) => row.ours <= value });

/** @param options packages; runs; results: where the figures go; tiny: what is measured is of no interest */
export async function client({ packages = 2200, runs = 5, results: directory, tiny = false } = {}) {
  // A test of this program does not replace what other tests run.
  if (!tiny) await bundle(['tools']);
  const results = new Results('client', directory);
  const work = mkdtempSync(join(tmpdir(), 'bench-client-'));
  const web = await Web.start(work);
  try {
    const tree = await repository(packages);
    const files = readdirSync(tree).filter((name) => name.endsWith('.rpm'));
    const key = await mirror(work, tree);
    web.serve('mirror', join(work, 'mirror'));
    // Latency needs a program that is built first.
    const url = tiny ? web.loopback : await web.slow();
    const lists = join(work, 'lists');
    mkdirSync(lists);
    writeFileSync(join(lists, 'rpms_centos.lst'), files.map((name) => `${name}\n`).join(''));
    const bench = { work, url, key, lists, files, runs, results, program: join(root, 'dist/download-mirror.cjs') };
    await first(bench);
    await again(bench);
  } finally {
    await web.stop();
    rmSync(work, { recursive: true, force: true });
  }
  return results.rows;
}

/** What a mirror publishes for its lists: the packages, and metadata that it signs. Returns the file of its key. */
async function mirror(work, tree) {
  const at = join(work, 'mirror/starlingx/lists/master/centos');
  mkdirSync(at, { recursive: true });
  for (const name of readdirSync(tree)) if (name !== 'repodata') symlinkSync(join(tree, name), join(at, name));
  await run('cp', ['-r', join(tree, 'repodata'), at]);
  const home = join(work, 'gnupg');
  mkdirSync(home, { mode: 0o700 });
  const gpg = (...args) => run('gpg', ['--homedir', home, '--batch', '--pinentry-mode', 'loopback', '--passphrase', '', ...args]);
  await gpg('--quick-gen-key', 'bench <bench@example.org>', 'rsa2048', 'sign', 'never');
  await gpg('--armor', '--detach-sign', join(at, 'repodata/repomd.xml'));
  const key = join(work, 'key.asc');
  writeFileSync(key, await gpg('--armor', '--export', 'bench'));
  await run('gpgconf', ['--homedir', home, '--kill', 'all']);
  return key;
}

/** What an action returns would count instead of its seconds. */
async function timed(command, args) {
  await run(command, args);
}

function ours({ program, url, key, lists, work }) {
  return [program, ['-s', '--mirror', url, '--key', key, '--lists', lists, '--output', join(work, 'ours')]];
}

/** Everything, into an empty directory. */
async function first(bench) {
  const { work, url, files, runs, results, lists } = bench;
  const place = (name) => join(work, name);
  const anew = (name) => () => {
    rmSync(place(name), { recursive: true, force: true });
    mkdirSync(place(name));
    settle();
  };
  const complete = (name) => {
    const found = readdirSync(place(name), { recursive: true }).filter((one) => one.endsWith('.rpm') && !one.includes('.download-mirror'));
    if (found.length !== files.length) throw new Error(`${name} has ${found.length} of ${files.length} packages`);
  };
  const repo = `${url}/mirror/starlingx/lists/master/centos/`;
  const conf = place('dnf.conf');
  const main = {
    reposdir: '/nonexistent',
    cachedir: place('dnf/cache'),
    persistdir: place('dnf/persist'),
    logdir: place('dnf'),
    gpgcheck: 0,
    ...BEST,
  };
  writeFileSync(
    conf,
    ['[main]', ...Object.entries(main).map(([k, v]) => `${k}=${v}`), `[lists]\nname=lists\nbaseurl=${repo}\n`].join('\n'),
  );
  const dnf = [
    '--quiet',
    '--config',
    conf,
    '--disableplugin=*',
    '--enableplugin=download',
    '--releasever=1',
    'download',
    '--destdir',
    place('dnf/files'),
  ];
  const what = `${files.length} packages, ${LATENCY} ms of latency`;
  const [o, d, w] = await interleaved(what, runs, [
    { name: 'download-mirror', before: anew('ours'), action: () => timed(...ours(bench)) },
    { name: 'dnf download', before: anew('dnf'), action: () => timed('dnf', [...dnf, ...files.map((name) => name.replace(/\.rpm$/, ''))]) },
    // As the historical scripts did: a process for each file.
    {
      name: 'wget',
      before: anew('wget'),
      runs: 1,
      action: () =>
        timed('sh', ['-c', `while read -r name; do wget -q -P ${place('wget')} "${repo}$name" || exit 1; done < ${lists}/rpms_centos.lst`]),
    },
  ]);
  for (const name of ['ours', 'dnf', 'wget']) complete(name);
  results.add(what, o, w, 'wget, one file after the other', atLeast(20));
  results.add(what, o, d, 'dnf download, all in one call', atLeast(2));
  const memory = `memory, ${files.length} packages`;
  const [m] = await interleaved(memory, Math.min(runs, 3), [
    { name: 'download-mirror', before: anew('ours'), action: () => peakMemory(ours(bench)) },
  ]);
  results.add(memory, m, undefined, undefined, atMost(150, 'MB'), { unit: 'MB' });
}

/** Everything is there. */
async function again(bench) {
  const { files, runs, results } = bench;
  const what = `${files.length} packages that are here, ${LATENCY} ms of latency`;
  const [o] = await interleaved(what, runs, [{ name: 'download-mirror', before: settle, action: () => timed(...ours(bench)) }]);
  results.add(what, o, undefined, undefined, atMost(1));
}
