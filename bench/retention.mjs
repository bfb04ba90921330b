// Releases and retention over 20 repositories with 50,000 packages. --tiny tries the program, not the speed.
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { interleaved, Results, root, run } from './measure.mjs';

const BYTES = 100_000;

/** @param {{ repositories?: number, packages?: number, runs?: number, results?: string }} options packages are those of one repository */
export async function retention({ repositories = 20, packages = 2500, runs = 5, results: directory } = {}) {
  const results = new Results('retention', directory);
  const work = mkdtempSync(join(tmpdir(), 'mirror-bench-retention-'));
  try {
    const content = await contentOf(work, repositories, packages);
    const what = `${repositories} repositories, ${repositories * packages} packages`;
    await release({ results, content, runs, what });
    await plan({ results, content, runs, what });
    return results.rows;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Storage, state and configuration of a server, and how mirrorctl runs there. */
async function contentOf(work, repositories, packages) {
  const program = join(work, 'snapshots.cjs');
  const options = { absWorkingDir: root, outfile: program, bundle: true, platform: 'node', target: 'node18', logLevel: 'warning' };
  await build({ ...options, entryPoints: ['bench/apps/snapshots.ts'] });
  const at = await run('node', [program, work, String(repositories), String(packages), String(BYTES)]);
  const configuration = join(work, 'configuration');
  const mirrorctl = (...args) => {
    const program = join(root, 'dist/programs/mirrorctl.cjs');
    return run('node', [program, '--configuration', configuration, '--state', join(work, 'state'), ...args]);
  };
  const ids = Array.from({ length: repositories }, (_, n) => `repository-${n}`);
  return { work, storage: join(work, 'storage'), configuration, mirrorctl, at, ids, bytes: repositories * packages * BYTES };
}

/** Freezing a release of everything: its time, and what it takes of the disk beside what is there. */
async function release({ results, content, runs, what }) {
  const { work, storage, configuration, mirrorctl, at, ids, bytes } = content;
  const id = (turn) => `release-${turn}`;
  const trees = ids.map((one) => join(storage, 'repositories', one, 'snapshots'));
  const disk = { ours: 0, cp: 0, rsync: 0 };
  const members = ids.map((one) => ({ id: one, publicPath: `mirror/centos/upstream.example.org/${one}` }));
  const declare = (turn) => {
    mkdirSync(join(configuration, 'definitions/releases'), { recursive: true });
    // YAML is a superset of JSON.
    writeFileSync(
      join(configuration, `definitions/releases/${id(turn)}.yaml`),
      JSON.stringify({ kind: 'release', id: id(turn), at, members }),
    );
  };
  const copyTo = (peer, turn) => join(work, `${peer}-${turn}`);
  const peer = (name, copy) => ({
    before: (turn) => {
      if (turn > 0) rmSync(copyTo(name, turn - 1), { recursive: true });
      mkdirSync(copyTo(name, turn));
      execFileSync('sync');
    },
    action: (turn) => {
      for (const [n, one] of ids.entries()) copy(trees[n], join(copyTo(name, turn), one));
      // A release that a power cut takes away is none: ours is on disk when the command ends.
      execFileSync('sync', ['-f', work]);
    },
  });
  const [ours, cp, rsync] = await interleaved(`release of ${what}`, runs, [
    {
      name: 'mirrorctl release freeze',
      before: (turn) => {
        declare(turn);
        execFileSync('sync');
      },
      action: async (turn) => void (await mirrorctl('release', 'freeze', id(turn))),
    },
    { name: 'cp -al', ...peer('cp', (from, to) => execFileSync('cp', ['-al', from, to])) },
    {
      name: 'rsync --link-dest',
      ...peer('rsync', (from, to) => execFileSync('rsync', ['-a', `--link-dest=${from}/`, `${from}/`, `${to}/`])),
    },
  ]);
  disk.ours = allocated([], join(storage, 'releases', id(0)));
  disk.cp = allocated(trees, copyTo('cp', cp.runs.length - 1));
  disk.rsync = allocated(trees, copyTo('rsync', rsync.runs.length - 1));
  const percent = (taken) => Number(((100 * taken) / bytes).toFixed(3));
  const aim = { text: '≤ 2 s', met: (row) => row.ours <= 2 };
  const more = { packageBytes: BYTES, extraDiskPercent: percent(disk.ours) };
  for (const [name, found, taken] of [
    ['cp -al', cp, disk.cp],
    ['rsync --link-dest', rsync, disk.rsync],
  ])
    results.add(`release of ${what}`, ours, found, name, aim, { ...more, peerExtraDiskPercent: percent(taken) });
  const asPercent = (taken) => ({ value: percent(taken), runs: [percent(taken)], disturbed: 0 });
  const little = { text: '≤ 1 %', met: (row) => row.ours <= 1 };
  results.add(`extra disk of a release of ${what}`, asPercent(disk.ours), asPercent(disk.cp), 'cp -al', little, { unit: '%' });
  await mirrorctl('release', 'list');
  for (const one of readdirSync(join(configuration, 'definitions/releases'))) rmSync(join(configuration, 'definitions/releases', one));
}

const SUPERSEDED = ['20200101T000000Z', '20200201T000000Z', '20200301T000000Z'];

/** What goes when, why, and what the disk would have free: with three superseded snapshots of each repository, and a tenth of its packages dropped. */
async function plan({ results, content: { storage, configuration, mirrorctl, ids }, runs, what }) {
  for (const id of ids) makeHistory(join(storage, 'repositories', id));
  const server = join(configuration, 'definitions/server.yaml');
  writeFileSync(server, `${readFileSync(server, 'utf8')}retention:\n  droppedDays: 30\n  snapshotDays: 30\n`);
  const trees = ids.flatMap((id) => {
    const snapshots = join(storage, 'repositories', id, 'snapshots');
    return readdirSync(snapshots).map((name) => join(snapshots, name));
  });
  let planned;
  const [ours, du] = await interleaved(`retention plan over ${what}`, runs, [
    { name: 'mirrorctl retention plan', action: async () => void (planned = JSON.parse(await mirrorctl('retention', 'plan', '--json'))) },
    // What users of rsnapshot and cp -al ask which snapshot takes what: hard links are counted once.
    { name: 'du', action: () => void execFileSync('du', ['-s', '-B1', ...trees]) },
  ]);
  const announced = planned.announce.length;
  // The snapshot before the published one stays.
  const expected = ids.length * (SUPERSEDED.length - 1) + planned.announce.filter(({ item }) => item.kind === 'package').length;
  if (announced !== expected || announced <= ids.length * SUPERSEDED.length)
    throw new Error(`retention plan announces ${announced} items, not ${expected}`);
  const aim = { text: '≤ 5 s', met: (row) => row.ours <= 5 };
  results.add(`retention plan over ${what}, ${trees.length} snapshots`, ours, du, 'du', aim, { announced });
}

/** Superseded snapshots that share all files with the published one, and packages that upstream dropped years ago. */
function makeHistory(repository) {
  const [published] = readdirSync(join(repository, 'snapshots'));
  const records = join(repository, 'records');
  const list = readFileSync(join(records, `${published}.packages`), 'utf8').split('\n');
  const paths = list.filter((line) => line.includes('\t')).map((line) => line.slice(line.lastIndexOf('\t') + 1));
  const dropped = paths.filter((_, n) => n % 10 === 0).map((path) => `2020-04-01T00:00:00.000Z\t${path}\n`);
  writeFileSync(join(records, `${published}.dropped`), `dropped 1\n${dropped.join('')}end ${dropped.length}\n`);
  for (const time of SUPERSEDED) {
    const name = `${time}-${published.slice(-12)}`;
    execFileSync('cp', ['-al', join(repository, 'snapshots', published), join(repository, 'snapshots', name)]);
    for (const kind of ['json', 'packages']) linkSync(join(records, `${published}.${kind}`), join(records, `${name}.${kind}`));
  }
}

/** Bytes on disk of a tree, without files that are in `others` as well. */
function allocated(others, tree) {
  const lines = execFileSync('du', ['-s', '-B1', ...others, tree], { encoding: 'utf8' })
    .trim()
    .split('\n');
  return Number(lines.at(-1).split('\t')[0]);
}
