/** What the facts about the machine mean: disks, arrays, the clock, units. Pure. */
import { z } from 'zod';
import type { MachineFacts } from '../desired-state/machine';
import type { Check } from './health-record';
import { someOf } from './lines';

/** Older facts are none: the timer writes them hourly. */
const STALE_HOURS = 6;
/** Milliseconds after a deploy; the timer runs hourly. */
const FIRST_LOOK = 75 * 60_000;

const SmartSchema = z.object({
  smartctl: z.object({ exit_status: z.number() }).partial().optional(),
  model_name: z.string().optional(),
  serial_number: z.string().optional(),
  smart_status: z.object({ passed: z.boolean() }).optional(),
  ata_smart_attributes: z
    .object({
      table: z.array(z.object({ id: z.number(), name: z.string(), when_failed: z.string(), raw: z.object({ value: z.number() }) })),
    })
    .optional(),
  nvme_smart_health_information_log: z
    .object({
      critical_warning: z.number(),
      available_spare: z.number(),
      available_spare_threshold: z.number(),
      percentage_used: z.number(),
      media_errors: z.number(),
    })
    .partial()
    .optional(),
  scsi_error_counter_log: z.record(z.string(), z.object({ total_uncorrected_errors: z.number() }).partial()).optional(),
});
type Smart = z.infer<typeof SmartSchema>;

/** ATA attributes that count sectors which cannot be read: none is normal. */
const BAD_SECTORS: Readonly<Record<number, string>> = { 197: 'sectors wait to be reallocated', 198: 'sectors cannot be read' };

/** Bits of an NVMe critical warning (NVM Express base specification, log page 02h). */
const NVME_WARNINGS = [
  'its spare blocks run out',
  'it is too hot or too cold',
  'it is not reliable any more',
  'it is read-only',
  'its cache has no power behind it',
  'its persistent memory is unreliable',
];

/** What is wrong with a disk. */
function faultsOf(smart: Smart): readonly string[] {
  const { smart_status: status, ata_smart_attributes: ata, nvme_smart_health_information_log: nvme, scsi_error_counter_log: scsi } = smart;
  return [
    ...(status?.passed === false ? ['it expects to fail soon'] : []),
    ...(ata?.table ?? []).flatMap(({ id, name, when_failed: failed, raw }) => [
      ...(failed === 'now' ? [`${name} is below its threshold`] : []),
      ...(BAD_SECTORS[id] !== undefined && raw.value > 0 ? [`${raw.value} ${BAD_SECTORS[id]}`] : []),
    ]),
    ...NVME_WARNINGS.filter((_, bit) => (((nvme?.critical_warning ?? 0) >> bit) & 1) === 1),
    ...((nvme?.media_errors ?? 0) > 0 ? [`${nvme?.media_errors} reads gave wrong data`] : []),
    ...((nvme?.percentage_used ?? 0) >= 100 ? [`${nvme?.percentage_used} % of the writes that it is made for are done`] : []),
    ...Object.entries(scsi ?? {}).flatMap(([what, { total_uncorrected_errors: count = 0 }]) =>
      count > 0 ? [`${count} errors of ${what} could not be corrected`] : [],
    ),
  ];
}

function disks({ disks: found }: MachineFacts): Check {
  const none = found.filter(({ smart }) => SmartSchema.safeParse(smart).data?.smart_status === undefined).map(({ name }) => name);
  const asked = found.filter(({ name }) => !none.includes(name));
  const faulty = asked.flatMap(({ name, smart }) => {
    const report = SmartSchema.parse(smart);
    const faults = faultsOf(report);
    return faults.length === 0
      ? []
      : [`${name} (${report.model_name ?? 'unknown'}, ${report.serial_number ?? 'no number'}): ${faults.join(', ')}`];
  });
  if (faulty.length > 0)
    return {
      name: 'disks',
      verdict: 'alert',
      text: faulty.join('; '),
      remedy: 'Replace the disk; "smartctl -a /dev/…" says more. "mirrorctl scrub --all" finds what it has damaged already.',
    };
  const silent = none.length === 0 ? '' : `; no SMART: ${none.join(', ')}`;
  if (asked.length === 0) return { name: 'disks', verdict: 'none', text: `no SMART device${silent}` };
  return { name: 'disks', verdict: 'ok', text: `${asked.map(({ name }) => name).join(', ')}: no fault reported${silent}` };
}

function arrays({ arrays: found }: MachineFacts): Check {
  const faulty = found.flatMap(({ name, level, state, degraded, action, mismatches }) => [
    ...(Number(degraded) > 0
      ? [`${name} (${level}) lacks ${degraded} of its disks${action === 'recover' ? ', and is being rebuilt' : ''}`]
      : []),
    ...(['inactive', 'suspended', 'broken'].includes(state) ? [`${name} (${level}) is ${state}`] : []),
    // The two halves of a raid1 or raid10 differ harmlessly where swap or a file was written to at that moment.
    ...(Number(mismatches) > 0 && !['raid1', 'raid10'].includes(level)
      ? [`${name} (${level}): ${mismatches} sectors differ between its disks`]
      : []),
  ]);
  if (faulty.length > 0)
    return {
      name: 'arrays',
      verdict: 'alert',
      text: faulty.join('; '),
      remedy: 'cat /proc/mdstat; mdadm --detail /dev/…: replace what failed.',
    };
  if (found.length === 0) return { name: 'arrays', verdict: 'none', text: 'no software RAID (md)' };
  return { name: 'arrays', verdict: 'ok', text: found.map(({ name, level, state }) => `${name} (${level}) ${state}`).join(', ') };
}

function clock({ clock: { synchronized } }: MachineFacts): Check {
  if (synchronized === 'yes') return { name: 'clock', verdict: 'ok', text: 'synchronized' };
  if (synchronized === 'container') return { name: 'clock', verdict: 'none', text: "this is a container: its clock is its host's" };
  return {
    name: 'clock',
    verdict: 'alert',
    text: synchronized === 'no' ? 'nothing keeps the clock right' : 'systemd does not say whether the clock is right',
    remedy: '"timedatectl timesync-status", or "chronyc tracking": can the server reach a time server (UDP 123)?',
  };
}

/** A sync that fails is tried again by its timer, and is told when it is overdue. */
const OWN_WORDS = /^mirror-(health\.service|sync@.+\.service)$/;

/** @param wanted timers that are declared */
function units({ failed, timers }: MachineFacts, wanted: readonly string[]): Check {
  const broken = failed.filter((name) => !OWN_WORDS.test(name));
  const stopped = timers === undefined ? [] : wanted.filter((name) => !timers.includes(name));
  const faults = [
    ...(broken.length === 0 ? [] : [`failed: ${someOf(broken, MAX_NAMED)}`]),
    ...(stopped.length === 0 ? [] : [`declared, and not running: ${someOf(stopped, MAX_NAMED)}`]),
    ...(timers === undefined ? ['systemd does not say which timers run'] : []),
  ];
  if (faults.length === 0) return { name: 'units', verdict: 'ok', text: `${wanted.length} timers run, and no unit has failed` };
  return {
    name: 'units',
    verdict: 'alert',
    text: faults.join('; '),
    remedy: '"journalctl -u <unit>" says why one failed. A timer that does not run is drift: deploy again.',
  };
}

/** So many are named. */
export const MAX_NAMED = 5;

/** @param facts undefined where nobody has looked yet */
export function machineChecks(
  facts: MachineFacts | undefined,
  wanted: readonly string[],
  { now, deployed }: { readonly now: Date; readonly deployed: Date },
): readonly Check[] {
  if (facts === undefined && now.getTime() - deployed.getTime() < FIRST_LOOK)
    return [
      {
        name: 'machine',
        verdict: 'none',
        text: 'disks, arrays and the clock are looked at within an hour of the deploy; at once: systemctl start mirror-machine.service',
      },
    ];
  const hours = facts === undefined ? Infinity : (now.getTime() - Date.parse(facts.at)) / 3_600_000;
  if (facts === undefined || hours > STALE_HOURS)
    return [
      {
        name: 'machine',
        verdict: 'alert',
        text:
          facts === undefined
            ? 'nobody has looked at disks, arrays and the clock since the server started'
            : `the last look at disks, arrays and the clock was ${Math.floor(hours)} hours ago`,
        remedy: 'As root: systemctl start mirror-machine.service; what it says is in journalctl -u mirror-machine.service.',
      },
    ];
  return [disks(facts), arrays(facts), clock(facts), units(facts, wanted)];
}
