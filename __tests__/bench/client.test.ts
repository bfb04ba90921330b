import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '../..');

/** Times are no matter of a test: that each case of the benchmark still runs is. */
test('the benchmark of downloads measures every case beside its peers', () => {
  const results = mkdtempSync(join(tmpdir(), 'bench-results-'));
  try {
    if (!existsSync(join(root, 'dist/download-mirror.cjs')))
      execFileSync(process.execPath, ['scripts/build.mjs', '--only', 'tools'], { cwd: root });
    execFileSync(process.execPath, ['bench/run.mjs', 'client', '--tiny', '--results', results], { cwd: root, stdio: 'pipe' });
    const rows = JSON.parse(readFileSync(join(results, 'client.json'), 'utf8')) as {
      case: string;
      peerName: string | null;
      ours: number;
    }[];
    expect(rows.map((row) => `${row.case} | ${row.peerName ?? ''}`)).toEqual([
      '20 packages, 20 ms of latency | wget, one file after the other',
      '20 packages, 20 ms of latency | dnf download, all in one call',
      'memory, 20 packages | ',
      '20 packages that are here, 20 ms of latency | ',
    ]);
    for (const { ours } of rows) expect(ours).toBeGreaterThan(0);
  } finally {
    rmSync(results, { recursive: true, force: true });
  }
}, 300_000);
