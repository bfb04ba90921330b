/**
 * What is made of what disks say of themselves. The reports have the fields that count of real ones, which the project Scrutiny has published
 * (its testdata: smart-fail2, smart-nvme, smart-nvme-failed, smart-scsi); the kernel of our tests has neither SMART disks nor md.
 */
import { machineChecks } from '../../content/health-machine';
import type { Check } from '../../content/health-record';
import type { MachineFacts } from '../../desired-state/machine';

const NOW = new Date('2026-11-22T12:00:00Z');
/** Deployed long ago. */
const AT = { now: NOW, deployed: new Date(0) };
const FACTS: MachineFacts = {
  version: 1,
  at: '2026-11-22T11:50:00Z',
  disks: [],
  arrays: [],
  clock: { synchronized: 'yes' },
  failed: [],
  timers: ['mirror-scrub.timer', 'mirror-sync@epel-7.timer'],
};
const WANTED = ['mirror-scrub.timer', 'mirror-sync@epel-7.timer'];

const attribute = (id: number, name: string, raw: number, when_failed = ''): object => ({ id, name, when_failed, raw: { value: raw } });
const HITACHI = {
  smartctl: { exit_status: 216 },
  model_name: 'Hitachi HDS721050DLE630',
  serial_number: 'MSK423Y20S3HBC',
  smart_status: { passed: false },
  ata_smart_attributes: {
    table: [
      attribute(1, 'Raw_Read_Error_Rate', 0),
      attribute(5, 'Reallocated_Sector_Ct', 1975, 'now'),
      attribute(197, 'Current_Pending_Sector', 8),
      attribute(198, 'Offline_Uncorrectable', 0),
    ],
  },
};
const nvme = (log: object, passed = true): object => ({
  smartctl: { exit_status: 0 },
  model_name: 'Samsung SSD 970 EVO 500GB',
  serial_number: 'S466NX0M776250H',
  smart_status: { passed, nvme: { value: 0 } },
  nvme_smart_health_information_log: {
    critical_warning: 0,
    available_spare: 99,
    available_spare_threshold: 10,
    percentage_used: 3,
    media_errors: 0,
    ...log,
  },
});
const scsi = (uncorrected: number): object => ({
  model_name: 'SEAGATE ST4000NM0043',
  serial_number: 'Z1Z5DWJK0000XXXXXXXX',
  smart_status: { passed: true },
  scsi_grown_defect_list: 56,
  scsi_error_counter_log: { read: { total_uncorrected_errors: uncorrected }, write: { total_uncorrected_errors: 0 } },
});
/** What smartctl 7.3 says of a virtual disk and of a loop device. */
const VIRTUAL = { smartctl: { exit_status: 1, messages: [{ string: '/dev/vda: Unable to detect device type', severity: 'error' }] } };

function check(name: string, facts: Partial<MachineFacts>): Check {
  const found = machineChecks({ ...FACTS, ...facts }, WANTED, AT).find((one) => one.name === name);
  if (found === undefined) throw new Error(`no check ${name}`);
  expect(found.remedy === undefined).toBe(found.verdict !== 'alert');
  return found;
}

test.each<[string, unknown, string, string]>([
  [
    'a disk that expects to fail',
    HITACHI,
    'alert',
    'sda (Hitachi HDS721050DLE630, MSK423Y20S3HBC): it expects to fail soon, Reallocated_Sector_Ct is below its threshold, 8 sectors wait to be reallocated',
  ],
  ['an NVMe disk', nvme({}), 'ok', 'sda: no fault reported'],
  ['media errors', nvme({ media_errors: 7 }), 'alert', 'sda (Samsung SSD 970 EVO 500GB, S466NX0M776250H): 7 reads gave wrong data'],
  [
    'critical warnings',
    nvme({ critical_warning: 0b1001 }, false),
    'alert',
    'expects to fail soon, its spare blocks run out, it is read-only',
  ],
  ['worn out', nvme({ percentage_used: 104 }), 'alert', '104 % of the writes that it is made for are done'],
  ['a SAS disk', scsi(0), 'ok', 'sda: no fault reported'],
  ['a SAS disk that loses data', scsi(3), 'alert', '3 errors of read could not be corrected'],
  ['a virtual disk', VIRTUAL, 'none', 'no SMART device; no SMART: sda'],
  ['no answer', undefined, 'none', 'no SMART device; no SMART: sda'],
  ['an answer of another make', { smart_status: 'good' }, 'none', 'no SMART device; no SMART: sda'],
])('%s', (_what, smart, verdict, text) => {
  expect(check('disks', { disks: [{ name: 'sda', smart }] })).toMatchObject({ verdict, text: expect.stringContaining(text) });
});

test('no disk at all is told, and is not called good', () => {
  expect(check('disks', {})).toEqual({ name: 'disks', verdict: 'none', text: 'no SMART device' });
});

const md = (over: Partial<MachineFacts['arrays'][number]>): MachineFacts['arrays'][number] => ({
  ...{ name: 'md0', level: 'raid6', state: 'clean', degraded: '0', action: 'idle', mismatches: '0' },
  ...over,
});
test.each<[string, MachineFacts['arrays'], string, string]>([
  ['none', [], 'none', 'no software RAID (md)'],
  ['whole', [md({})], 'ok', 'md0 (raid6) clean'],
  ['raid0 has no such files', [md({ level: 'raid0', degraded: '', action: '', mismatches: '' })], 'ok', 'md0 (raid0) clean'],
  ['one disk is missing', [md({ degraded: '1' })], 'alert', 'md0 (raid6) lacks 1 of its disks'],
  ['it is rebuilt', [md({ degraded: '1', action: 'recover' })], 'alert', 'md0 (raid6) lacks 1 of its disks, and is being rebuilt'],
  ['it does not run', [md({ state: 'inactive' })], 'alert', 'md0 (raid6) is inactive'],
  ['parity differs', [md({ mismatches: '128' })], 'alert', 'md0 (raid6): 128 sectors differ between its disks'],
  ['of raid1 that is normal', [md({ level: 'raid1', mismatches: '128' })], 'ok', 'md0 (raid1) clean'],
])('arrays: %s', (_what, arrays, verdict, text) => {
  expect(check('arrays', { arrays })).toMatchObject({ verdict, text });
});

test.each([
  ['yes', 'ok'],
  ['container', 'none'],
  ['no', 'alert'],
  ['unknown', 'alert'],
] as const)('the clock is synchronized: %s', (synchronized, verdict) => {
  expect(check('clock', { clock: { synchronized } }).verdict).toBe(verdict);
});

test('units: what failed, and timers that do not run; a failed sync is told when it is overdue', () => {
  expect(check('units', { failed: ['mirror-health.service', 'mirror-sync@epel-7.service'] })).toEqual({
    name: 'units',
    verdict: 'ok',
    text: '2 timers run, and no unit has failed',
  });
  expect(check('units', { failed: ['mirror-scrub.service'], timers: ['mirror-scrub.timer'] })).toMatchObject({
    verdict: 'alert',
    text: 'failed: mirror-scrub.service; declared, and not running: mirror-sync@epel-7.timer',
  });
  const silent: MachineFacts = { ...FACTS };
  delete silent.timers;
  expect(machineChecks(silent, WANTED, AT).at(-1)).toMatchObject({ verdict: 'alert', text: 'systemd does not say which timers run' });
});

test('a machine at which nobody looks is an alert', () => {
  expect(machineChecks(undefined, WANTED, AT)).toMatchObject([{ name: 'machine', verdict: 'alert' }]);
  expect(machineChecks(undefined, WANTED, { now: NOW, deployed: new Date(NOW.getTime() - 60_000) })).toMatchObject([
    { name: 'machine', verdict: 'none', text: expect.stringContaining('within an hour of the deploy') },
  ]);
  expect(machineChecks(FACTS, WANTED, { ...AT, now: new Date('2026-11-22T18:00:00Z') })).toMatchObject([
    { verdict: 'alert', text: 'the last look at disks, arrays and the clock was 6 hours ago' },
  ]);
});
