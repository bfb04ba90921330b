import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Times are no matter of a test: that each case of the benchmark still runs is. With latency it needs a program that is built first. */
test('the benchmark of syncs measures every case beside its peer', () => {
  const results = mkdtempSync(join(tmpdir(), 'bench-results-'));
  try {
    const cases = 'loopback,sizes,listed,publish,unchanged';
    execFileSync(process.execPath, ['bench/run.mjs', 'sync', '--tiny', '--only', cases, '--results', results], {
      cwd: join(__dirname, '../..'),
      stdio: 'pipe',
    });
    const rows = JSON.parse(readFileSync(join(results, 'sync.json'), 'utf8')) as { case: string; peerName: string | null; ours: number }[];
    expect(rows.map((row) => `${row.case} | ${row.peerName ?? ''}`)).toEqual([
      'first sync of 20 packages | dnf reposync, best setting',
      'first sync of 20 packages | dnf reposync, default',
      'first sync of 20 packages | floor: a bare pipelined download',
      'nothing new among 20 packages | dnf reposync, best setting',
      'nothing new among 20 packages, by itself | ',
      '2 of 20 packages changed | dnf reposync, best setting',
      'first sync of 10 packages | dnf reposync, best setting',
      'memory, first sync of 10 packages | dnf reposync, best setting',
      'memory, first sync of 20 packages | dnf reposync, best setting',
      'first sync, metadata of 200 packages | ',
      'memory, first sync, metadata of 200 packages | ',
      'one new package among 30: mirrorctl sync, with the download | createrepo_c --update',
      'one new package among 30: the metadata alone | createrepo_c --update',
      '3 unchanged repositories in one run | dnf reposync, best setting',
    ]);
    for (const { ours } of rows) expect(ours).toBeGreaterThan(0);
  } finally {
    rmSync(results, { recursive: true, force: true });
  }
}, 300_000);
