// Ansible, from PyPI in a virtual environment of its own in the cache.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { root, run } from './measure.mjs';
import { ids, renderTree } from './tree.mjs';

// mitogen 0.3.54 is the newest; ansible-core 2.18 is the newest that runs on Debian 12's Python and that mitogen's documentation lists.
const packages = ['ansible-core==2.18.19', 'mitogen==0.3.54'];
// The collection ansible.posix (synchronize) comes in the large package only: that one directory is taken from it.
const bundle = 'ansible==11.13.0';

const cache = process.env.MIRROR_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'package-mirror-as-code');
const venv = join(cache, 'bench-venv');
const work = join(root, 'cdktf.out', 'bench');

export async function installAnsible() {
  const stamp = join(venv, `.installed-${[...packages, bundle].join('-')}`);
  if (existsSync(stamp)) return;
  mkdirSync(cache, { recursive: true });
  await run('python3', ['-m', 'venv', '--clear', venv]);
  await run(join(venv, 'bin', 'pip'), ['install', '-q', ...packages]);
  const wheels = join(venv, 'wheels');
  await run(join(venv, 'bin', 'pip'), ['download', '-q', '--no-deps', '-d', wheels, bundle]);
  await run(join(venv, 'bin', 'python'), [
    '-c',
    `
import glob, sysconfig, zipfile
with zipfile.ZipFile(glob.glob('${wheels}/ansible-*.whl')[0]) as wheel:
    for name in wheel.namelist():
        if name.startswith('ansible_collections/ansible/posix/'):
            wheel.extract(name, sysconfig.get_paths()['purelib'])
`,
  ]);
  rmSync(wheels, { recursive: true });
  writeFileSync(stamp, '');
}

export class Ansible {
  /** `kind`: 'role' (idiomatic, with pipelining), 'mitogen' (the same role), 'synchronize' (one rsync of a rendered tree). */
  constructor(kind, host) {
    this.kind = kind;
    this.host = host;
  }

  async deploy(repositories) {
    const directory = join(work, `ansible-${this.kind}`);
    mkdirSync(directory, { recursive: true });
    const { host } = this;
    const inventory = join(directory, 'inventory.yml');
    const variables = join(directory, 'vars.json');
    writeFileSync(
      inventory,
      JSON.stringify({
        all: {
          hosts: {
            mirror: {
              ansible_host: host.address,
              ansible_port: Number(host.port),
              ansible_user: host.user,
              ansible_ssh_private_key_file: host.key,
              ansible_python_interpreter: '/usr/bin/python3',
            },
          },
        },
      }),
    );
    const tree = join(directory, 'tree');
    if (this.kind === 'synchronize') renderTree(tree, repositories);
    writeFileSync(
      variables,
      JSON.stringify({ tree, repositories: this.kind === 'synchronize' ? [] : ids(repositories).map((id) => ({ id })) }),
    );
    const playbook = this.kind === 'synchronize' ? 'synchronize.yml' : 'playbook.yml';
    await run(join(venv, 'bin', 'ansible-playbook'), ['-i', inventory, '-e', `@${variables}`, join(root, 'bench', 'ansible', playbook)], {
      env: await this.environment(directory),
    });
  }

  async environment(directory) {
    return {
      PATH: `${join(venv, 'bin')}:${process.env.PATH}`,
      ANSIBLE_HOME: join(directory, 'home'),
      ANSIBLE_LOCAL_TEMP: join(directory, 'tmp'),
      ANSIBLE_PIPELINING: '1',
      ANSIBLE_HOST_KEY_CHECKING: '0',
      ANSIBLE_DEPRECATION_WARNINGS: '0',
      ANSIBLE_NOCOWS: '1',
      ...(this.kind === 'mitogen' ? { ANSIBLE_STRATEGY: 'mitogen_linear', ANSIBLE_STRATEGY_PLUGINS: await mitogenStrategies() } : {}),
    };
  }

  async reset() {
    await resetPeers(this.host);
  }
}

/** Removes what any of the peers made, so that each begins with the same host. */
export async function resetPeers(host) {
  await host.ssh(`
    systemctl stop 'bench-*' 2>/dev/null || true
    rm -rf /etc/bench-mirror /srv/bench-mirror /etc/nginx/conf.d/bench-mirror.conf /etc/systemd/system/bench-* /etc/systemd/system/timers.target.wants/bench-*
    systemctl daemon-reload; systemctl reload-or-restart nginx`);
}

async function mitogenStrategies() {
  const found = await run(join(venv, 'bin', 'python'), [
    '-c',
    'import ansible_mitogen, os; print(os.path.dirname(ansible_mitogen.__file__))',
  ]);
  return join(found.trim(), 'plugins', 'strategy');
}
