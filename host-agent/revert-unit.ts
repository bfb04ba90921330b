/**
 * What brings back an operator who cut himself off: a timer that is set before a switch begins, and a unit that runs at every boot. Both take
 * back what was never confirmed. They are no part of a generation, so that none can break them.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { linkTarget, readIfPresent, replaceSymlink, writeDurably } from './files';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';
import { systemctl } from './units';

const REVERT_UNIT = 'mirror-revert.service';
const REVERT_TIMER = 'mirror-revert.timer';

/** Without a journal there is nothing to take back: then nothing is started, at boot too. Pure. */
export function revertService(paths: Pick<HostPaths, 'journal' | 'hostProgramLink'>): string {
  return `[Unit]
Description=Takes back a deploy that was interrupted or never confirmed
ConditionPathExists=${paths.journal}
After=local-fs.target nginx.service

[Service]
Type=oneshot
ExecStart=${paths.hostProgramLink} revert
TimeoutStartSec=20min
Restart=on-failure
RestartSec=30

[Install]
WantedBy=multi-user.target
`;
}

function wants(paths: HostPaths): string {
  return join(paths.units, 'multi-user.target.wants', REVERT_UNIT);
}

/** Installs the unit and enables it for every boot. */
export async function ensureRevertUnit(paths: HostPaths): Promise<void> {
  const file = join(paths.units, REVERT_UNIT);
  const wanted = revertService(paths);
  const before = readIfPresent(file);
  if (before !== wanted) writeDurably(file, wanted);
  if (linkTarget(wants(paths)) !== file) replaceSymlink(wants(paths), file);
  if (before !== undefined && before !== wanted) await systemctl(['daemon-reload'], 'reload the unit files');
}

/** Removes the unit and stops the timer. The caller lets systemd read the unit files. */
export async function removeRevertUnit(paths: HostPaths): Promise<void> {
  for (const path of [wants(paths), join(paths.units, REVERT_UNIT)]) rmSync(path, { force: true });
  await disarmRevert();
}

/** What deviates of the unit. */
export function revertUnitDeviations(paths: HostPaths): string[] {
  const file = join(paths.units, REVERT_UNIT);
  const text = readIfPresent(file);
  if (text !== revertService(paths)) return [`${file} ${text === undefined ? 'missing' : 'modified'}`];
  return linkTarget(wants(paths)) === file ? [] : [`${REVERT_UNIT} disabled`];
}

/** Sets the timer, anew if it is set. Throws MirrorError: without it nothing may be switched. */
export async function armRevert(seconds: number): Promise<void> {
  // The service too: where a revert failed, it waits for its restart, and a start by the timer would wait with it. None is at work: the caller
  // holds the lock.
  await run('systemctl', ['stop', REVERT_TIMER, REVERT_UNIT]);
  const timer = [`--on-active=${seconds}s`, '--timer-property=AccuracySec=1s', `--unit=${REVERT_UNIT}`];
  const set = await run('systemd-run', ['--quiet', ...timer]);
  if (set.exitCode === 0) return;
  throw new MirrorError({
    code: 'REVERT_NOT_ARMED',
    message: `the timer that would take back this deploy cannot be set: ${lastWords(set)}`,
    remedy: 'Nothing was switched. See `systemctl status` on the server: systemd must run, and accept new units.',
    exitCode: ExitCode.environment,
  });
}

/** Stops the timer. That it fails does no harm: without a journal there is nothing to take back. */
export async function disarmRevert(): Promise<void> {
  await run('systemctl', ['stop', '--no-block', REVERT_TIMER]);
}
