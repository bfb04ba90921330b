// Writes docs/reference/commands.md from the programs' own help, and docs/reference/mos-repositories.md from the code that renders and judges
// repositories; --check only compares. Run after: npm run build
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { buildSync } from 'esbuild';
import ts from 'typescript';

const programs = [
  [
    'mirrorctl',
    'dist/programs/mirrorctl.cjs',
    [
      'sync',
      'status',
      'explain',
      'scrub',
      'changes',
      'import',
      'prepare',
      'promote',
      'ga',
      'holdback',
      'uploads',
      'legacy',
      'digests',
      'lint',
    ],
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
  ['download-mirror', 'dist/download-mirror.cjs', [], "On a developer's machine: brings what lists ask for, verified."],
  ['needs-build', 'dist/needs-build.cjs', ['digest', 'check', 'record'], 'On a build machine: which packages must be rebuilt, and why.'],
  ['npm run check-requests --', 'dist/check-requests.cjs', [], "On the developer's machine: whether what lists ask for can be met."],
  [
    'scripts/import-yum-repos',
    'dist/import-yum-repos.cjs',
    [],
    "On the operator's machine: the TypeScript that declares files of yum.repos.d, and lists.",
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

/** What `mirrorctl publish` refuses, by the calls that say so in its source; what is known only then is an ellipsis. */
const publishing = ['publish-rules', 'offered', 'offer-signatures', 'publish']
  .flatMap((name) => refusals(`content/${name}.ts`))
  .filter((rule, index, all) => all.findIndex((other) => JSON.stringify(other) === JSON.stringify(rule)) === index)
  .sort((a, b) => (a.code < b.code ? -1 : 1));

function refusals(file) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const constants = new Map();
  const calls = [];
  const visit = (node) => {
    if (ts.isVariableDeclaration(node) && node.initializer !== undefined) constants.set(node.name.getText(), node.initializer);
    const isRefusal = ts.isCallExpression(node) && /^(invalid|untrusted)$/.test(node.expression.getText());
    if (isRefusal) calls.push(node.arguments);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return calls.flatMap((parts) => {
    const [codes, messages, remedies] = parts.map((part) => alternatives(part, constants).map((text) => text.replaceAll('……', '…')));
    const either = (texts, index) => texts[index] ?? texts[0];
    return codes.map((code, index) => ({ code, message: either(messages, index), remedy: either(remedies, index) }));
  });
}

/** The texts that an expression may be: two where a condition decides. */
function alternatives(node, constants) {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isConditionalExpression(node)) return [node.whenTrue, node.whenFalse].flatMap((one) => alternatives(one, constants));
  const known = ts.isIdentifier(node) ? constants.get(node.text) : undefined;
  if (known !== undefined && (ts.isStringLiteralLike(known) || ts.isTemplateExpression(known))) return alternatives(known, constants);
  if (!ts.isTemplateExpression(node)) return ['…'];
  return node.templateSpans.reduce(
    (texts, { expression, literal }) => {
      const inserted = alternatives(expression, constants);
      const count = Math.max(texts.length, inserted.length);
      return Array.from({ length: count }, (_, i) => `${texts[i] ?? texts[0]}${inserted[i] ?? inserted[0]}${literal.text}`);
    },
    [node.head.text],
  );
}

/** The text of a module of TypeScript. */
function mosRepositories() {
  const options = { entryPoints: ['scripts/mos-reference.ts'], bundle: true, write: false, platform: 'node', format: 'cjs' };
  const [{ text: source }] = buildSync(options).outputFiles;
  const module = { exports: {} };
  new Function('module', 'exports', 'require', source)(module, module.exports, createRequire(import.meta.url));
  return `${module.exports.mosReference(publishing)}\n`;
}

const pages = { 'docs/reference/commands.md': text, 'docs/reference/mos-repositories.md': mosRepositories() };
for (const [file, written] of Object.entries(pages)) {
  if (process.argv[2] !== '--check') writeFileSync(file, written);
  else if (!existsSync(file) || readFileSync(file, 'utf8') !== written) {
    console.error(`${file} is not what the programs say. Run: npm run build && node scripts/reference.mjs`);
    process.exitCode = 1;
  }
}
