/** The units that the server gets, read by systemd itself. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dailyCalendar, hourlyCalendar, weeklyCalendar } from '../../desired-state/schedule';
import {
  buildsService,
  buildsTimer,
  healthService,
  healthTimer,
  machineService,
  scrubService,
  scrubTimer,
  syncNewService,
  syncService,
  syncTimer,
  uploadPath,
  uploadService,
  uploadTimer,
} from '../../desired-state/render/systemd';

const root = '/srv/mirror';
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mirror-units-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What systemd objects to; that mirrorctl is not installed here is no fault of the unit. */
function objections(units: Readonly<Record<string, string>>): string[] {
  const files = Object.entries(units).map(([name, text]) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  });
  const { stdout, stderr, error } = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], { encoding: 'utf8' });
  expect(error).toBeUndefined();
  return `${stdout}${stderr}`
    .split('\n')
    .filter((line) => line.includes(directory) && !/(mirrorctl|mirror-host) is not executable/.test(line));
}

const service = { 'mirror-sync@.service': syncService({ root }) };

test.each([dailyCalendar(3, 0), hourlyCalendar(5), weeklyCalendar('Sat', 23, 59)])('a timer of %s', (calendar) => {
  expect(objections({ ...service, 'mirror-sync@epel-7.timer': syncTimer('epel-7', calendar) })).toEqual([]);
});

test('the services', () => {
  expect(objections({ 'mirror-sync@epel-7.service': syncService({ root }), 'mirror-sync-new.service': syncNewService({ root }) })).toEqual(
    [],
  );
});

test('the expiry of builds: daily, and without any key', () => {
  const units = { 'mirror-builds.service': buildsService({ root }), 'mirror-builds.timer': buildsTimer() };
  expect(objections(units)).toEqual([]);
  expect(units['mirror-builds.service']).toContain('ExecStart=/usr/local/bin/mirrorctl build expire --wait 3600\n');
  expect(units['mirror-builds.service']).not.toContain('LoadCredential');
  expect(units['mirror-builds.timer']).toContain('OnCalendar=*-*-* 06:40:00 UTC\n');
});

test('a key that systemd does not know is objected to', () => {
  const timer = syncTimer('epel-7', dailyCalendar(3, 0)).replace('FixedRandomDelay', 'FixedRandomDelays');
  expect(objections({ ...service, 'mirror-sync@epel-7.timer': timer })).toEqual([expect.stringContaining('FixedRandomDelays')]);
});

test('missed runs are made up for, apart from each other, and always by the same delay', () => {
  const timer = syncTimer('epel-7', dailyCalendar(3, 0));
  for (const line of ['Persistent=true', 'RandomizedDelaySec=5min', 'FixedRandomDelay=true']) expect(timer.split('\n')).toContain(line);
});

test('a sync by the timer waits for one by hand', () => {
  expect(syncService({ root })).toContain('\nExecStart=/usr/local/bin/mirrorctl sync --wait 3600 %i\n');
});

test('the scrub: behind everything, and no error of systemd', () => {
  const service = scrubService({ root });
  expect(objections({ 'mirror-scrub.service': service, 'mirror-scrub.timer': scrubTimer() })).toEqual([]);
  for (const line of ['Nice=19', 'CPUSchedulingPolicy=idle', 'IOSchedulingClass=idle', 'User=mirror'])
    expect(service.split('\n')).toContain(line);
  expect(service).not.toContain('Nice=10');
  expect(service).not.toContain('signing-key');
  for (const line of ['OnCalendar=*-*-* 00:30:00 UTC', 'Persistent=true']) expect(scrubTimer().split('\n')).toContain(line);
});

test('uploads: no error of systemd, and started as often as something is uploaded', () => {
  const service = uploadService({ root });
  const path = uploadPath('acme-build', ['mos9.0-centos7/cr', 'mos9.0-centos7/security']);
  const units = { 'mirror-uploads@.service': service, 'mirror-uploads@acme-build.path': path };
  expect(objections({ ...units, 'mirror-uploads@acme-build.timer': uploadTimer('acme-build') })).toEqual([]);
  expect(path).toContain('\nPathChanged=/var/lib/mirror-uploads/acme-build/mos9.0-centos7/security\n');
  const [unit] = service.split('[Service]');
  expect(unit).toContain('\nStartLimitIntervalSec=0\n');
  expect(service).toContain('\nReadWritePaths=/srv/mirror /var/lib/mirror -/var/lib/mirror-uploads\n');
  for (const line of ['User=mirror', 'ExecStart=/usr/local/bin/mirrorctl uploads take --wait 3600 %i', 'NoNewPrivileges=true'])
    expect(service.split('\n')).toContain(line);
});

test('the look at the machine, and the health: no error of systemd, and no more rights than they need', () => {
  const [machine, health] = [machineService(), healthService({ root })];
  const units = { 'mirror-machine.service': machine, 'mirror-health.service': health, 'mirror-health.timer': healthTimer() };
  expect(objections(units)).toEqual([]);
  expect(machine).toMatch(/\nCapabilityBoundingSet=CAP_SYS_RAWIO CAP_SYS_ADMIN\nDevicePolicy=closed\n/);
  expect(machine).not.toContain('ReadWritePaths');
  expect(health).toContain('\nUser=mirror\n');
  // A disk that is not mounted is what it is to report.
  expect(health).not.toContain('RequiresMountsFor');
  expect(health).toContain('\nReadWritePaths=-/srv/mirror /var/lib/mirror\n');
});
