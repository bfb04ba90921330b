// npm run bench -- NAME [--sizes 50,200] [--keep]
//
//   deploy   deploys beside Ansible; root, and about half an hour, most of which is Ansible's
//   table    writes the table of docs/benchmarks.md from bench/results/*.json
import { deploy } from './deploy.mjs';
import { table } from './table.mjs';

const [name, ...options] = process.argv.slice(2);
const sizes = options.includes('--sizes') ? options[options.indexOf('--sizes') + 1].split(',').map(Number) : undefined;
const benchmarks = {
  deploy: async () => {
    await deploy({ ...(sizes ? { sizes } : {}), keep: options.includes('--keep') });
    table();
  },
  table: async () => table(),
};
if (!(name in benchmarks)) {
  process.stderr.write(`usage: npm run bench -- ${Object.keys(benchmarks).join('|')} [--sizes 50,200] [--keep]\n`);
  process.exit(2);
}
try {
  await benchmarks[name]();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}
