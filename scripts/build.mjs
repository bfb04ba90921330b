// Bundles every program to one file each, for Node 18 or later. Deterministic: the digest of a bundle is part of a plan.
//
//   node scripts/build.mjs [--only main|programs|tools]
import { existsSync, chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const groups = {
  // The app that cdktf runs. Its packages stay outside, since cdktf finds its own files by path.
  main: { 'main.js': 'main.ts' },
  // What runs on servers (mirror-host, mirrorctl) and what Terraform runs on the operator's machine (apply, observe).
  programs: {
    'programs/mirror-host.cjs': 'host-agent/main.ts',
    // Starts mirrorctl-body.cjs from its compiled code, where that is kept (desired-state/compiled.ts).
    'programs/mirrorctl.cjs': 'content/start.ts',
    'programs/mirrorctl-body.cjs': 'content/main.ts',
    'programs/apply.cjs': 'scripts/apply.ts',
    'programs/observe.cjs': 'scripts/observe.ts',
  },
  // What people run in a checkout.
  tools: {
    'lab.cjs': 'lab/main.ts',
    'download-mirror.cjs': 'client/main.ts',
    'needs-build.cjs': 'client/needs/main.ts',
    'campaign.cjs': 'campaign/main.ts',
    'plan.cjs': 'scripts/plan.ts',
    'preflight.cjs': 'scripts/preflight.ts',
    'check-requests.cjs': 'scripts/check-requests.ts',
    'review.cjs': 'scripts/review.ts',
    'import-yum-repos.cjs': 'scripts/import-yum-repos.ts',
  },
};

/**
 * What undici loads without need, 11 ms of each start: HTTP/2, which nothing here asks for (`allowH2`), and Node's own HTTP, of which it uses
 * a default and, for what servers do, a class.
 */
const leftOut = {
  http2: "module.exports = () => { throw new Error('HTTP/2 is not part of this program'); };",
  http: 'module.exports = { maxHeaderSize: 16384, IncomingMessage: class {} };',
};
const leanUndici = {
  name: 'lean-undici',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/client-h2\.js$/ }, () => ({ path: 'http2', namespace: 'left-out' }));
    onResolve({ filter: /^node:http$/ }, ({ importer }) =>
      importer.includes('/node_modules/undici/') ? { path: 'http', namespace: 'left-out' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({ contents: leftOut[path] }));
  },
};

/** @param {string[]} [only] names of groups */
export async function bundle(only = Object.keys(groups)) {
  await Promise.all(only.flatMap((group) => Object.entries(groups[group]).map(([output, entry]) => one(group, output, entry))));
}

async function one(group, output, entry) {
  if (!existsSync(join(root, entry))) throw new Error(`${entry} is missing: the checkout is incomplete`);
  const outfile = join(root, 'dist', output);
  // What a person or a unit starts.
  const command = group !== 'main' && !output.endsWith('-body.cjs');
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node18',
    format: 'cjs',
    legalComments: 'none',
    logLevel: 'warning',
    minifySyntax: true,
    minifyWhitespace: group === 'programs',
    sourcemap: group === 'main' ? 'linked' : false,
    banner: command ? { js: '#!/usr/bin/env node' } : {},
    plugins: [leanUndici],
    ...(group === 'main' ? { packages: 'external' } : { external: ['cpu-features', '*.node', 'esbuild', 'prettier'] }),
  });
  if (command) chmodSync(outfile, 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(process.argv[2] === '--only' ? process.argv[3].split(',') : undefined);
