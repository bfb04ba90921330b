/** What a real rsync lets an account do by the configuration that it is served with, as a user without rights. Over sshd it is tried in the lab. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { UPLOADS } from '../../desired-state/model';
import { rsyncText } from '../../desired-state/render/rsync';

const NOBODY = 65534;
const GAMES = 60;
let work: string;
let place: string;
let build: string;

beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'mirror-rsync-'));
  chmodSync(work, 0o755);
  place = join(work, 'uploads/stx-build');
  const configuration = join(work, 'rsyncd.conf');
  writeFileSync(configuration, rsyncText('stx-build').replaceAll(UPLOADS.root, join(work, 'uploads')));
  for (const path of ['stx/flock', 'results/stx/flock', 'refused']) mkdirSync(join(place, path), { recursive: true });
  writeFileSync(join(place, 'results/stx/flock/20261101T023000Z.txt'), 'published');
  writeFileSync(join(work, 'secret'), 'secret');
  chownSync(join(place, 'stx/flock'), NOBODY, GAMES);
  chmodSync(join(place, 'stx/flock'), 0o2770);
  // What sshd runs, whatever the client asked for.
  const served = `exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups /usr/bin/env -i /usr/bin/rsync --server --daemon --config=${configuration} .`;
  writeFileSync(join(work, 'rsh'), `#!/bin/sh\n${served}\n`);
  chmodSync(join(work, 'rsh'), 0o755);
  build = join(work, 'build');
  put('outputs/RPMS/std/a.rpm');
  put('SHA256SUMS');
});
afterEach(() => rmSync(work, { recursive: true }));

const put = (path: string, text = 'a'): void => {
  mkdirSync(dirname(join(build, path)), { recursive: true });
  writeFileSync(join(build, path), text);
};
const rsync = (...args: string[]) =>
  spawnSync('rsync', ['-e', join(work, 'rsh'), '--timeout=20', ...args], {
    cwd: work,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
const INTO = 'host::uploads/stx/flock/20261101T023000Z/';
const arrived = (): readonly string[] => {
  const flock = join(place, 'stx/flock');
  return existsSync(flock) ? (readdirSync(flock, { recursive: true }) as string[]).sort() : [];
};

test('what arrives can be read and removed by its group, whatever modes it had', () => {
  chmodSync(join(build, 'outputs'), 0o700);
  chmodSync(join(build, 'SHA256SUMS'), 0o400);
  for (const options of ['-rt', '-rtp', '-rtz']) {
    expect(rsync(options, '--partial-dir=.part', `${build}/`, INTO)).toMatchObject({ status: 0, stderr: '' });
    for (const path of arrived()) {
      const { mode } = lstatSync(join(place, 'stx/flock', path));
      expect([path, (mode & 0o777).toString(8)]).toEqual([path, (mode & 0o40000) !== 0 ? '770' : '660']);
    }
    rmSync(join(place, 'stx/flock/20261101T023000Z'), { recursive: true });
  }
});

test('what became of it can be read, and nothing else', () => {
  expect(rsync('-r', 'host::results/', join(work, 'got/')).status).toBe(0);
  expect(readFileSync(join(work, 'got/stx/flock/20261101T023000Z.txt'), 'utf8')).toBe('published');
  expect(rsync('host::').stdout).toBe('');
  expect(rsync('-r', 'host::uploads/', join(work, 'back/')).stderr).toContain('write only');
  expect(rsync('-rt', `${build}/`, 'host::results/').stderr).toContain('read only');
  for (const path of ['results/../../../secret', 'results/../refused', 'results//etc/passwd', 'other/x'])
    expect([path, rsync('-r', `host::${path}`, join(work, 'got2/')).status]).not.toEqual([path, 0]);
  expect(existsSync(join(work, 'got2/secret')) || existsSync(join(work, 'got2/passwd'))).toBe(false);
});

test.each([
  ['-a', 'links'],
  ['-rtl', 'links'],
  ['-rtg', 'group'],
  ['-rto', 'owner'],
  ['-rtD', '-D'],
  ['-rtH', 'hard-links'],
  ['-rtX', 'xattrs'],
  ['-rt --inplace', 'inplace'],
  ['-rt --append', 'append'],
  ['-rt --temp-dir=/tmp', 'temp-dir'],
  ['-rt --link-dest=/etc', 'link-dest'],
  ['-rt --copy-dest=/etc', 'copy-dest'],
  ['-rt --compare-dest=/etc', 'compare-dest'],
  ['-rt --backup --backup-dir=/tmp', 'backup'],
  ['-rt --write-devices', 'inplace|write-devices'],
  ['-rtR', 'relative'],
  ['-rt --remote-option=--log-file=LOG', 'log-file'],
  ['-rt --remote-option=--config=LOG', 'config'],
  ['-rt --remote-option=--daemon', 'daemon'],
  ['-rt --remote-option=--no-munge-links', 'no-munge-links'],
  ['-rt --remote-option=--fake-super', 'fake-super'],
  ['-rt --remote-option=--copy-links', 'copy-links'],
  ['-rt --remote-option=--write-devices', 'write-devices'],
  ['-rt --remote-option=--super', 'super'],
])('a client that asks for %s is refused', (options, named) => {
  const log = join(work, 'uploads/log');
  const { status, stderr } = rsync(...options.replace('LOG', log).split(' '), `${build}/`, INTO);
  expect([status, stderr]).toEqual([expect.any(Number), expect.stringMatching(new RegExp(`refuse --.*(${named})`))]);
  expect(status).not.toBe(0);
  expect(arrived()).toEqual([]);
  expect(existsSync(log)).toBe(false);
});

test.each(['../../', '../../../', '/', 'stx/', 'results/', 'refused/', 'stx/flock/../../../../'])('nothing is put into %s', (path) => {
  const before = readdirSync(work, { recursive: true });
  expect(rsync('-rt', join(build, 'SHA256SUMS'), `host::uploads/${path}`).status).not.toBe(0);
  expect(readdirSync(work, { recursive: true })).toEqual(before);
});

test('links: none arrives, and none that is there is followed out of the place', () => {
  symlinkSync('/etc/passwd', join(build, 'link'));
  expect(rsync('-rt', `${build}/`, INTO).status).toBe(0);
  expect(arrived()).not.toContain('20261101T023000Z/link');
  mkdirSync(join(work, 'open'));
  chmodSync(join(work, 'open'), 0o777);
  symlinkSync(join(work, 'open'), join(place, 'stx/flock/out'));
  symlinkSync(join(work, 'open/file'), join(place, 'stx/flock/20261101T023000Z/file'));
  put('file');
  rsync('-rt', `${build}/`, 'host::uploads/stx/flock/out/');
  rsync('-rt', '--delete', `${build}/`, INTO);
  expect(readdirSync(join(work, 'open'))).toEqual([]);
});
