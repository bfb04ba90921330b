/**
 * How a fault gets at a program on the host: a wrapper of the program's name, earlier in the path, that runs a trap where one is set. Without one
 * it is the program itself.
 */
import { isForetold, mutatingCalls, MUTATING, withNames, type Call, type Names } from './calls';
import type { Finished, Host } from './host';

const DIRECTORY = '/run/campaign';
/** Programs that mirror-host runs, by the path of the real one. */
const PROGRAMS = {
  systemctl: '/usr/bin/systemctl',
  'systemd-run': '/usr/bin/systemd-run',
  'systemd-analyze': '/usr/bin/systemd-analyze',
  nginx: '/usr/sbin/nginx',
  unshare: '/usr/bin/unshare',
  sync: '/usr/bin/sync',
  flock: '/usr/bin/flock',
} as const;
export type TrappedProgram = keyof typeof PROGRAMS;
export type HostCommand = 'activate' | 'confirm' | 'revert' | 'receive';

/** What a trap may be set for after this was laid: everything else on the host is left as it was. */
export async function layTraps(host: Host): Promise<void> {
  await host.do(
    'command -v strace faketime >/dev/null || { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install strace faketime; }',
  );
  host.write(
    '/usr/local/bin/node',
    `#!/bin/sh\ncase "$1" in */mirror-host*) if [ -x "${DIRECTORY}/$2" ]; then exec "${DIRECTORY}/$2" "$@"; fi ;; esac\nexec /usr/bin/node "$@"\n`,
    0o755,
  );
  for (const [name, real] of Object.entries(PROGRAMS)) {
    host.write(
      `/usr/local/sbin/${name}`,
      `#!/bin/sh\nif [ -x ${DIRECTORY}/${name} ]; then exec ${DIRECTORY}/${name} "$@"; fi\nexec ${real} "$@"\n`,
      0o755,
    );
  }
}

/** Removes what was laid. */
export const liftTraps = (host: Host): Promise<Finished> =>
  host.run(`cd /usr/local/sbin && rm -f ${Object.keys(PROGRAMS).join(' ')} /usr/local/bin/node`);

/** Takes all traps away. */
export const disarm = (host: Host): void => host.remove(DIRECTORY);

/** Runs `script` in place of mirror-host's `command`, once; `$@` are node's arguments. */
export function trap(host: Host, command: HostCommand, script: string, options: { always?: boolean } = {}): void {
  const once = options.always === true ? '' : `rm -f ${DIRECTORY}/${command}\n`;
  host.write(`${DIRECTORY}/${command}`, `#!/bin/sh\n${once}${script}\n`, 0o755);
}

/** Lets a program that mirror-host runs do something else when its arguments match a pattern of the shell. */
export function trapProgram(host: Host, name: TrappedProgram, pattern: string, script: string, options: { always?: boolean } = {}): void {
  const once = options.always === true ? '' : `rm -f ${DIRECTORY}/${name}; `;
  host.write(`${DIRECTORY}/${name}`, `#!/bin/sh\ncase "$*" in ${pattern}) ${once}${script} ;; esac\nexec ${PROGRAMS[name]} "$@"\n`, 0o755);
}

const traceOf = (command: HostCommand): string => `${DIRECTORY}/trace.${command}`;
/** strace of the main thread alone: all that mirror-host does to the server it does there, in the same order each time. */
const strace = (command: HostCommand, more: string): string =>
  `export UV_THREADPOOL_SIZE=1\nexec strace -q -y -s 16 -o ${traceOf(command)} -e trace=${MUTATING.join(',')} ${more} /usr/bin/node "$@"`;

/** Records what the next run of a command does. */
export const record = (host: Host, command: HostCommand): void => trap(host, command, strace(command, ''));

/** The mutating calls that were recorded. */
export const recorded = (host: Host, command: HostCommand, names: Names): Call[] => mutatingCalls(host.read(traceOf(command)) ?? '', names);

/** Strikes the next run of a command at a call: `signal=SIGKILL`, `error=ENOSPC`, … All of that name from there on with `andAfter`. */
export function strikeAt(host: Host, command: HostCommand, call: Call, names: Names, fault: string, andAfter = false): void {
  // Other calls of that name, on pipes for instance, come as they like: strace counts those on this path alone.
  const only = isForetold(call) ? `-P '${withNames(call.at, names)}'` : '';
  trap(host, command, strace(command, `${only} -e inject=${call.name}:${fault}:when=${call.index}${andAfter ? '+' : ''}`));
}

/** True when the trace says that a strike happened. */
export const hasStruck = (host: Host, command: HostCommand): boolean =>
  /\(INJECTED\)|killed by SIG|--- SIG(KILL|STOP|TERM)|stopped by SIGSTOP/.test(host.read(traceOf(command)) ?? '');
