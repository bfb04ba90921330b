/** What root finds out about the machine: the kernel's files as they are, real smartctl, and a document that is replaced as a whole. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gatherFacts, writeFacts, type MachinePaths } from '../../host-agent/machine';
import { MachineFactsSchema } from '../../desired-state/machine';

const work = mkdtempSync(join(tmpdir(), 'machine-'));
afterAll(() => rmSync(work, { recursive: true }));
const paths: MachinePaths = {
  blockDevices: join(work, 'sys'),
  devices: join(work, 'dev'),
  facts: join(work, 'run/mirror-machine/facts.json'),
};
const put = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};

beforeAll(() => {
  // As Linux shows a raid1 that has lost a disk (Documentation/admin-guide/md.rst).
  for (const [file, text] of Object.entries({
    level: 'raid1',
    array_state: 'clean',
    degraded: '1',
    sync_action: 'idle',
    mismatch_cnt: '0',
  }))
    put(join(paths.blockDevices, 'md127/md', file), `${text}\n`);
  for (const name of ['sda', 'vda', 'loop0']) {
    mkdirSync(join(paths.blockDevices, name, 'device'), { recursive: true });
    put(join(paths.devices, name), 'no disk\n');
  }
  // Known to the kernel, and without a device file: as a container sees its host's disks.
  mkdirSync(join(paths.blockDevices, 'sdb/device'), { recursive: true });
});

test('disks that can be asked, arrays, clock and units', async () => {
  const facts = await gatherFacts(paths, new Date('2026-11-22T12:00:00Z'));
  expect(MachineFactsSchema.parse(facts)).toEqual(JSON.parse(JSON.stringify(facts)));
  expect(facts.disks.map(({ name }) => name)).toEqual(['sda']);
  expect(facts.arrays).toEqual([{ name: 'md127', level: 'raid1', state: 'clean', degraded: '1', action: 'idle', mismatches: '0' }]);
  expect(['yes', 'no', 'container', 'unknown']).toContain(facts.clock.synchronized);
});

test('real smartctl is asked, and its words are passed on', async () => {
  const { disks } = await gatherFacts(paths, new Date());
  expect(execFileSync('smartctl', ['--version'], { encoding: 'utf8' })).toContain('smartctl');
  expect(disks[0]?.smart).toMatchObject({
    smartctl: { exit_status: expect.any(Number), argv: expect.arrayContaining([join(paths.devices, 'sda')]) },
  });
});

test('the document is replaced as a whole; what somebody put in its way is not written through', () => {
  const facts = { version: 1, at: 'x', disks: [], arrays: [], clock: { synchronized: 'yes' }, failed: [] } as const;
  const victim = join(work, 'victim');
  writeFileSync(victim, 'mine');
  mkdirSync(dirname(paths.facts), { recursive: true });
  symlinkSync(victim, `${paths.facts}.mirror-new`);
  writeFacts(paths, { ...facts, disks: [], arrays: [], failed: [] });
  expect(readFileSync(victim, 'utf8')).toBe('mine');
  expect(JSON.parse(readFileSync(paths.facts, 'utf8'))).toEqual(facts);
  expect(statSync(paths.facts).mode & 0o777).toBe(0o644);
  expect(readdirSync(dirname(paths.facts))).toEqual(['facts.json']);
});
