// Many builds of a series: listing them, and expiring what is over beside rm -rf of the same trees.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { interleaved, root, run } from './measure.mjs';

const SERIES = 'master/centos/flock';

/**
 * Adds rows to the results of `npm run bench -- builds`.
 *
 * @param {import('./measure.mjs').Results} results
 * @param {{ builds?: number, files?: number, runs?: number }} options files are those of one build
 */
export async function manyBuilds(results, { builds = 200, files = 3000, runs = 3 } = {}) {
  const work = mkdtempSync(join(tmpdir(), 'mirror-bench-builds-'));
  try {
    const program = join(work, 'builds.cjs');
    const options = { absWorkingDir: root, outfile: program, bundle: true, platform: 'node', target: 'node18', logLevel: 'warning' };
    await build({ ...options, entryPoints: ['bench/apps/builds.ts'] });
    const fill = () => run('node', [program, work, String(builds), String(files)]);
    const mirrorctl = (...args) => {
      const bundle = join(root, 'dist/programs/mirrorctl.cjs');
      return run('node', [bundle, '--configuration', join(work, 'configuration'), '--state', join(work, 'state'), 'build', ...args]);
    };
    const what = `${builds} builds of ${files} files`;
    await fill();
    await list({ results, mirrorctl, work, runs, what });
    await expire({ results, mirrorctl, fill, work, what });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What is there, and how long it stays; the peer looks at the names alone. */
async function list({ results, mirrorctl, work, runs, what }) {
  const [ours, ls] = await interleaved(`list of ${what}`, runs, [
    { name: 'mirrorctl build list', action: async () => void (await mirrorctl('list', SERIES, '--json')) },
    { name: 'du -s', action: () => void execFileSync('du', ['-s', '-B1', join(work, 'storage/builds', SERIES)]) },
  ]);
  results.add(`list of ${what}`, ours, ls, 'du -s', { text: '≤ 1 s', met: (row) => row.ours <= 1 });
}

/** All but the newest that are protected, and those of the last week: once, since filling takes longer than expiring. */
async function expire({ results, mirrorctl, fill, work, what }) {
  const series = join(work, 'storage/builds', SERIES);
  const away = join(work, 'away');
  let gone = [];
  const [ours, rm] = await interleaved(`expiry of ${what}`, 1, [
    {
      name: 'mirrorctl build expire',
      before: () => void execFileSync('sync'),
      action: async () => {
        gone = JSON.parse(await mirrorctl('expire', SERIES, '--json')).series[0].gone;
      },
    },
    {
      name: 'rm -rf',
      before: async () => {
        await fill();
        const names = new Set(gone.map((one) => one.build));
        mkdirSync(away);
        for (const name of readdirSync(series)) if (names.has(name)) execFileSync('mv', [join(series, name), away]);
        execFileSync('sync');
      },
      action: () => void execFileSync('rm', ['-rf', away]),
    },
  ]);
  if (gone.length === 0) throw new Error('nothing expired');
  const aim = { text: '≤ 1.5 × rm -rf', met: (row) => row.ours <= 1.5 * row.peer };
  results.add(`expiry of ${gone.length} of ${what}`, ours, rm, 'rm -rf', aim);
}
