/** The operator's side goes away: his programs are killed, his connection is cut, he is locked out. */
import { setTimeout as sleep } from 'node:timers/promises';
import { swap, type Fault, type Field } from '../fault';
import { trap } from '../traps';

const ALL = { always: true } as const;

/** SIGKILL of the apply program, and of terraform with all it started, at moments all over a deploy. */
export function killsOfOperator(): Fault[] {
  const moments = Array.from({ length: 12 }, (_, i) => i);
  return [
    ...moments.map((i): Fault => ({
      kind: 'kill apply',
      what: `after ${Math.round((100 * (i + 0.5)) / 12)} % of its usual time`,
      alone: i % 3 === 0,
      short: i === 9,
      strike: async (field) => {
        const { child, ended } = field.there.startApply();
        await sleep((field.applyMs * (i + field.random())) / 12);
        const missed = child.exitCode !== null;
        child.kill('SIGKILL');
        await ended;
        return { missed, where: inPhase(field) };
      },
    })),
    ...moments.map((i): Fault => ({
      kind: 'kill terraform',
      what: `with its children, after ${Math.round((100 * (i + 0.5)) / 12)} % of its usual time`,
      alone: i % 3 === 1,
      strike: async (field) => {
        const { child, ended } = field.there.startTerraform('apply', '-input=false', '-no-color', '-auto-approve', '-lock-timeout=20s');
        await sleep(((field.applyMs + 800) * (i + field.random())) / 12);
        const missed = child.exitCode !== null;
        try {
          process.kill(-(child.pid ?? 0), 'SIGKILL');
        } catch {
          // It has just ended.
        }
        await ended;
        return { missed, where: inPhase(field) };
      },
    })),
  ];
}

const inPhase = (field: Field): string => `the server is ${field.host.phase() ?? 'at rest'}`;

/** Connections that are cut: after a share of their bytes, when the server reaches a step, or between two steps. */
export function cuts(): Fault[] {
  const share = (connection: 0 | 1, way: 'up' | 'down', part: number, short = false): Fault => ({
    kind: connection === 0 ? 'cut connection' : 'cut confirmation',
    what: `connection ${connection + 1}, after ${Math.round(part * 100)} % of the bytes ${way === 'up' ? 'to' : 'from'} the server`,
    alone: part > 0.6,
    short,
    strike: async (field) => {
      const usual = usualBytes[connection]?.[way] ?? 4000;
      const cut = { [way]: Math.round(usual * part) };
      field.proxy.reset(...(connection === 0 ? [cut] : [{}, cut]));
      return { deploy: await field.there.through(field.port).apply() };
    },
  });
  const at = (phase: 'switching' | 'unconfirmed', how: 'cut' | 'sshd'): Fault => ({
    kind: 'cut connection',
    what: `${how === 'cut' ? 'reset' : 'its sshd is killed'} as soon as the server is ${phase}`,
    alone: true,
    short: how === 'cut' && phase === 'unconfirmed',
    strike: async (field) => {
      field.proxy.reset();
      const { ended } = field.there.through(field.port).startApply();
      await field.host.reaches(phase);
      if (how === 'cut') field.proxy.cut();
      else await field.host.run("pkill -KILL -f '^sshd: root'");
      return { deploy: await ended };
    },
  });
  return [
    ...[0.02, 0.5, 0.99].map((part) => share(0, 'up', part)),
    ...[0.05, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.97].map((part) => share(0, 'down', part)),
    at('switching', 'cut'),
    at('unconfirmed', 'cut'),
    at('switching', 'sshd'),
    at('unconfirmed', 'sshd'),
    ...[0.1, 0.6, 0.99].map((part) => share(1, 'up', part)),
    ...[0.1, 0.5, 0.8, 0.95].map((part) => share(1, 'down', part)),
    {
      kind: 'cut confirmation',
      what: 'no new connection between the switch and the end of the time',
      alone: true,
      ends: 'old',
      says: /could not be confirmed/,
      strike: async (field) => {
        field.proxy.reset({}, { refuse: true }, { refuse: true }, { refuse: true }, { refuse: true }, { refuse: true });
        return { deploy: await field.there.through(field.port).apply() };
      },
    },
    {
      kind: 'cut confirmation',
      what: 'the first new connection is refused, the second is not',
      ends: 'new',
      strike: async (field) => {
        field.proxy.reset({}, { refuse: true });
        return { deploy: await field.there.through(field.port).apply() };
      },
    },
    {
      kind: 'cut connection',
      what: 'nothing passes any more once the server is switching, and nobody is told',
      alone: true,
      ends: 'old',
      strike: async (field) => {
        field.proxy.reset();
        const { child, ended } = field.there.through(field.port).startApply();
        await field.host.reaches('switching');
        field.proxy.freeze();
        const reverted = await field.host.rests(25);
        child.kill('SIGKILL');
        await ended;
        return { reverted };
      },
    },
    ...[0.1, 0.4, 0.7, 0.98].map((part): Fault => ({
      kind: 'cut upload',
      what: `new server programs, after ${Math.round(part * 100)} % of them`,
      ends: 'old',
      short: part === 0.4,
      strike: async (field) => {
        field.proxy.reset({ up: Math.round(1_600_000 * part) });
        return { deploy: await field.there.upgraded(`cut at ${part}`).through(field.port).apply() };
      },
    })),
  ];
}

/** Bytes of the two connections of an undisturbed deploy. */
const usualBytes: { up: number; down: number }[] = [];

/** Measures them. The two states swap places. */
export async function measureBytes(field: Field): Promise<void> {
  field.proxy.reset();
  const { status, text } = await field.there.through(field.port).apply();
  if (status !== 0) throw new Error(`a deploy through the proxy ended with ${status}: ${text}`);
  usualBytes.splice(0, usualBytes.length, ...field.proxy.carried);
  swap(field);
}

/** A new generation that keeps its own operator out. */
export function lockouts(): Fault[] {
  return [
    {
      kind: 'locked out',
      what: 'sshd stops during the switch, and stays so until the server is at rest',
      ends: 'old',
      says: /could not be confirmed/,
      strike: async (field) => {
        const { ended } = field.there.startApply();
        await field.host.reaches('switching');
        await field.host.do('systemctl stop ssh.service ssh.socket 2>/dev/null || systemctl stop ssh.service');
        const deploy = await ended;
        const rest = await field.host.rests(20);
        await field.host.do('systemctl start ssh.service');
        if (!rest) throw new Error('the server did not come to rest by itself');
        return { deploy };
      },
    },
    ...['a', 'b'].map((letter): Fault => ({
      kind: 'locked out',
      what: `the new generation lets nobody in as the deploy user (state ${letter})`,
      alone: true,
      ends: 'old',
      says: /could not be confirmed/,
      prepare: async (field) => {
        const own = await field.host.do('cat /root/.ssh/authorized_keys');
        const account = await field.states.make(`${letter} account`, { CAMPAIGN_AUTHORIZED_KEY: own.trim() });
        const { status, text } = await account.apply();
        if (status !== 0) throw new Error(`deploying with an account ended with ${status}: ${text}`);
      },
      strike: async (field) => {
        const foreign = (await field.host.do('cat /etc/ssh/ssh_host_ed25519_key.pub')).trim();
        const lockedOut = await field.states.make(`${letter} account locked-out`, { CAMPAIGN_AUTHORIZED_KEY: foreign });
        return { deploy: await lockedOut.apply() };
      },
    })),
  ];
}

/** mirror-host or its confirmation takes longer than the time there is. */
export function pauses(): Fault[] {
  const stopFor = (phase: 'switching' | 'unconfirmed', seconds: number): Fault => ({
    kind: 'stopped process',
    what: `SIGSTOP of mirror-host for ${seconds} s once it is ${phase}`,
    alone: true,
    patience: seconds,
    strike: async (field) => {
      if (phase === 'unconfirmed') trap(field.host, 'confirm', `kill -STOP $$\nexec /usr/bin/node "$@"`, ALL);
      const { ended } = field.there.startApply();
      await field.host.reaches(phase);
      if (phase === 'switching')
        await field.host.run("pgrep -f 'mirror-host.cjs activate' > /run/stopped; xargs kill -STOP < /run/stopped");
      await sleep(seconds * 1000);
      // By number: what was stopped between its fork and its exec has another command line afterwards.
      await field.host.run("xargs -r kill -CONT < /run/stopped; rm -f /run/stopped; pkill -CONT -f 'mirror-host.cjs confirm'");
      return { deploy: await ended };
    },
  });
  return [stopFor('switching', 2), stopFor('switching', 8), { ...stopFor('unconfirmed', 9), ends: 'old' }];
}
