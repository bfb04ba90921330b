/** The app as `scripts/synth.mjs` runs it, with cdktn in the place of cdktf. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The version that docs/how-to/move-to-cdktn.md names. */
export const CDKTN = '0.24.0';

let installed: string | undefined;
/** A real `npm install`, once per set of versions; afterwards from the cache. */
const cdktn = (): string =>
  (installed ??= execFileSync('bash', ['-c', '. scripts/lib/prerequisites.sh && mirror_cdktn'], { encoding: 'utf8' }).trim());

/** Synthesizes the bundled main.ts into `outdir`. */
export function synthesize(line: 'cdktf' | 'cdktn', outdir: string, env: NodeJS.ProcessEnv): void {
  const options = { env: { ...env, CDKTF_OUTDIR: outdir }, encoding: 'utf8' } as const;
  if (line === 'cdktf') {
    execFileSync(process.execPath, [join('dist', 'main.js')], options);
    return;
  }
  const app = mkdtempSync(join(tmpdir(), 'mirror-cdktn-'));
  try {
    // Node looks for packages beside the file that imports them.
    copyFileSync(join('dist', 'main.js'), join(app, 'main.js'));
    symlinkSync(join(cdktn(), 'node_modules'), join(app, 'node_modules'));
    execFileSync(process.execPath, [join(app, 'main.js')], options);
  } finally {
    rmSync(app, { recursive: true });
  }
}
