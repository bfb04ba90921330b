import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { namesIn, readIfPresent, replaceSymlink, syncDirectory, writeSynced } from './files';
import { isStartable } from './manifest';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';

/** Unit files, and timers, sockets and watches of paths as the server has them. Only names that begin with `mirror-`. */
export interface UnitFacts {
  /** Unit name → SHA-256 of the installed file. */
  readonly installed: Readonly<Record<string, string>>;
  /** Those that are linked into the `wants` of their target. */
  readonly enabled: ReadonlySet<string>;
  /** Those that systemd has running. */
  readonly active: ReadonlySet<string>;
}

/** How to get from the facts to a generation's units. Every list is sorted. */
export interface UnitPlan {
  readonly write: readonly string[];
  readonly remove: readonly string[];
  readonly enable: readonly string[];
  readonly disable: readonly string[];
  /** Running timers, sockets and watches that are no longer declared; the service of a socket goes with it. */
  readonly stop: readonly string[];
  /** Timers, sockets and watches that do not run, or whose file changes. */
  readonly restart: readonly string[];
  /** Services of running sockets: they end, and the next connection starts them as they are declared now. No other service in flight is touched. */
  readonly renew: readonly string[];
  readonly reload: boolean;
}

const SOCKET = '.socket';

/** Plans units. `known` are the units of the generations that may be installed: others are none of our business. Pure. */
export function planUnits(known: ReadonlySet<string>, wanted: Readonly<Record<string, string>>, facts: UnitFacts): UnitPlan {
  const write = Object.keys(wanted)
    .filter((unit) => facts.installed[unit] !== wanted[unit])
    .sort();
  const remove = [...known].filter((unit) => wanted[unit] === undefined && facts.installed[unit] !== undefined).sort();
  const startable = Object.keys(wanted).filter(isStartable).sort();
  const stale = [...known].filter((unit) => isStartable(unit) && wanted[unit] === undefined).sort();
  const enable = startable.filter((unit) => !facts.enabled.has(unit));
  const disable = stale.filter((unit) => facts.enabled.has(unit));
  const servicesOf = (units: readonly string[]): readonly string[] =>
    units.filter((unit) => unit.endsWith(SOCKET)).map((unit) => `${unit.slice(0, -SOCKET.length)}.service`);
  const stop = stale.filter((unit) => facts.active.has(unit));
  return {
    write,
    remove,
    enable,
    disable,
    stop: [...stop, ...servicesOf(stop)],
    restart: startable.filter((unit) => !facts.active.has(unit) || write.includes(unit)),
    renew: servicesOf(startable.filter((unit) => facts.active.has(unit))),
    reload: write.length + remove.length + enable.length + disable.length > 0,
  };
}

/** Reads the units of the server: directory listings and one systemctl, however many units there are. */
export async function unitFacts(paths: HostPaths): Promise<UnitFacts> {
  const listing = run('systemctl', [
    'list-units',
    '--all',
    '--plain',
    '--no-legend',
    '--type=timer',
    '--type=socket',
    '--type=path',
    '--state=active',
    'mirror-*',
  ]);
  const installed: Record<string, string> = {};
  for (const name of namesIn(paths.units)) {
    if (!/^mirror-.+\.(service|socket|timer|path)$/.test(name)) continue;
    // A masked unit is a link to /dev/null: its digest is that of an empty file, which no generation has.
    installed[name] = sha256(readIfPresent(join(paths.units, name)) ?? '');
  }
  const enabled = [paths.timerWants, paths.socketWants, paths.pathWants].flatMap(namesIn).filter((name) => name.startsWith('mirror-'));
  const active = (await listing).stdout.split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
  return { installed, enabled: new Set(enabled), active: new Set(active.filter((name) => name !== '')) };
}

/** Installs and removes unit files, enables timers, sockets and watches, then lets systemd read them. They are started by `startUnits`. */
export async function installUnits(paths: HostPaths, generationDirectory: string, plan: UnitPlan): Promise<void> {
  if (plan.stop.length > 0) await systemctl(['stop', '--', ...plan.stop], 'stop timers, sockets and watches that are no longer declared');
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
  const wants = (unit: string): string =>
    unit.endsWith(SOCKET) ? paths.socketWants : unit.endsWith('.path') ? paths.pathWants : paths.timerWants;
  const wantsDirectories = [paths.timerWants, paths.socketWants, paths.pathWants];
  for (const directory of wantsDirectories) mkdirSync(directory, { recursive: true });
  for (const unit of plan.enable) replaceSymlink(join(wants(unit), unit), join(paths.units, unit));
  for (const unit of plan.disable) rmSync(join(wants(unit), unit), { force: true });
  if (!plan.reload) return;
  for (const directory of [paths.units, ...wantsDirectories]) syncDirectory(directory);
  await systemctl(['daemon-reload'], 'reload the unit files');
}

/** Starts new timers, sockets and watches and restarts changed ones, in one call. Before, the services of sockets end: a socket is not restarted while its service runs. */
export async function startUnits(plan: UnitPlan): Promise<void> {
  if (plan.renew.length > 0) await systemctl(['stop', '--', ...plan.renew], 'stop services of sockets');
  if (plan.restart.length > 0) await systemctl(['restart', '--', ...plan.restart], 'start timers, sockets and watches');
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
