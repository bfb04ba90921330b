/** nginx and systemd: they refuse, hang, die, or do not do what they said. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DesiredState } from '../../desired-state/model';
import type { Fault, Field } from '../fault';
import { trapProgram, type TrappedProgram } from '../traps';

function vhostChanged(change: (text: string) => string) {
  return (state: DesiredState): void => {
    const vhost = state.elements.find((element) => element.id.startsWith('vhost/'));
    if (vhost) vhost.files['nginx/vhost.conf'] = change(vhost.files['nginx/vhost.conf'] ?? '');
  };
}

const moved = (port: number) => (state: DesiredState) => {
  vhostChanged((text) => text.replace(/listen (\[::\]:)?80;/g, `listen $1${port};`))(state);
  state.probe = { ...state.probe, port };
};

/** A state that should never have been declared: it is refused, or taken back. */
const declared = (what: string, change: (state: DesiredState) => void, says: RegExp, short = false): Fault => ({
  kind: 'nginx',
  what,
  ends: 'old',
  alone: true,
  short,
  says,
  strike: async (field) => ({ deploy: await field.there.rendered(what, change).apply() }),
});

export function nginxFaults(): Fault[] {
  return [
    declared(
      'refuses the new vhost',
      vhostChanged((text) => `${text}server { no_such_directive on; }\n`),
      /no_such_directive/,
    ),
    declared(
      'the new vhost includes a file that is not there',
      vhostChanged((text) => `include /nowhere/x.conf;\n${text}`),
      /nowhere/,
    ),
    declared(
      'the new vhost listens on no port that is asked',
      vhostChanged((text) => text.replace(/listen (\[::\]:)?80;/g, 'listen $18099;')),
      /answer/,
      true,
    ),
    declared(
      'the new vhost closes every connection',
      vhostChanged((text) => text.replace('server_tokens off;', 'server_tokens off;\n    return 444;')),
      /answer/,
    ),
    declared(
      'the new vhost answers with a server error',
      vhostChanged((text) => text.replace('location = / {', 'location = / {\n return 500;')),
      /answer/,
    ),
    declared(
      'the new vhost has another name',
      vhostChanged((text) =>
        text
          .replace(/server_name [^;]*;/, 'server_name elsewhere.example.org;')
          .replace('include /etc/mirror/current/nginx/generation.conf;', ''),
      ),
      /answer/,
    ),
    declared('the new port is taken by sshd', moved(22), /port|answer/),
    {
      kind: 'nginx',
      what: 'the new port is taken by a program that accepts and says nothing',
      ends: 'old',
      alone: true,
      patience: 20,
      strike: async (field) => {
        const program = 'require("net").createServer(() => {}).listen(8098)';
        await field.host.do(`systemd-run -q --unit=campaign-port --collect /usr/bin/node -e '${program}'`);
        try {
          await sleep(300);
          return { deploy: await field.there.rendered('silent port', moved(8098)).apply() };
        } finally {
          await field.host.run('systemctl stop campaign-port');
        }
      },
    },
    {
      kind: 'nginx',
      what: 'a foreign file of the server breaks its configuration before the deploy',
      ends: 'old',
      says: /foreign\.conf/,
      strike: async (field) => {
        field.host.write('/etc/nginx/sites-enabled/foreign.conf', 'nonsense;\n');
        try {
          return { deploy: await field.there.apply() };
        } finally {
          field.host.remove('/etc/nginx/sites-enabled/foreign.conf');
        }
      },
    },
    {
      kind: 'nginx',
      what: 'a foreign file breaks its configuration between the test and the reload',
      ends: 'old',
      alone: true,
      strike: async (field) => {
        trapProgram(field.host, 'systemctl', '*reload-or-restart*', 'echo "nonsense;" > /etc/nginx/sites-enabled/foreign.conf');
        try {
          return { deploy: await field.there.apply() };
        } finally {
          field.host.remove('/etc/nginx/sites-enabled/foreign.conf');
        }
      },
    },
    {
      kind: 'nginx',
      what: 'the reload does nothing and says that it did',
      alone: true,
      ends: 'old',
      strike: async (field) => {
        trapProgram(field.host, 'systemctl', '*reload-or-restart*', 'exit 0');
        return { deploy: await field.there.apply() };
      },
    },
    {
      kind: 'nginx',
      what: 'all its processes are killed as the reload begins',
      alone: true,
      short: true,
      strike: async (field) => {
        trapProgram(field.host, 'systemctl', '*reload-or-restart*', 'pkill -KILL -x nginx; sleep 0.2');
        return { deploy: await field.sampler.exempt(() => field.there.apply()) };
      },
    },
    {
      kind: 'nginx',
      what: 'its master is killed just after the reload',
      alone: true,
      strike: async (field) => {
        trapProgram(field.host, 'systemctl', '*reload-or-restart*', '/usr/bin/systemctl "$@"; pkill -KILL -o -x nginx; exit 0');
        return {
          deploy: await field.sampler.exempt(async () => {
            const deploy = await field.there.apply();
            await field.host.rests(12);
            // Only a deploy starts what somebody killed after it was found well.
            await field.host.run('systemctl is-active -q nginx || systemctl restart nginx');
            return deploy;
          }),
        };
      },
    },
  ];
}

/** A program that mirror-host runs fails, hangs or is killed, once or as often as it is run. */
export function systemdFaults(): Fault[] {
  const trapped = (
    program: TrappedProgram,
    pattern: string,
    script: string,
    words: string,
    more: Partial<Fault> & { always?: boolean } = {},
  ): Fault => ({
    kind: 'systemd',
    what: `${program} ${pattern.replaceAll('*', ' ').trim()} ${words}`.replace(/ +/g, ' '),
    alone: true,
    ...more,
    strike: async (field) => {
      trapProgram(field.host, program, pattern, script, more);
      return { deploy: await field.there.apply() };
    },
  });
  const fail = 'echo "injected failure" >&2; exit 1';
  return [
    {
      kind: 'systemd',
      what: 'refuses a timer',
      ends: 'old',
      says: /epel-7\.timer/,
      strike: async (field) => {
        const broken = field.there.rendered('bad timer', (state) => {
          const timer = state.elements.find((element) => element.id === 'timer/epel-7');
          if (timer) timer.files['systemd/mirror-sync@epel-7.timer'] = '[Timer]\nOnCalendar=every full moon\n';
        });
        return { deploy: await broken.apply() };
      },
    },
    trapped('systemctl', '*daemon-reload*', fail, 'fails'),
    trapped('systemctl', '*daemon-reload*', fail, 'fails each time', { always: true }),
    trapped('systemctl', 'restart*', fail, 'fails', { short: true }),
    trapped('systemctl', 'restart*', fail, 'fails each time', { always: true }),
    trapped('systemctl', '*reload-or-restart*', fail, 'fails'),
    trapped('systemctl', '*reload-or-restart*', fail, 'fails each time', { always: true }),
    trapped('systemctl', 'stop*', fail, 'fails each time', { always: true }),
    trapped('systemctl', '*list-units*', fail, 'fails'),
    trapped('systemctl', '*daemon-reload*', 'sleep 8', 'takes 8 s', { patience: 8 }),
    trapped('systemctl', '*reload-or-restart*', 'sleep 8', 'takes 8 s', { patience: 8 }),
    trapped('systemctl', '*restart*', 'kill -KILL $$', 'is killed'),
    trapped('systemd-run', '*', fail, 'fails', { ends: 'old', says: /timer/ }),
    trapped('systemd-analyze', '*', 'kill -KILL $$', 'is killed', { ends: 'old' }),
    trapped('unshare', '*', fail, 'fails', { ends: 'old' }),
    trapped('sync', '*', 'echo "sync: error syncing: Input/output error" >&2; exit 1', 'fails', { ends: 'old' }),
    trapped('flock', '*', 'kill -KILL $$', 'is killed'),
  ];
}

/** Drift that appears in the middle of a deploy: the next one repairs it. */
export function drifts(): Fault[] {
  const drift = (what: string, phase: 'switching' | 'unconfirmed', command: string): Fault => ({
    kind: 'drift meanwhile',
    what: `${what}, while ${phase}`,
    short: what.startsWith('a public link is'),
    strike: async (field) => {
      const { ended } = field.there.startApply();
      await field.host.reaches(phase);
      await field.host.run(command);
      return { deploy: await ended };
    },
  });
  const link = '/srv/mirror/www/mos-repos/centos/mos7.0-centos6/cr';
  return [
    drift('a timer is removed', 'switching', 'rm -f /etc/systemd/system/mirror-sync@epel-7.timer; systemctl daemon-reload'),
    drift('a timer is stopped and disabled', 'unconfirmed', 'systemctl disable -q --now mirror-sync@epel-7.timer'),
    drift('a public link is removed', 'switching', `rm ${link}`),
    drift('a public link points elsewhere', 'unconfirmed', `ln -sfn /nowhere ${link}`),
    drift('a file of the new generation is edited', 'unconfirmed', 'echo "# edited" >> /etc/mirror/current/nginx/serving.conf'),
    drift("nginx's link to the site is removed", 'unconfirmed', 'rm /etc/nginx/sites-enabled/mirror.conf'),
    drift('the revert unit is removed', 'unconfirmed', 'rm /etc/systemd/system/mirror-revert.service'),
    drift(
      'the new generation is removed',
      'switching',
      'rm -rf /etc/mirror/generations/$(ls /etc/mirror/generations | sort -n | tail -1)/definitions',
    ),
  ];
}

const stopped = (field: Field, unit: string): Promise<string> =>
  field.host.do(`systemctl show -p MainPID --value ${unit}`).then((text) => text.trim());

/** A sync that runs while its own definition changes: it ends well, as the same process. */
export function syncsMeanwhile(): Fault[] {
  return [0.15, 0.4].map((after): Fault => ({
    kind: 'sync meanwhile',
    what: `a sync, stopped ${after} s after its start, goes on after the deploy that changed its schedule`,
    ends: 'new',
    strike: async (field) => {
      const unit = 'mirror-sync@epel-7.service';
      await field.host.do(`systemctl reset-failed ${unit} 2>/dev/null; systemctl start --no-block ${unit}`);
      let pid = '0';
      const until = Date.now() + 10_000;
      while (pid === '0' && Date.now() < until) pid = await stopped(field, unit);
      await sleep(after * 1000);
      const halted = await field.host.run(`kill -STOP ${pid}`);
      const deploy = await field.there.apply();
      const still = await stopped(field, unit);
      await field.host.run(`kill -CONT ${pid}`);
      let state = '';
      for (let i = 0; i < 150 && !/^(inactive|failed)$/.test(state); i++) {
        await sleep(200);
        state = (await field.host.run(`systemctl show -p ActiveState --value ${unit}`)).text.trim();
      }
      const result = (await field.host.do(`systemctl show -p Result --value ${unit}`)).trim();
      if (halted.status !== 0) return { deploy, missed: true };
      if (still !== pid || result !== 'success') throw new Error(`process ${pid} became ${still}, and ended as ${result}`);
      return { deploy, where: `process ${pid}, result ${result}` };
    },
  }));
}
