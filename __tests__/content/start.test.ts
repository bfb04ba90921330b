/** How `mirrorctl` starts: the same, whether root kept its compiled code or not. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { COMPILED, isCompiled } from '../../desired-state/compiled';
import { keepCompiled } from '../../host-agent/programs';
import { bundle } from './support/mirror';

const directory = mkdtempSync(join(tmpdir(), 'mirrorctl-start-'));
const body = join(directory, 'mirrorctl-body.cjs');
const kept = join(directory, COMPILED);
const build = (outfile: string, entry: string) =>
  buildSync({ entryPoints: [join(__dirname, '../..', entry)], outfile, bundle: true, platform: 'node', target: 'node18', format: 'cjs' });
beforeAll(() => {
  copyFileSync(bundle(), body);
  build(join(directory, 'mirrorctl.cjs'), 'content/start.ts');
});
afterAll(() => rmSync(directory, { recursive: true }));

const run = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(directory, 'mirrorctl.cjs'), ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
};
const runs = () => [run('--help'), run('sync'), run('--configuration', '/nonexistent', 'status')];

test('it says and does the same without compiled code, with it, and with what is damaged', () => {
  rmSync(kept, { force: true });
  const plain = runs();
  expect(plain.map(({ status }) => status)).toEqual([0, 2, 3]);
  keepCompiled(directory);
  expect(isCompiled(readFileSync(body), readFileSync(kept))).toBe(true);
  expect(runs()).toEqual(plain);
  truncateSync(kept, 100_000);
  expect(runs()).toEqual(plain);
});

test('Node accepts the code that another process of it has compiled', () => {
  rmSync(kept, { force: true });
  const install = join(directory, 'install.cjs');
  build(install, 'bench/apps/install.ts');
  execFileSync(process.execPath, [install, directory]);
  const spy = join(directory, 'spy.cjs');
  const told = "constructor(...args) { super(...args); console.error('rejected:', this.cachedDataRejected); }";
  writeFileSync(spy, `const vm = require('node:vm'); vm.Script = class extends vm.Script { ${told} };`);
  const { status, stderr } = spawnSync(process.execPath, ['--require', spy, join(directory, 'mirrorctl.cjs'), '--help'], {
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, 'rejected: false\n']);
});
