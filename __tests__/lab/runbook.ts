/**
 * Runbooks as tests use them: what a page below docs/operations says is what is run.
 *
 * A page has three kinds of fenced blocks. `text`: a message that the operator sees, where `…` stands for any text. `ts`: what main.ts declares
 * then. `sh`, beginning with the comment `# on the server` or `# on your machine`: commands, run there as they stand.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deployEnvironment, must, ROOT, run, tryOnMirror, type Finished, codeBlocks } from './support';

export interface Step {
  readonly where: 'server' | 'machine';
  readonly script: string;
}

/** Another text for a part of a script, where the lab has other names than the example of the page. */
export type Replacements = Readonly<Record<string, string>>;

export class Runbook {
  readonly messages: readonly RegExp[];
  readonly declarations: readonly string[];
  readonly steps: readonly Step[];

  /** @param slug `docs/operations/<slug>.md` */
  constructor(readonly slug: string) {
    const of = (kind: string): readonly string[] => codeBlocks(`docs/operations/${slug}.md`, kind);
    this.messages = of('text').map(asPattern);
    this.declarations = of('ts');
    this.steps = of('sh').map((script) => {
      const place = /^# on (the server|your machine)/.exec(script)?.[1];
      if (place === undefined) throw new Error(`${slug}: commands that do not say where they are run:\n${script}`);
      return { where: place === 'the server' ? 'server' : 'machine', script };
    });
  }

  /** Runs the commands number `index`; fails the test where they end with another exit code. */
  follow(index: number, options: { checkout?: Checkout; replace?: Replacements; status?: number } = {}): Finished {
    const step = this.steps[index];
    if (step === undefined) throw new Error(`${this.slug} has ${this.steps.length} blocks of commands, and no number ${index}`);
    let { script } = step;
    for (const [text, other] of Object.entries(options.replace ?? {})) {
      if (!script.includes(text)) throw new Error(`${this.slug}: there is no ${text} in:\n${script}`);
      script = script.replaceAll(text, other);
    }
    const result = step.where === 'server' ? tryOnMirror(`set -eu\n${script}`) : (options.checkout as Checkout).run(script);
    const { status = 0 } = options;
    if (result.status !== status) throw new Error(`${this.slug}:\n${script}\nexited ${result.status}:\n${result.text.slice(-4000)}`);
    return result;
  }
}

/** A message of a page as a pattern: `…` is any text on one line, and lines may be indented otherwise. */
function asPattern(message: string): RegExp {
  const lines = message.split('\n').map((line) =>
    line
      .trim()
      .split('…')
      .map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
      .join('.*'),
  );
  return new RegExp(lines.join(String.raw`\n\s*`));
}

/** The operator's checkout, with a main.ts of its own. */
export class Checkout {
  // On the file system of the real one: its packages are hard-linked, since programs are the same bytes only with packages beside them.
  private readonly directory = mkdtempSync(join(ROOT, 'dist', 'checkout-'));

  /** @param over environment that differs from the lab's */
  constructor(
    edit: (main: string) => string = (main) => main,
    private readonly over: NodeJS.ProcessEnv = {},
  ) {
    const top = new Set(
      must('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
        .split('\0')
        .map((path) => path.split('/')[0] as string),
    );
    for (const name of top) if (name !== '') cpSync(join(ROOT, name), join(this.directory, name), { recursive: true });
    must('cp', ['-al', join(ROOT, 'node_modules'), this.directory]);
    this.edit(edit);
  }

  /** Changes main.ts, as it is in the repository, by `edit`. */
  edit(edit: (main: string) => string): void {
    writeFileSync(join(this.directory, 'main.ts'), edit(readFileSync(join(ROOT, 'main.ts'), 'utf8')));
  }

  run(script: string): Finished {
    // Nobody answers the prompt here, and providers that were built cannot be locked by the registry.
    const unattended = script.replaceAll('npx cdktf deploy', 'npx cdktf deploy --auto-approve --skip-provider-lock');
    return run('bash', ['-euo', 'pipefail', '-c', unattended], { cwd: this.directory, env: deployEnvironment(this.over) });
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
