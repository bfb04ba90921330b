// Writes the table between the two marks of docs/benchmarks.md from bench/results/*.json. Text outside the marks is kept.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './measure.mjs';

const page = join(root, 'docs', 'benchmarks.md');
const begin = '<!-- begin: written by `npm run bench -- table` -->';
const end = '<!-- end -->';

export function table() {
  const results = join(root, 'bench', 'results');
  const files = readdirSync(results)
    .filter((name) => name.endsWith('.json'))
    .sort();
  const text = files.map((file) => section(file.replace(/\.json$/, ''), JSON.parse(readFileSync(join(results, file), 'utf8')))).join('\n');
  const old = existsSync(page) ? readFileSync(page, 'utf8') : `# Benchmarks\n\n${begin}\n${end}\n`;
  const [from, to] = [old.indexOf(begin), old.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} lacks the lines ${begin} and ${end}: put them where the table belongs`);
  mkdirSync(dirname(page), { recursive: true });
  writeFileSync(page, `${old.slice(0, from)}${begin}\n\n${text}\n${old.slice(to)}`);
}

/** One benchmark as Markdown. Rows: { case, ours, peer, peerName, ratio, unit, runs, aim?, met? }. */
export function section(name, rows) {
  const lines = rows.map((row) => {
    const aim = row.aim === undefined ? '' : `${row.aim}: ${row.met ? 'yes' : '**no**'}`;
    const runs = row.runs.peer ? `${row.runs.ours.length} / ${row.runs.peer.length}` : `${row.runs.ours.length}`;
    return `| ${row.case} | ${number(row.ours)} ${row.unit} | ${row.peerName ?? ''} | ${row.peer === null ? '' : `${number(row.peer)} ${row.unit}`} | ${row.ratio === null ? '' : number(row.ratio)} | ${aim} | ${runs}${row.disturbed ? ` (${row.disturbed} disturbed)` : ''} |`;
  });
  return `### ${name}\n\n| Case | Ours | Peer | Peer's | Ratio | Aim | Runs |\n|---|---|---|---|---|---|---|\n${lines.join('\n')}\n`;
}

const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

if (process.argv[1] === fileURLToPath(import.meta.url)) table();
