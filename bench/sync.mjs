// The cases of `npm run bench -- sync`. Every case is measured beside its peer, in turns.
import { execFileSync, spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from '../scripts/build.mjs';
import { interleaved, Results } from './measure.mjs';
import { publishOne } from './publish-one.mjs';
import { BEST, DEFAULT, Floor, installPrograms, Mirrorctl, peakMemory, Reposync } from './sync/contenders.mjs';
import { LATENCY, listedRepository, repository, settle, Web } from './sync/upstream.mjs';

const BEST_NAME = 'dnf reposync, best setting';
const DEFAULT_NAME = 'dnf reposync, default';
const atLeast = (times) => ({ text: `at least ${times} times faster`, met: (row) => row.ratio >= times });
const atMost = (value, unit = 's') => ({ text: `at most ${value} ${unit}`, met: (row) => row.ours <= value });

/**
 * @param options packages: of the main cases; changed: of them, in each next state; listed: packages of the large metadata; many: packages of
 *   the repository that one is published into; unchanged: repositories of one run; sizes: of the plot; runs; only: names of cases; results:
 *   where the figures go; tiny: what is measured is of no interest
 */
export async function sync({
  packages = 5000,
  changed = 50,
  listed = 100_000,
  many = 20_000,
  unchanged = 100,
  sizes = [1000, 20_000],
  runs = 5,
  only,
  results: directory,
  tiny = false,
} = {}) {
  // A test of this program does not replace what other tests run.
  if (!tiny) await bundle(['programs']);
  const work = mkdtempSync(join(tmpdir(), 'bench-sync-'));
  // Each place in a part of the disk of its own (ext4), as far from what others remove as can be.
  spawnSync('chattr', ['+T', work], { stdio: 'ignore' });
  await installPrograms(work);
  const results = new Results('sync', directory);
  const web = await Web.start(work);
  let places = 0;
  const bench = { web, results, runs, packages, changed, listed, many, unchanged, sizes, place: () => join(work, `place-${places++}`) };
  try {
    for (const [name, one] of Object.entries(cases)) if (only === undefined || only.includes(name)) await one(bench);
  } finally {
    await web.stop();
    rmSync(work, { recursive: true, force: true });
  }
  return results.rows;
}

const cases = {
  loopback: (bench) => repositories(bench, bench.web.loopback, ''),
  latency: async (bench) => repositories(bench, await bench.web.slow(), `, ${LATENCY} ms of latency`),
  sizes: bySize,
  listed: largeMetadata,
  publish,
  unchanged: manyRepositories,
};

/** First sync, unchanged and changed, of one repository. */
async function repositories({ web, results, runs, packages, changed, place }, upstream, suffix) {
  web.serve('packages', await repository(packages));
  const states = [];
  for (let state = 1; state <= runs; state++) states.push(await repository(packages, { changed, state }));
  const url = `${upstream}/packages/`;
  const ours = new Mirrorctl(place());
  const best = new Reposync(place(), BEST);
  const plain = new Reposync(place(), DEFAULT);
  for (const contender of [ours, best, plain]) contender.repository('packages', url);
  const floor = new Floor(url, ours.directory, rpmsOf(await repository(packages)));
  const side = (name, contender, { anew = false, ...more } = {}) => ({
    name,
    before: () => {
      if (anew) contender.reset();
      settle();
    },
    action: () => contender.sync(),
    ...more,
  });
  const slow = suffix !== '';

  const first = `first sync of ${packages} packages${suffix}`;
  const [o, b, d, f] = await interleaved(first, runs, [
    side('ours', ours, { anew: true }),
    side(BEST_NAME, best, { anew: true }),
    side(DEFAULT_NAME, plain, { anew: true, runs: slow ? Math.min(runs, 2) : runs }),
    side('floor', floor),
  ]);
  for (const contender of [ours, best, plain])
    if (contender.packages() !== packages) throw new Error(`${contender.directory} is incomplete`);
  results.add(first, o, b, BEST_NAME, atLeast(slow ? 4 : 3), slow ? {} : { size: packages });
  results.add(first, o, d, DEFAULT_NAME, slow ? atLeast(15) : undefined);
  results.add(first, o, f, 'floor: a bare pipelined download');

  const same = `nothing new among ${packages} packages${suffix}`;
  const [os, bs] = await interleaved(same, runs * 2, [side('ours', ours), side(BEST_NAME, best)]);
  results.add(same, os, bs, BEST_NAME, atLeast(4));
  if (!slow) results.add(`${same}, by itself`, os, undefined, undefined, atMost(0.15));

  const some = `${changed} of ${packages} packages changed${suffix}`;
  const turn = (name, contender) => ({
    ...side(name, contender),
    before: (run) => {
      web.serve('packages', states[run]);
      settle();
    },
  });
  const [oc, bc] = await interleaved(some, runs, [turn('ours', ours), turn(BEST_NAME, best)]);
  results.add(some, oc, bc, BEST_NAME, atLeast(3));
}

/** Time and memory against the size, for the plot; memory of the main size, too. */
async function bySize({ web, results, runs, packages, sizes, place }) {
  for (const size of [...new Set([packages, ...sizes])].sort((a, b) => a - b)) {
    web.serve('sized', await repository(size));
    const ours = new Mirrorctl(place());
    const best = new Reposync(place(), BEST);
    for (const contender of [ours, best]) contender.repository('sized', `${web.loopback}/sized/`);
    const sides = (action) =>
      Object.entries({ ours, [BEST_NAME]: best }).map(([name, contender]) => ({
        name,
        before: () => {
          contender.reset();
          settle();
        },
        action: () => action(contender),
      }));
    const few = Math.min(runs, 3);
    if (size !== packages) {
      const first = `first sync of ${size} packages`;
      const [o, b] = await interleaved(
        first,
        few,
        sides((contender) => contender.sync()),
      );
      results.add(first, o, b, BEST_NAME, undefined, { size });
    }
    const memory = `memory, first sync of ${size} packages`;
    const [om, bm] = await interleaved(
      memory,
      few,
      sides((contender) => peakMemory(contender.command)),
    );
    results.add(memory, om, bm, BEST_NAME, size === packages ? atMost(120, 'MB') : undefined, { unit: 'MB', size });
    for (const contender of [ours, best]) contender.reset();
  }
}

/** A large index: as many packages as are listed, but few different files to fetch. */
async function largeMetadata({ web, results, runs, listed, place }) {
  web.serve('listed', await listedRepository(listed, Math.min(listed, 100)));
  const ours = new Mirrorctl(place());
  ours.repository('listed', `${web.loopback}/listed/`);
  const before = () => {
    ours.reset();
    settle();
  };
  const few = Math.min(runs, 3);
  const first = `first sync, metadata of ${listed} packages`;
  const [time] = await interleaved(first, few, [{ name: 'ours', before, action: () => ours.sync() }]);
  results.add(first, time, undefined, undefined, undefined, { size: listed });
  const memory = `memory, first sync, metadata of ${listed} packages`;
  const [peak] = await interleaved(memory, few, [{ name: 'ours', before, action: () => peakMemory(ours.command) }]);
  results.add(memory, peak, undefined, undefined, atMost(160, 'MB'), { unit: 'MB', size: listed });
  ours.reset();
}

/** One new package among many: the view accumulate, which writes metadata itself, beside createrepo_c --update. */
async function publish({ web, results, runs, many, place }) {
  const few = Math.min(runs, 3);
  const states = [];
  for (let i = 0; i <= few; i++) states.push(await repository(many - few + i));
  web.serve('many', states[0]);
  const ours = new Mirrorctl(place());
  await ours.signingKey();
  ours.repository('many', `${web.loopback}/many/`, { view: 'accumulate' });
  await ours.sync();
  const copy = place();
  execFileSync('cp', ['-al', states[0], copy]);
  const what = `one new package among ${many}`;
  const peer = 'createrepo_c --update';
  const quarter = atLeast(4);
  const [o, c] = await interleaved(what, few, [
    {
      name: 'ours',
      before: (run) => {
        web.serve('many', states[run + 1]);
        settle();
      },
      action: () => ours.sync(),
    },
    {
      name: peer,
      before: (run) => {
        const there = new Set(readdirSync(copy));
        for (const name of rpmsOf(states[run + 1])) if (!there.has(name)) linkSync(join(states[run + 1], name), join(copy, name));
        settle();
      },
      action: () => void execFileSync('createrepo_c', ['--quiet', '--no-database', '--update', copy]),
    },
  ]);
  results.add(`${what}: mirrorctl sync, with the download`, o, c, peer, quarter);
  rmSync(copy, { recursive: true });
  ours.reset();

  const times = await publishOne({ packages: many, runs: few });
  const [p, u] = [times.ours, times.createrepo].map((list) => ({
    runs: list,
    value: [...list].sort((a, b) => a - b)[list.length >> 1],
    disturbed: 0,
  }));
  results.add(`${what}: the metadata alone`, p, u, peer, quarter);
}

/** Many repositories of which none has changed, in one run. */
async function manyRepositories({ web, results, runs, unchanged, place }) {
  web.serve('copied', await repository(10));
  const ours = new Mirrorctl(place());
  const best = new Reposync(place(), BEST);
  for (let i = 0; i < unchanged; i++)
    for (const contender of [ours, best]) contender.repository(`copy-${i}`, `${web.loopback}/copies/${i}/`);
  for (const contender of [ours, best]) await contender.sync();
  mkdirSync(ours.directory, { recursive: true });
  const what = `${unchanged} unchanged repositories in one run`;
  const [o, b] = await interleaved(what, Math.min(runs, 3), [
    { name: 'ours', before: settle, action: () => ours.sync() },
    { name: BEST_NAME, before: settle, action: () => best.sync() },
  ]);
  results.add(what, o, b, BEST_NAME, atMost(2));
}

const rpmsOf = (directory) => readdirSync(directory).filter((name) => name.endsWith('.rpm'));
