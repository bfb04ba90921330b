import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { halfInstalled, isInterrupted } from '../../host-agent/bootstrap';

test('dpkg was interrupted where its journal holds numbers', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mirror-dpkg-'));
  try {
    const dpkgUpdates = join(directory, 'updates');
    expect(isInterrupted({ dpkgUpdates })).toBe(false);
    mkdirSync(dpkgUpdates);
    writeFileSync(join(dpkgUpdates, 'tmp.i'), '');
    expect(isInterrupted({ dpkgUpdates })).toBe(false);
    writeFileSync(join(dpkgUpdates, '0003'), '');
    expect(isInterrupted({ dpkgUpdates })).toBe(true);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('packages that dpkg wants anew: half-installed, or marked so; not those that only wait for their configuration', () => {
  const printed = 'bash ii |\nnode-xtend iHR|\nopenssl iU |\nnodejs iF |\nrpm iH |\nzstd iUR|\n';
  expect(halfInstalled(printed)).toEqual(['node-xtend', 'rpm', 'zstd']);
});
