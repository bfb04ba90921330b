// What cdktf runs as the app: bundles main.ts and the programs, then synthesizes. A mistake in main.ts is shown by its line, without a stack.
import { readFileSync } from 'node:fs';
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
  const said = String(error?.message ?? error);
  const frames = String(error?.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map((line) => /(?:^\s+at |\(|\/)(main\.ts:\d+:\d+)\)?$/.exec(line)?.[1]);
  const twice = /^There is already a Construct with name /.test(said);
  const mistake = ['InvalidPropError', 'MirrorError'].includes(error?.name) || /^(Error: )?Validation failed/.test(said) || twice;
  // What main.ts itself throws is a mistake there; what our code throws without meaning to is our defect, and keeps its stack.
  if (!mistake && frames[0] === undefined) throw error;
  const position = frames.find((frame) => frame !== undefined);
  const remedy = twice
    ? 'Give each construct an id of its own: the second argument.'
    : mistake
      ? error.remedy
      : 'npx tsc --noEmit -p . finds misspelt names and wrong types.';
  console.error(`${position ? `${position}: ` : ''}${said}${remedy ? `\n  ${remedy}` : ''}`);
  process.exit(3);
}

// Warnings. The cdktf CLI, which sets this variable, shows them itself.
if (process.env.CDKTF_CONTINUE_SYNTH_ON_ERROR_ANNOTATIONS === undefined) {
  const manifest = JSON.parse(readFileSync(join(process.env.CDKTF_OUTDIR ?? 'cdktf.out', 'manifest.json'), 'utf8'));
  for (const { constructPath, level, message } of Object.values(manifest.stacks).flatMap((stack) => stack.annotations ?? [])) {
    if (level === '@cdktf/warn') console.log(`warning: ${constructPath}: ${message}`);
  }
}
