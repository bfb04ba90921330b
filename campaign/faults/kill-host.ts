/** SIGKILL of mirror-host at each call by which it changes the server, and errors that such a call returns. */
import type { Call } from '../calls';
import type { Deployment } from '../deployment';
import { namesOfNext, swap, type Fault, type Field } from '../fault';
import { hasStruck, strikeAt, type HostCommand } from '../traps';

/** What each command does to the server, as recorded on an undisturbed run. */
export type Recordings = Readonly<Record<HostCommand, readonly Call[]>>;

const describe = (command: HostCommand, call: Call, number: number, of: number): string =>
  `${command}, ${call.phase}, call ${number} of ${of}: ${call.name} ${call.path.replace(/[0-9a-f]{64}/, '<digest>').replace(/\.upload-[0-9a-f]+/, '.upload-…')}`;

async function deployStruck(field: Field, command: HostCommand, call: Call, fault: string, andAfter = false) {
  strikeAt(field.host, command, call, namesOfNext(field), fault, andAfter);
  const deploy = await field.there.apply();
  if (!hasStruck(field.host, command)) return { deploy, missed: true };
  return { deploy };
}

/** Kills at each mutating call of activate and confirm. Where something was switched, every fourth time nobody helps. */
export function kills(recordings: Recordings): Fault[] {
  return (['activate', 'confirm'] as const).flatMap((command) =>
    recordings[command].map((call, index): Fault => ({
      kind: command === 'activate' ? 'kill activate' : 'kill confirm',
      what: describe(command, call, index + 1, recordings[command].length),
      alone: call.phase !== 'preparing' && index % 4 === 3,
      short: call.path === '/etc/mirror/current' || (command === 'confirm' && call.path.endsWith('/host/journal.json')),
      strike: (field) => deployStruck(field, command, call, 'signal=SIGKILL'),
    })),
  );
}

/** Kills what takes back a deploy that nobody confirmed. The next deploy, or systemd, goes on from there. */
export function killsOfRevert(recordings: Recordings): Fault[] {
  const all = recordings.revert;
  // Each costs the time that the confirmation had; the switch is the one that is struck call by call in an activation.
  const struck = all
    .map((call, index) => ({ call, index }))
    .filter(({ call, index }) => index % 6 === 0 || call.path.endsWith('/host/journal.json'));
  return struck.map(({ call, index }, number): Fault => ({
    kind: 'kill revert',
    what: describe('revert', call, index + 1, all.length),
    // systemd starts it again after half a minute: seen once.
    alone: number === struck.length >> 1,
    patience: 40,
    strike: async (field) => {
      strikeAt(field.host, 'revert', call, namesOfNext(field), 'signal=SIGKILL');
      const deploy = await unconfirmed(field);
      const hit = await field.host.waitFor(25, () => hasStruck(field.host, 'revert'), 20);
      return { deploy, missed: !hit };
    },
  }));
}

/** systemd starts a revert that died again after half a minute. A deploy that comes meanwhile is taken back in time all the same. */
export function revertAfterDeadRevert(recordings: Recordings): Fault {
  return {
    kind: 'kill revert',
    what: 'the revert of the deploy before died, and this one is not confirmed either',
    alone: true,
    ends: 'old',
    short: true,
    prepare: async (field) => {
      const first = recordings.revert[0];
      if (first === undefined) throw new Error('no revert was recorded');
      strikeAt(field.host, 'revert', first, namesOfNext(field), 'signal=SIGKILL');
      await unconfirmed(field);
      if (!(await field.host.waitFor(25, () => hasStruck(field.host, 'revert'), 20))) throw new Error('no revert was struck');
      const { status, text } = await field.there.apply();
      if (status !== 0) throw new Error(`the deploy after a dead revert ended with ${status}: ${text}`);
      swap(field);
    },
    strike: async (field) => {
      await unconfirmed(field);
      return {};
    },
  };
}

/** Kills what receives an upload, at each of its mutating calls. */
export function killsOfReceive(recordings: Recordings): Fault[] {
  return recordings.receive.map((call, index): Fault => ({
    kind: 'kill receive',
    what: describe('receive', call, index + 1, recordings.receive.length),
    ends: 'old',
    strike: async (field) => {
      strikeAt(field.host, 'receive', call, namesOfNext(field), 'signal=SIGKILL');
      const deploy = await field.there.upgraded(`killed at ${index}`).apply();
      return { deploy, missed: !hasStruck(field.host, 'receive') };
    },
  }));
}

/** A deploy that nobody confirms: its operator is gone as soon as it is switched to. */
export async function unconfirmed(field: Field, deployment: Deployment = field.there) {
  const { child, ended } = deployment.startApply();
  await field.host.reaches('unconfirmed');
  child.kill('SIGKILL');
  return ended;
}

const ERRORS: Readonly<Record<string, readonly string[]>> = {
  openat: ['ENOSPC', 'EMFILE'],
  write: ['ENOSPC', 'EIO'],
  fsync: ['EIO', 'ENOSPC'],
  rename: ['EIO', 'ENOSPC'],
  mkdir: ['ENOSPC', 'EROFS'],
  symlink: ['ENOSPC', 'EROFS'],
  unlink: ['EIO', 'EROFS'],
  rmdir: ['EIO'],
  fchmod: ['EIO'],
  chmod: ['EIO'],
  clone: ['EAGAIN', 'ENOMEM'],
};

/** A disk, or the kernel, that refuses a call once; or each time that it is tried again. */
export function errors(recordings: Recordings): Fault[] {
  const seen = new Map<string, number>();
  return (['activate', 'confirm'] as const).flatMap((command) =>
    recordings[command].flatMap((call, index): Fault[] => {
      const group = `${command} ${call.phase} ${call.name}`;
      const count = seen.get(group) ?? 0;
      const kinds = ERRORS[call.name];
      if (kinds === undefined || count >= 2) return [];
      seen.set(group, count + 1);
      const error = kinds[count % kinds.length] ?? 'EIO';
      // One path alone: a whole disk that fails is what fullDisks tries.
      const andAfter = count % 2 === 1 && call.name !== 'clone';
      return [
        {
          kind: 'errors of the disk',
          what: `${error}${andAfter ? ' each time' : ''}: ${describe(command, call, index + 1, recordings[command].length)}`,
          alone: count % 2 === 0,
          short: call.name === 'fsync' && call.path === '/etc/mirror',
          strike: (field) => deployStruck(field, command, call, `error=${error}`, andAfter),
        },
      ];
    }),
  );
}
