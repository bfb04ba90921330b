// Bundles one benchmark app as scripts/build.mjs bundles main.ts, so that a measured deploy pays for the same steps.
//
//   node bench/build-app.mjs many|empty
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const name = process.argv[2];
await build({
  absWorkingDir: root,
  entryPoints: [`bench/apps/${name}.ts`],
  outfile: join(root, 'dist', 'bench', `${name}.js`),
  bundle: true,
  platform: 'node',
  target: 'node18',
  format: 'cjs',
  packages: 'external',
  sourcemap: 'linked',
  logLevel: 'warning',
});
if (name === 'many') {
  const programs = spawnSync('node', [join(root, 'scripts', 'build.mjs'), '--only', 'programs'], { stdio: 'inherit' });
  process.exitCode = programs.status ?? 1;
}
