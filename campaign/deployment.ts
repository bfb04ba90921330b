/** Synthesized states of the campaign's mirror, and the two ways to deploy them: the apply program alone, and Terraform. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { canonicalJson, sha256 } from '../desired-state/canonical';
import type { DesiredState } from '../desired-state/model';
import { programsDigestBy } from '../desired-state/programs';
import type { Target } from '../desired-state/target';
import { must, ROOT, start, type Finished } from './host';

/** A stack directory that can be applied. */
export class Deployment {
  constructor(
    readonly name: string,
    readonly stack: string,
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** Starts the apply program as Terraform does. */
  startApply() {
    const { stack } = this;
    const env = {
      ...this.environment,
      // As Terraform's trigger, it is never empty.
      MIRROR_LAST_DRIFT: 'as the campaign left it',
      MIRROR_DESIRED_STATE_SHA256: sha256(readFileSync(join(stack, 'mirror/desired-state.json'))),
      MIRROR_PROGRAMS_SHA256: programsDigestBy((name) => sha256(readFileSync(join(stack, 'mirror', name)))),
    };
    return start(process.execPath, [join(stack, 'mirror/apply.cjs')], { cwd: stack, env });
  }

  apply(): Promise<Finished> {
    return this.startApply().ended;
  }

  startTerraform(...args: string[]) {
    return start(this.environment['TERRAFORM_BINARY_NAME'] ?? 'terraform', args, { cwd: this.stack, env: this.environment, group: true });
  }

  /** A copy of the directory, changed. Removed with the directory of all states. */
  variant(name: string, change: (directory: string) => void): Deployment {
    const stack = `${this.stack}-${name.replace(/\W+/g, '-')}`;
    cpSync(this.stack, stack, { recursive: true, filter: (path) => !path.endsWith('/.terraform') });
    change(join(stack, 'mirror'));
    return new Deployment(`${this.name}, ${name}`, stack, this.environment);
  }

  /** A copy that is reached at another address: through a proxy that cuts. */
  through(port: number): Deployment {
    return this.variant(`port ${port}`, (directory) => {
      const file = join(directory, 'target.json');
      const target = JSON.parse(readFileSync(file, 'utf8')) as Target;
      writeFileSync(file, JSON.stringify({ ...target, address: '127.0.0.1', port }));
    });
  }

  /** A copy whose rendered text is changed below the validation of the constructs. */
  rendered(name: string, change: (state: DesiredState) => void): Deployment {
    return this.variant(name, (directory) => {
      const file = join(directory, 'desired-state.json');
      const state = JSON.parse(readFileSync(file, 'utf8')) as DesiredState;
      change(state);
      writeFileSync(file, canonicalJson(state));
    });
  }

  /** A copy with other server programs, so that they have to be uploaded. */
  upgraded(version: string): Deployment {
    return this.variant(`programs ${version}`, (directory) => {
      const file = join(directory, 'mirror-host.cjs');
      writeFileSync(file, `${readFileSync(file, 'utf8')}\n// ${version}\n`);
    });
  }
}

/** Where states are synthesized. */
export class States {
  readonly directory = mkdtempSync(join(tmpdir(), 'mirror-campaign-'));

  constructor(private readonly environment: NodeJS.ProcessEnv) {}

  /** Synthesizes `campaign/app.ts` in a state. */
  async make(words: string, env: NodeJS.ProcessEnv = {}): Promise<Deployment> {
    const environment = { ...this.environment, ...env, CAMPAIGN_STATE: words };
    const program = join(ROOT, 'dist/campaign/app.js');
    mkdirSync(join(ROOT, 'dist/campaign'), { recursive: true });
    buildSync({
      entryPoints: [join(ROOT, 'campaign/app.ts')],
      outfile: program,
      bundle: true,
      platform: 'node',
      packages: 'external',
      logLevel: 'error',
    });
    const output = join(this.directory, sha256(words).slice(0, 8));
    await must(process.execPath, [program], { ...environment, CDKTF_OUTDIR: output });
    return new Deployment(words, join(output, 'stacks/mirror'), environment);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
