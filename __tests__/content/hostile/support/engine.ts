import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import type { BandwidthShare } from '../../../../content/bandwidth-share';
import type { Layout } from '../../../../content/layout';
import type { SyncOutcome } from '../../../../content/sync';
import type { syncRepository } from '../../../../content/sync';
import type { HttpClient } from '../../../../downloads/http';
import type { openSigner } from '../../../../signatures/sign';
import type { Guard } from './row';

/** The program, and the parts of it that a row calls: one bundle, whole or with a guard removed. */
export interface Engine {
  /** To run by node, as people do. */
  readonly bundle: string;
  readonly syncRepository: typeof syncRepository;
  readonly HttpClient: typeof HttpClient;
  readonly Layout: typeof Layout;
  readonly BandwidthShare: typeof BandwidthShare;
  readonly openSigner: typeof openSigner;
  readonly outcomeText: (outcome: SyncOutcome) => string;
  readonly exitCodeOf: (outcomes: readonly SyncOutcome[], fresh: boolean) => number;
  remove(): void;
}

const ENTRY = `
export { syncRepository } from './content/sync';
export { HttpClient } from './downloads/http';
export { Layout } from './content/layout';
export { BandwidthShare } from './content/bandwidth-share';
export { openSigner } from './signatures/sign';
export { outcomeText, exitCodeOf } from './content/sync-command';
export { program } from './content/main';
`;

/** The checkout: this runs from its sources and as a bundle in `dist`. */
export const ROOT = process.env['MIRROR_CHECKOUT'] ?? join(__dirname, '../../../..');

/** Bundles the program as `scripts/build.mjs` does. */
export async function makeEngine(removed?: Guard): Promise<Engine> {
  const directory = mkdtempSync(join(tmpdir(), 'hostile-engine-'));
  const bundle = join(directory, 'mirrorctl.cjs');
  await build({
    stdin: { contents: ENTRY, resolveDir: ROOT, loader: 'ts' },
    outfile: bundle,
    bundle: true,
    platform: 'node',
    target: 'node18',
    format: 'cjs',
    logLevel: 'silent',
    plugins: removed === undefined ? [] : [without(removed)],
  });
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const parts = require(bundle) as Omit<Engine, 'bundle' | 'remove'>;
  return { ...parts, bundle, remove: () => void (delete require.cache[bundle], rmSync(directory, { recursive: true, force: true })) };
}

/** How often a guard's code stands in its file: once, or the table is out of date. */
export function occurrences(source: string, { code }: Guard): number {
  return source.split(code).length - 1;
}

function without(removed: Guard): Plugin {
  const filter = new RegExp(`/${removed.file.replace(/[.]/g, '\\.')}$`);
  return {
    name: 'without a guard',
    setup(builder) {
      builder.onLoad({ filter }, async ({ path }) => {
        const source = await readFile(path, 'utf8');
        if (occurrences(source, removed) !== 1) throw new Error(`${removed.file} has not exactly one ${removed.code}`);
        return { contents: source.replace(removed.code, () => removed.without), loader: 'ts' };
      });
    },
  };
}
