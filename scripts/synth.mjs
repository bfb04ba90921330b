// What cdktf runs as the app: bundles main.ts and the programs, then synthesizes. A mistake in main.ts is shown by its line, without a stack.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './build.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.setSourceMapsEnabled(true);
try {
  await bundle(['main', 'programs']);
} catch {
  process.exit(3); // esbuild has shown the line
}
try {
  createRequire(import.meta.url)(join(root, 'dist', 'main.js'));
} catch (error) {
  const mistake = ['InvalidPropError', 'MirrorError'].includes(error.name) || /^(Error: )?Validation failed/.test(String(error.message));
  if (!mistake) throw error;
  const line = /\((?:.*\/)?(main\.ts:\d+:\d+)\)|at (?:.*\/)?(main\.ts:\d+:\d+)/.exec(error.stack ?? '');
  console.error(`${line ? `${line[1] ?? line[2]}: ` : ''}${error.message}${error.remedy ? `\n  ${error.remedy}` : ''}`);
  process.exit(3);
}
