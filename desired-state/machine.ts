/**
 * What root finds out about the machine for `mirrorctl health`: `mirror-host machine` writes it, the content user reads it. What a disk says of
 * itself is passed on as it came: root does not interpret it.
 */
import { z } from 'zod';

/** Below /run, in a directory of root's: `mirror-machine.service` makes it. */
export const MACHINE_FACTS = '/run/mirror-machine/facts.json';

export const MachineFactsSchema = z.object({
  version: z.literal(1),
  /** When it was looked at (ISO). */
  at: z.string(),
  /** Disks that have a device file, by their kernel name. */
  disks: z.array(
    z.object({
      name: z.string(),
      /** What `smartctl --json` said; absent where it said nothing. */
      smart: z.unknown(),
    }),
  ),
  /** Software arrays (md), from /sys/block/<name>/md/. A value that the kernel does not have is empty. */
  arrays: z.array(
    z.object({
      name: z.string(),
      level: z.string(),
      /** `array_state`: `clean`, `active`, …, `inactive`. */
      state: z.string(),
      /** Members that are missing. */
      degraded: z.string(),
      /** `sync_action`: `idle`, `check`, `recover`, `resync`, … */
      action: z.string(),
      /** Sectors that the last check found to differ between members. */
      mismatches: z.string(),
    }),
  ),
  clock: z.object({
    /** `container`: it is its host's. `unknown`: systemd does not answer. */
    synchronized: z.enum(['yes', 'no', 'container', 'unknown']),
  }),
  /** Units of the mirror that have failed. */
  failed: z.array(z.string()),
  /** Timers of the mirror that run; absent where systemd does not answer. */
  timers: z.array(z.string()).optional(),
});
export type MachineFacts = z.infer<typeof MachineFactsSchema>;
