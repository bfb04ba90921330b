// The host that is deployed to: a lab of its own, so that a developer's lab is left alone.
import { run } from './measure.mjs';

const lab = { MIRROR_LAB: 'bench' };

/** Boots the lab and returns what deploying to it needs: the environment of `scripts/lab env`. */
export async function hostUp() {
  await run('scripts/lab', ['up'], { env: lab });
  const environment = JSON.parse(await run('scripts/lab', ['env', '--json'], { env: lab }));
  return new Host(environment);
}

export class Host {
  constructor(environment) {
    this.environment = environment;
    this.address = environment.MIRROR_ADDRESS;
    this.port = environment.MIRROR_PORT ?? '22';
    this.user = environment.MIRROR_USER ?? 'root';
    this.key = environment.MIRROR_SSH_KEY;
    if (!this.address || !this.key) throw new Error('scripts/lab env names no MIRROR_ADDRESS or MIRROR_SSH_KEY');
  }

  /** Options of OpenSSH for this host: its key is not pinned here, since all contenders skip that check alike. */
  get sshOptions() {
    return [
      '-i',
      this.key,
      '-p',
      this.port,
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'LogLevel=ERROR',
      '-o',
      'BatchMode=yes',
    ];
  }

  /** One `ssh`, connection included. */
  ssh(script, options = {}) {
    return run('ssh', [...this.sshOptions, `${this.user}@${this.address}`, script], options);
  }

  /** What the peers need and we do not: Python and rsync; and nginx, so that no contender installs packages while measured. */
  async prepare() {
    await run('bash', ['-c', '. scripts/lib/prerequisites.sh && mirror_debian_packages rsync']);
    await this.ssh(
      'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3 rsync nginx-light',
    );
  }

  async down() {
    await run('scripts/lab', ['down'], { env: lab });
  }
}
