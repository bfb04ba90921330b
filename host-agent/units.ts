import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { namesIn, readIfPresent, replaceSymlink, syncDirectory, writeSynced } from './files';
import { isStartableTimer } from './manifest';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';

/** Unit files and timers as the server has them. Only names that begin with `mirror-`. */
export interface UnitFacts {
  /** Unit name → SHA-256 of the installed file. */
  readonly installed: Readonly<Record<string, string>>;
  /** Timers that are linked into timers.target.wants. */
  readonly enabled: ReadonlySet<string>;
  /** Timers that systemd has running. */
  readonly active: ReadonlySet<string>;
}

/** How to get from the facts to a generation's units. Every list is sorted. */
export interface UnitPlan {
  readonly write: readonly string[];
  readonly remove: readonly string[];
  readonly enable: readonly string[];
  readonly disable: readonly string[];
  /** Running timers that are no longer declared. */
  readonly stop: readonly string[];
  /** Timers that do not run, or whose file changes. Services in flight are never touched. */
  readonly restart: readonly string[];
  readonly reload: boolean;
}

/** Plans units. `known` are the units of the generations that may be installed: others are none of our business. Pure. */
export function planUnits(known: ReadonlySet<string>, wanted: Readonly<Record<string, string>>, facts: UnitFacts): UnitPlan {
  const write = Object.keys(wanted)
    .filter((unit) => facts.installed[unit] !== wanted[unit])
    .sort();
  const remove = [...known].filter((unit) => wanted[unit] === undefined && facts.installed[unit] !== undefined).sort();
  const timers = Object.keys(wanted).filter(isStartableTimer).sort();
  const stale = [...known].filter((unit) => isStartableTimer(unit) && wanted[unit] === undefined).sort();
  const enable = timers.filter((timer) => !facts.enabled.has(timer));
  const disable = stale.filter((timer) => facts.enabled.has(timer));
  return {
    write,
    remove,
    enable,
    disable,
    stop: stale.filter((timer) => facts.active.has(timer)),
    restart: timers.filter((timer) => !facts.active.has(timer) || write.includes(timer)),
    reload: write.length + remove.length + enable.length + disable.length > 0,
  };
}

/** Reads the units of the server: directory listings and one systemctl, however many units there are. */
export async function unitFacts(paths: HostPaths): Promise<UnitFacts> {
  const listing = run('systemctl', ['list-units', '--all', '--plain', '--no-legend', '--type=timer', '--state=active', 'mirror-*']);
  const installed: Record<string, string> = {};
  for (const name of namesIn(paths.units)) {
    if (!/^mirror-.+\.(service|timer)$/.test(name)) continue;
    // A masked unit is a link to /dev/null: its digest is that of an empty file, which no generation has.
    installed[name] = sha256(readIfPresent(join(paths.units, name)) ?? '');
  }
  const enabled = namesIn(paths.timerWants).filter((name) => name.startsWith('mirror-'));
  const active = (await listing).stdout.split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
  return { installed, enabled: new Set(enabled), active: new Set(active.filter((name) => name !== '')) };
}

/** Installs and removes unit files and enables timers, then lets systemd read them. Timers are started by `startTimers`. */
export async function installUnits(paths: HostPaths, generationDirectory: string, plan: UnitPlan): Promise<void> {
  if (plan.stop.length > 0) await systemctl(['stop', '--', ...plan.stop], 'stop timers that are no longer declared');
  // All the space is taken before the first file changes: a full disk is met here, where nothing has happened yet.
  const staged = plan.write.map((unit) => ({ unit, temporary: join(paths.units, `.${unit}.mirror-new`) }));
  try {
    for (const { unit, temporary } of staged) {
      writeSynced(temporary, readFileSync(join(generationDirectory, 'systemd', unit), 'utf8'), 0o644);
    }
  } catch (error) {
    for (const { temporary } of staged) rmSync(temporary, { force: true });
    throw error;
  }
  for (const { unit, temporary } of staged) renameSync(temporary, join(paths.units, unit));
  for (const unit of plan.remove) rmSync(join(paths.units, unit), { force: true });
  mkdirSync(paths.timerWants, { recursive: true });
  for (const timer of plan.enable) replaceSymlink(join(paths.timerWants, timer), join(paths.units, timer));
  for (const timer of plan.disable) rmSync(join(paths.timerWants, timer), { force: true });
  if (!plan.reload) return;
  syncDirectory(paths.units);
  syncDirectory(paths.timerWants);
  await systemctl(['daemon-reload'], 'reload the unit files');
}

/** Starts new timers and restarts changed ones, in one call. */
export async function startTimers(plan: UnitPlan): Promise<void> {
  if (plan.restart.length > 0) await systemctl(['restart', '--', ...plan.restart], 'start timers');
}

/** Runs systemctl; throws MirrorError with its words. */
export async function systemctl(args: readonly string[], purpose: string): Promise<void> {
  const result = await run('systemctl', args);
  if (result.exitCode === 0) return;
  throw new MirrorError({
    code: 'SYSTEMCTL_FAILED',
    message: `systemctl could not ${purpose}: ${lastWords(result)}`,
    remedy: 'See `journalctl -xe` on the server.',
    exitCode: ExitCode.environment,
  });
}
