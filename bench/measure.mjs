// Repeats, medians, results.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a program and returns its standard output; a failure shows the end of what it printed. */
export function run(command, args, { input, env = {}, cwd = root, allowFailure = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    let out = '';
    let all = '';
    child.stdout.on('data', (d) => ((out += d), (all += d)));
    child.stderr.on('data', (d) => (all += d));
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0 || allowFailure) return resolve(out);
      const shown = args.join(' ').slice(0, 300);
      reject(new Error(`${command} ${shown} ended with ${code}:\n${all.slice(-4000)}`));
    });
  });
}

export async function seconds(action) {
  const start = process.hrtime.bigint();
  await action();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Share of the processors that was busy during one second. */
async function busyShare() {
  const read = () => readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1).map(Number);
  const before = read();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const delta = read().map((value, i) => value - before[i]);
  return 1 - (delta[3] + delta[4]) / delta.reduce((a, b) => a + b);
}

/** Seconds to wait for a quiet machine before a measurement; `--no-wait` makes it one look. */
export const patience = { seconds: 20 };

/** Waits until nobody else works on this machine. False: it never became quiet, and what is measured next is too long. */
async function quiet() {
  for (let i = 0; i < patience.seconds; i++) if ((await busyShare()) < 0.2) return true;
  return false;
}

/**
 * Measures an action several times: `runs`, but no further run begins once `budget` seconds were spent.
 * `before` prepares each run and is not measured.
 */
export async function measured(name, { runs = 3, budget = 60, before = async () => {}, action }) {
  const times = [];
  let disturbed = 0;
  while (times.length < runs && (times.length === 0 || times.reduce((a, b) => a + b) < budget)) {
    await before(times.length);
    if (!(await quiet())) disturbed++;
    times.push(await seconds(() => action(times.length)));
  }
  const value = median(times);
  process.stderr.write(
    `  ${name.padEnd(70)} ${value.toFixed(2).padStart(8)} s  (${times.map((t) => t.toFixed(2)).join(', ')})${disturbed ? ` disturbed: ${disturbed}` : ''}\n`,
  );
  return { value, runs: times, disturbed };
}

/**
 * Measures several contenders in turns, so that a change of the machine's load meets all of them. Of each: `name`, `before(run)`, which is not
 * measured, `action(run)`, which may return what counts instead of its seconds, and `runs` where it has fewer than the others.
 */
export async function interleaved(what, runs, contenders) {
  const found = contenders.map(() => ({ runs: [], disturbed: 0 }));
  for (let i = 0; i < runs; i++) {
    for (const [at, contender] of contenders.entries()) {
      if (i >= (contender.runs ?? runs)) continue;
      await contender.before?.(i);
      if (!(await quiet())) found[at].disturbed++;
      let value;
      const time = await seconds(async () => (value = await contender.action(i)));
      found[at].runs.push(value ?? time);
    }
  }
  for (const [at, one] of found.entries()) {
    one.value = median(one.runs);
    const shown = one.runs.map((value) => value.toFixed(2)).join(', ');
    process.stderr.write(
      `  ${`${what}: ${contenders[at].name}`.padEnd(70)} ${one.value.toFixed(2).padStart(8)}  (${shown})${one.disturbed ? ` disturbed: ${one.disturbed}` : ''}\n`,
    );
  }
  return found;
}

/**
 * What a benchmark found: rows of { case, ours, peer, peerName, ratio, unit, runs }, and what may be aimed at. A row replaces the one that
 * an earlier run left for the same case and peer; ours and the peer's are always of one run.
 */
export class Results {
  constructor(name, directory = join(root, 'bench', 'results')) {
    this.file = join(directory, `${name}.json`);
    this.rows = existsSync(this.file) ? JSON.parse(readFileSync(this.file, 'utf8')) : [];
  }

  /**
   * `aim`: what the issue asks for, and whether it is met, as `{ text, met(row) }`. `more` is kept in the row: `unit`, where it is not seconds,
   * and `size`, the number of packages, for plots.
   */
  add(what, ours, peer, peerName, aim, more = {}) {
    const row = {
      case: what,
      ours: round(ours.value),
      peer: peer ? round(peer.value) : null,
      peerName: peer ? peerName : null,
      ratio: peer ? round(peer.value / ours.value) : null,
      unit: 's',
      ...more,
      runs: { ours: ours.runs.map(round), ...(peer ? { peer: peer.runs.map(round) } : {}) },
      // Runs of either side during which others kept this machine busy.
      disturbed: ours.disturbed + (peer ? peer.disturbed : 0),
      ...(aim ? { aim: aim.text } : {}),
    };
    if (aim) row.met = aim.met(row);
    row.measured = new Date().toISOString().slice(0, 10);
    this.rows = [...this.rows.filter((r) => r.case !== row.case || r.peerName !== row.peerName), row];
    mkdirSync(dirname(this.file), { recursive: true });
    writeFileSync(this.file, `${JSON.stringify(this.rows, null, 2)}\n`);
  }
}

const round = (value) => Number(value.toPrecision(4));
