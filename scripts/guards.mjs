// Removes the guards of the sync engine, one at a time, and runs the hostile upstream that each is for: its row must go red.
//
//   node scripts/guards.mjs [--write] [words of rows...]     --write: campaign/results/guards.json and the table of docs/reliability.md
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const directory = mkdtempSync(join(tmpdir(), 'guards-'));
const outfile = join(directory, 'guards.cjs');
process.env.MIRROR_CHECKOUT = root;
process.env.NODE_PATH = join(root, 'node_modules');
try {
  await build({
    absWorkingDir: root,
    entryPoints: ['__tests__/content/hostile/support/guards.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'warning',
    plugins: [
      {
        // It finds its own program by its path.
        name: 'esbuild from the checkout',
        setup: (builder) =>
          builder.onResolve({ filter: /^esbuild$/ }, () => ({
            path: createRequire(import.meta.url).resolve('esbuild'),
            external: true,
          })),
      },
    ],
  });
  const { main } = createRequire(import.meta.url)(outfile);
  process.exitCode = await main(process.argv.slice(2));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
