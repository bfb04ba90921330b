// This project: the whole `npx cdktf deploy`, Terraform alone, and the one SSH session alone.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './measure.mjs';

const work = join(root, 'cdktf.out', 'bench');
mkdirSync(work, { recursive: true });

export class Cdktf {
  constructor(app, host) {
    this.app = app;
    this.host = host;
    this.output = join(work, app);
    this.state = join(work, `${app}.tfstate`);
    this.stack = join(this.output, 'stacks', app === 'many' ? 'bench' : app);
  }

  environment(repositories) {
    return {
      ...this.host.environment,
      BENCH_REPOSITORIES: String(repositories),
      MIRROR_STATE: this.state,
      CI: '1',
      CHECKPOINT_DISABLE: '1',
    };
  }

  get command() {
    return `node bench/build-app.mjs ${this.app} && node dist/bench/${this.app}.js`;
  }

  synth(repositories) {
    return run('npx', ['cdktf', 'synth', '--app', this.command, '--output', this.output], { env: this.environment(repositories) });
  }

  deploy(repositories) {
    const stack = this.app === 'many' ? 'bench' : this.app;
    return run(
      'npx',
      ['cdktf', 'deploy', stack, '--app', this.command, '--output', this.output, '--auto-approve', '--skip-provider-lock'],
      {
        env: this.environment(repositories),
      },
    );
  }

  /** Terraform alone, on what was synthesized last. */
  apply(repositories) {
    const terraform = this.host.environment.TERRAFORM_BINARY_NAME ?? 'terraform';
    return run(terraform, ['apply', '-auto-approve', '-input=false', '-no-color'], {
      cwd: this.stack,
      env: this.environment(repositories),
    });
  }

  /** The server's part alone: what Terraform runs in the activation, given what it would give. */
  async activate(repositories, lastDrift) {
    const { triggers } = this.activation();
    await run('node', ['mirror/apply.cjs'], {
      cwd: this.stack,
      env: {
        ...this.environment(repositories),
        MIRROR_DESIRED_STATE_SHA256: triggers.desired_state,
        MIRROR_PROGRAMS_SHA256: triggers.programs,
        MIRROR_LAST_DRIFT: lastDrift,
      },
    });
  }

  /** What planning asks the server. */
  async observe(repositories) {
    return (await run('node', ['mirror/observe.cjs'], { cwd: this.stack, env: this.environment(repositories) })).trimEnd();
  }

  activation() {
    const json = JSON.parse(readFileSync(join(this.stack, 'cdk.tf.json'), 'utf8'));
    return Object.values(json.resource.null_resource).find((r) => r.triggers.element === 'activation');
  }

  forget() {
    for (const file of [this.output, this.state, `${this.state}.backup`]) if (existsSync(file)) rmSync(file, { recursive: true });
  }

  /** A server as it was before the first deploy, but for its packages; then one deploy without repositories, so that programs are there. */
  async reset() {
    this.forget();
    await this.host.ssh(`
      systemctl stop 'mirror-*' 2>/dev/null || true
      rm -rf /etc/mirror /var/lib/mirror /etc/systemd/system/mirror-* /etc/systemd/system/*.wants/mirror-* /etc/nginx/sites-enabled/mirror.conf
      find /srv/mirror -mindepth 1 -delete 2>/dev/null || true
      systemctl daemon-reload; systemctl reset-failed`);
    await this.deploy(0);
    await this.settle();
  }

  /** First syncs of new repositories run in the background; they are no part of a deploy and must not run into the next one. */
  async settle() {
    await this.host.ssh("systemctl stop mirror-sync-new.service 'mirror-sync@*.service' 2>/dev/null; systemctl reset-failed; true");
  }
}
