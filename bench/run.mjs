// npm run bench -- NAME [--sizes 50,200] [--without role,mitogen] [--keep]
//
//   deploy   deploys beside Ansible; as root, on a machine with nothing else to do; half an hour, most of which is Ansible's.
//            --without leaves out peers (floor, floor-with-reload, synchronize, mitogen, role); --keep leaves the lab up;
//            --no-wait measures although others use the machine, which the table then says
//   table    writes the table of docs/benchmarks.md from bench/results/*.json
import { deploy } from './deploy.mjs';
import { patience } from './measure.mjs';
import { table } from './table.mjs';

const [name, ...options] = process.argv.slice(2);
const list = (option) => (options.includes(option) ? (options[options.indexOf(option) + 1] ?? '').split(',') : undefined);
const benchmarks = {
  deploy: async () => {
    if (options.includes('--no-wait')) patience.seconds = 1;
    await deploy({ sizes: list('--sizes')?.map(Number), without: list('--without'), keep: options.includes('--keep') });
    table();
  },
  table: async () => table(),
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
