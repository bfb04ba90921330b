/** The machine: its power, its clock; locks that somebody left; two deploys at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../calls';
import { namesOfNext, type Fault, type Field } from '../fault';
import { lab } from '../host';
import { hasStruck, layTraps, strikeAt, trap, type HostCommand } from '../traps';
import { unconfirmed, type Recordings } from './kill-host';

/** Pulls the plug while mirror-host stands at a call, and boots again. What the boot takes is the plug's doing, not the deploy's. */
export function reboots(recordings: Recordings): Fault[] {
  const at = (what: string, command: HostCommand, find: (call: Call) => boolean, short = false): Fault => ({
    kind: 'power',
    what,
    alone: true,
    patience: 20,
    short,
    strike: async (field) => {
      const call = recordings[command].find(find);
      if (call === undefined) throw new Error('no such call was recorded');
      strikeAt(field.host, command, call, namesOfNext(field), 'signal=SIGSTOP');
      const { child, ended } = field.there.startApply();
      const before = field.host.generation();
      const struck = await field.host.waitFor(15, () => hasStruck(field.host, command));
      const switched = field.host.generation() !== before || field.host.phase() !== undefined;
      await cycle(field);
      child.kill('SIGKILL');
      await ended;
      await field.host.rests(20);
      return { missed: !struck, reverted: switched && field.host.generation() === before };
    },
  });
  const rename = (path: string, number = 1) => {
    let seen = 0;
    return (call: Call): boolean => call.name === 'rename' && call.path.endsWith(path) && ++seen === number;
  };
  return [
    at('fails while a generation is written', 'activate', (call) => call.path.endsWith('/nginx/vhost.conf')),
    at('fails before the journal is written', 'activate', rename('/host/journal.json')),
    at('fails right after the journal was written', 'activate', (call) => call.phase === 'switching'),
    at('fails while unit files are switched', 'activate', (call) => call.phase === 'switching' && call.name === 'unlink'),
    at('fails just before the generation is switched', 'activate', rename('/etc/mirror/current'), true),
    at('fails just after the generation was switched', 'activate', (call) => call.name === 'fsync' && call.path === '/etc/mirror'),
    at(
      'fails while links are placed',
      'activate',
      (call) => call.phase === 'switching' && call.name === 'rename' && call.path.endsWith('/holdback'),
    ),
    at('fails while the generation is unconfirmed', 'confirm', (call) => call.path === '/run/mirror-host.lock'),
    at('fails as the confirmation is written', 'confirm', (call) => call.name === 'rename' && call.path.endsWith('/manifest.json')),
    at(
      'fails between the confirmation and the end of the journal',
      'confirm',
      (call) => call.name === 'unlink' && call.path.endsWith('/host/journal.json'),
    ),
    {
      kind: 'power',
      what: 'fails right after the deploy',
      alone: true,
      ends: 'new',
      strike: async (field) => {
        const deploy = await field.there.apply();
        await cycle(field);
        return { deploy };
      },
    },
    {
      kind: 'power',
      what: 'fails twice: at the switch, and while the boot takes it back',
      alone: true,
      patience: 20,
      strike: async (field) => {
        const { child, ended } = field.there.startApply();
        await field.host.reaches('switching');
        await cycle(field, false);
        child.kill('SIGKILL');
        await ended;
        await cycle(field);
        return { reverted: await field.host.rests(20) };
      },
    },
  ];
}

/** Pulls the plug while a bare server gets its Debian packages. Nothing is served before; the next deploy goes on from where dpkg was. */
export function firstDeploys(): Fault[] {
  const at = (what: string, reached: (said: string, field: Field) => boolean): Fault => ({
    kind: 'first deploy',
    what: `of a bare server: the power fails while ${what}`,
    ends: 'new',
    prepare: async (field) => {
      await lab('reset', 'mirror');
      await field.host.find();
    },
    strike: async (field) =>
      field.sampler.exempt(async () => {
        const { child, ended } = field.there.startApply();
        let said = '';
        child.stdout.on('data', (text: string) => (said += text));
        const struck = await field.host.waitFor(120, () => reached(said, field), 10);
        await cycle(field, false);
        child.kill('SIGKILL');
        await ended;
        const interrupted = (await field.host.run('ls /var/lib/dpkg/updates | grep -q .')).status === 0;
        const deploy = await field.there.apply();
        if (deploy.status !== 0) throw new Error(`the next deploy ended with ${deploy.status}: ${deploy.text.slice(-900)}`);
        await layTraps(field.host);
        await field.host.firstSyncsEnd();
        return { deploy, missed: !struck, where: interrupted ? 'dpkg was interrupted' : 'between two steps of dpkg' };
      }),
  });
  return [
    at('apt reads its lists', (said) => said.includes('apt-get update')),
    at('Node is unpacked', (_, field) => / unpacked ca-certificates/.test(field.host.read('/var/log/dpkg.log') ?? '')),
    at('mirror-host installs the first package', (said) => said.includes('installed bzip2')),
    at('mirror-host installs nginx', (said) => said.includes('installed nginx-light')),
  ];
}

async function cycle(field: Field, waitForSite = true): Promise<void> {
  await field.sampler.exempt(async () => {
    field.host.pullPlug();
    await field.host.boot();
    // sshd is up before nginx, now and then.
    if (waitForSite) await field.host.run('until systemctl -q is-active nginx; do sleep 0.02; done');
  });
}

/** The wall clock is wrong, or steps while a deploy waits for its confirmation. systemd and mirror-host count by another one. */
export function clocks(): Fault[] {
  const fake = (time: string): string => `export DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1\nexec faketime -f '${time}' /usr/bin/node "$@"`;
  const all = (field: Field, times: Partial<Record<HostCommand, string>>): void => {
    for (const [command, time] of Object.entries(times) as [HostCommand, string][]) trap(field.host, command, fake(time), { always: true });
  };
  const wrong: Fault[] = (
    [
      ['an hour fast', '+1h'],
      ['an hour slow', '-1h'],
      ['a year fast', '+1y'],
      ['a year slow', '-1y'],
      ['in 2038, past 32 bits', '@2038-01-20 00:00:00'],
      ['in 1970', '@1970-01-02 00:00:00'],
    ] as const
  ).map(([words, time]): Fault => ({
    kind: 'clock',
    what: `is ${words}`,
    ends: 'new',
    short: words === 'in 1970',
    strike: async (field) => {
      all(field, { activate: time, confirm: time, receive: time });
      return { deploy: await field.there.apply() };
    },
  }));
  const steps: Fault[] = (
    [
      ['a year forward', '+1y'],
      ['a year back', '-1y'],
      ['to 1970', '@1970-01-02 00:00:00'],
      ['to 2038', '@2038-01-20 00:00:00'],
    ] as const
  ).flatMap(([words, time]): Fault[] => [
    {
      kind: 'clock',
      what: `steps ${words} between switch and confirmation`,
      ends: 'new',
      strike: async (field) => {
        all(field, { confirm: time });
        return { deploy: await field.there.apply() };
      },
    },
    {
      kind: 'clock',
      what: `steps ${words} after a switch that nobody confirms`,
      alone: true,
      ends: 'old',
      strike: async (field) => {
        all(field, { revert: time });
        await unconfirmed(field);
        return { reverted: await field.host.rests(15) };
      },
    },
  ]);
  return [...wrong, ...steps];
}

/** Locks: left by a process that is gone, held by a stranger, held by another deploy. */
export function locks(): Fault[] {
  const LOCK = '/run/mirror-host.lock';
  return [
    {
      kind: 'lock',
      what: 'the lock file names a process that is gone, and whose number another has now',
      ends: 'new',
      strike: async (field) => {
        field.host.write(LOCK, JSON.stringify({ who: 'an old deploy', pid: 1, since: '2020-01-01T00:00:00Z' }), 0o600);
        return { deploy: await field.there.apply() };
      },
    },
    {
      kind: 'lock',
      what: 'the lock file is damaged',
      ends: 'new',
      strike: async (field) => {
        field.host.write(LOCK, '{"who":', 0o600);
        return { deploy: await field.there.apply() };
      },
    },
    {
      kind: 'lock',
      what: 'a stranger holds the lock for 3 s',
      ends: 'new',
      says: /waiting up to/,
      strike: async (field) => {
        await field.host.do(`systemd-run -q --collect --unit=campaign-holder /usr/bin/flock ${LOCK} sleep 3`);
        await sleep(200);
        return { deploy: await field.there.apply() };
      },
    },
    ...[0, 150, 400, 900].map((apart): Fault => ({
      kind: 'two deploys',
      what: `of different states, ${apart} ms apart`,
      short: apart === 150,
      strike: async (field) => {
        const first = field.there.startApply();
        await sleep(apart);
        const second = field.here.startApply();
        const [one, two] = await Promise.all([first.ended, second.ended]);
        if (one.status !== 0 || two.status !== 0)
          throw new Error(`they ended with ${one.status} and ${two.status}: ${one.text}${two.text}`);
        return { deploy: one };
      },
    })),
    {
      kind: 'two deploys',
      what: 'the first is killed while unconfirmed: the second waits for its time to pass',
      ends: 'new',
      says: /confirmation of generation/,
      strike: async (field) => {
        await unconfirmed(
          field,
          field.there.rendered('first', (state) => void (state.confirmSeconds = 6)),
        );
        return { deploy: await field.there.apply() };
      },
    },
  ];
}
