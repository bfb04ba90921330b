// npm run bench -- NAME [options]
//
//   deploy   deploys beside Ansible; as root, on a machine with nothing else to do; half an hour, most of which is Ansible's.
//            --without leaves out peers (floor, floor-with-reload, synchronize, mitogen, role); --keep leaves the lab up;
//            --no-wait measures although others use the machine, which the table then says
//   sync     syncs beside dnf reposync and createrepo_c; a quarter of an hour, and ten minutes more the first time, when packages are made.
//            --runs N; --only loopback,latency,sizes,listed,publish,unchanged (cases); --results DIRECTORY, instead of docs and
//            bench/results; --tiny tries the program, not the speed
//   retention  freezing a release beside cp -al and rsync --link-dest, and retention plan beside du; two minutes. --tiny tries the program; --results DIRECTORY; --no-wait
//   publish  mirrorctl publish of 1 and 500 packages into 20,000, beside createrepo_c --update with the copying and signing that a user does; five minutes.
//            --runs N; --tiny tries the program; --results DIRECTORY; --no-wait
//   builds   mirrorctl build publish of 3,000 files of which 90 % are unchanged, beside rsync and createrepo_c; listing 200 such builds, and expiring them beside rm; five minutes. --runs N; --tiny tries the program; --results DIRECTORY; --no-wait
//   client   download-mirror beside one wget a file and dnf download, 2,200 packages with 20 ms of latency; five minutes, and some more the first time.
//            --runs N; --tiny tries the program; --results DIRECTORY; --no-wait
//   table    writes the table of docs/benchmarks.md from bench/results/*.json
import { builds } from './builds.mjs';
import { client } from './client.mjs';
import { deploy } from './deploy.mjs';
import { patience, Results } from './measure.mjs';
import { publish } from './publish.mjs';
import { retention } from './retention.mjs';
import { sync } from './sync.mjs';
import { writePlot } from './sync/plot.mjs';
import { table } from './table.mjs';

const [name, ...options] = process.argv.slice(2);
const list = (option) => (options.includes(option) ? (options[options.indexOf(option) + 1] ?? '').split(',') : undefined);
const benchmarks = {
  deploy: async () => {
    if (options.includes('--no-wait')) patience.seconds = 1;
    await deploy({ sizes: list('--sizes')?.map(Number), without: list('--without'), keep: options.includes('--keep') });
    table();
  },
  sync: async () => {
    if (options.includes('--no-wait')) patience.seconds = 1;
    if (options.includes('--tiny')) patience.seconds = 0;
    const tiny = { tiny: true, packages: 20, changed: 2, listed: 200, many: 30, unchanged: 3, sizes: [10], runs: 1 };
    const runs = list('--runs')?.map(Number)[0];
    const results = list('--results')?.[0];
    const rows = await sync({ ...(options.includes('--tiny') ? tiny : {}), ...(runs ? { runs } : {}), only: list('--only'), results });
    if (results !== undefined) return;
    await writePlot(rows);
    table();
  },
  retention: async () => {
    if (options.includes('--no-wait')) patience.seconds = 1;
    if (options.includes('--tiny')) patience.seconds = 0;
    const results = list('--results')?.[0];
    await retention({ ...(options.includes('--tiny') ? { repositories: 2, packages: 50, runs: 2 } : {}), results });
    if (results === undefined) table();
  },
  publish: async () => {
    if (options.includes('--no-wait')) patience.seconds = 1;
    if (options.includes('--tiny')) patience.seconds = 0;
    const results = list('--results')?.[0];
    const runs = list('--runs')?.map(Number)[0];
    await publish({ ...(options.includes('--tiny') ? { packages: 60, many: 3, runs: 1 } : {}), ...(runs ? { runs } : {}), results });
    if (results === undefined) table();
  },
  builds: async () => {
    if (options.includes('--no-wait')) patience.seconds = 1;
    if (options.includes('--tiny')) patience.seconds = 0;
    const results = list('--results')?.[0];
    const runs = list('--runs')?.map(Number)[0];
    await builds({
      ...(options.includes('--tiny') ? { files: 90, runs: 1, many: { builds: 40, runs: 1 } } : {}),
      ...(runs ? { runs } : {}),
      results,
    });
    if (results === undefined) table();
  },
  client: async () => {
    if (options.includes('--no-wait')) patience.seconds = 1;
    if (options.includes('--tiny')) patience.seconds = 0;
    const results = list('--results')?.[0];
    const runs = list('--runs')?.map(Number)[0];
    await client({ ...(options.includes('--tiny') ? { tiny: true, packages: 20, runs: 1 } : {}), ...(runs ? { runs } : {}), results });
    if (results === undefined) table();
  },
  table: async () => {
    await writePlot(new Results('sync').rows);
    table();
  },
};
if (!(name in benchmarks)) {
  process.stderr.write(
    `usage: npm run bench -- ${Object.keys(benchmarks).join('|')} [--sizes 50,200] [--without PEERS] [--keep] [--no-wait]\n`,
  );
  process.exit(2);
}
try {
  await benchmarks[name]();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}
