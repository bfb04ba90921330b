import { SUBJECTS } from '../rows';
import { type Engine, makeEngine } from './engine';
import { writeResult } from './page';
import type { Row } from './row';
import { Stage } from './stage';

/** Whether a row passes with the whole program, and fails without its guard. */
export interface Proof {
  readonly subject: string;
  readonly row: string;
  readonly attack: string | undefined;
  readonly ends: string;
  readonly file: string;
  readonly code: string;
  readonly without: string;
  /** Empty when it passes with the guard. */
  readonly withGuard: readonly string[];
  /** The first complaint without it; undefined when nobody noticed. */
  readonly withoutGuard: string | undefined;
}

export async function prove(stage: Stage, subject: string, row: Row): Promise<Proof> {
  const { complaints } = await stage.bringAbout(row);
  let engine: Engine | undefined;
  let withoutGuard: string | undefined;
  try {
    engine = await makeEngine(row.guard);
    [withoutGuard] = (await stage.bringAbout(row, engine)).complaints;
  } finally {
    engine?.remove();
  }
  const { file, code, without } = row.guard;
  return {
    subject,
    row: row.name,
    attack: row.attack,
    ends: row.ends ?? 'refused',
    file,
    code,
    without,
    withGuard: complaints.map((text) => firstLine(text)),
    withoutGuard: withoutGuard === undefined ? undefined : firstLine(withoutGuard),
  };
}

/** Removes every guard, one at a time, and tells whether its row goes red. Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const words = argv.filter((word) => !word.startsWith('--'));
  const whole = await makeEngine();
  const stage = await Stage.open(whole);
  const proofs: Proof[] = [];
  const started = Date.now();
  try {
    for (const [subject, rows] of Object.entries(SUBJECTS)) {
      for (const row of rows.filter(({ name }) => words.length === 0 || words.some((word) => `${subject}: ${name}`.includes(word)))) {
        const proof = await prove(stage, subject, row);
        proofs.push(proof);
        const verdict = failed(proof) ? 'FAIL' : 'ok  ';
        const why =
          proof.withGuard.length > 0
            ? `with its guard: ${proof.withGuard.join('; ')}`
            : (proof.withoutGuard ?? 'stays green without its guard');
        process.stdout.write(`${verdict} ${subject}: ${row.name}\n       ${row.guard.file}: ${why.slice(0, 200)}\n`);
      }
    }
  } finally {
    await stage.close();
    whole.remove();
  }
  const bad = proofs.filter(failed).length;
  const guards = new Set(proofs.map(({ file, code, without }) => `${file}\n${code}\n${without}`)).size;
  const seconds = Math.round((Date.now() - started) / 1000);
  process.stdout.write(
    `${proofs.length} hostile upstreams, ${guards} guards removed one at a time, in ${seconds} s; ${bad === 0 ? 'each turns its row red' : `${bad} failed`}\n`,
  );
  if (argv.includes('--write')) writeResult(proofs);
  return bad === 0 ? 0 : 1;
}

export function failed({ withGuard, withoutGuard }: Proof): boolean {
  return withGuard.length > 0 || withoutGuard === undefined;
}

/** Without what changes from run to run. */
function firstLine(text: string): string {
  return (text.split('\n')[0] as string)
    .replace(/127\.0\.0\.(\d+):\d+/g, '127.0.0.$1')
    .replace(/\/\S*\/hostile-\S*?\/(x|storage|ground)/g, '/$1')
    .replace(/[0-9a-f]{40,}/g, '…')
    .replace(/took \d+ ms/, 'took too long')
    .slice(0, 300);
}
