// Writes docs/reference/commands.md from the programs' own help; --check only compares. Run after: npm run build
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = 'docs/reference/commands.md';
const programs = [
  [
    'mirrorctl',
    'dist/programs/mirrorctl.cjs',
    ['sync', 'status', 'scrub', 'changes', 'import', 'prepare', 'promote', 'ga', 'holdback', 'uploads', 'legacy', 'lint'],
    'On the server: content. Root runs it with the rights of the user `mirror`.',
  ],
  [
    'mirror-host',
    'dist/programs/mirror-host.cjs',
    ['bootstrap', 'activate', 'observe', 'status'],
    'On the server, as root: configuration. Deploys call it.',
  ],
  ['npm run plan --', 'dist/plan.cjs', [], "On the operator's machine: what a deploy would change."],
  [
    'scripts/preflight',
    'dist/preflight.cjs',
    [],
    "On the operator's machine: whether every upstream is as declared, and what the server would need.",
  ],
  [
    'npm run review --',
    'dist/review.cjs',
    ['plan', 'comment', 'apply'],
    'In the CI: plans for review, and the apply of what was reviewed.',
  ],
  [
    'scripts/lab',
    'dist/lab.cjs',
    ['up', 'down', 'status', 'ssh', 'dnf', 'url', 'env', 'reset', 'power', 'upstream'],
    'Three disposable hosts on one machine.',
  ],
  ['npm run campaign --', 'dist/campaign.cjs', ['deploy', 'table'], 'Faults over deploys, on a lab host that is sampled all the time.'],
];
const exitCodes = [...readFileSync('desired-state/errors.ts', 'utf8').matchAll(/(?:\/\*\* (.*?) \*\/\n\s+)?(\w+): (\d+),/g)]
  .map(([, text, name, code]) => `| ${code} | ${name} | ${text ?? 'done, or nothing to do'} |`)
  .join('\n');

const help = (file, ...command) =>
  execFileSync(process.execPath, [file, ...command, '--help'], { encoding: 'utf8', env: { ...process.env, COLUMNS: '100' } }).trimEnd();
const sections = programs.map(([name, file, commands, what]) => {
  const texts = [help(file), ...commands.map((c) => help(file, c))];
  return `## ${name}\n\n${what}\n\n${texts.map((t) => `\`\`\`text\n${t}\n\`\`\`\n`).join('\n')}`;
});
const text = `# Commands and exit codes\n\nWritten by \`node scripts/reference.mjs\` from the programs' own help.\n\n| Exit code | Name | Meaning |\n|---|---|---|\n${exitCodes}\n\n${sections.join('\n')}`;

if (process.argv[2] === '--check') {
  if (readFileSync(FILE, 'utf8') !== text) {
    console.error(`${FILE} is not what the programs say. Run: npm run build && node scripts/reference.mjs`);
    process.exitCode = 1;
  }
} else writeFileSync(FILE, text);
