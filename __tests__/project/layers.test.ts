/** The linter's rules about who may import whom: each violation is found, or the rule guards nothing. */
import { execFileSync } from 'node:child_process';

jest.setTimeout(120_000);

/** eslint's configuration is an ES module, which jest does not load: a Node process lints all cases at once. */
const program = `
  const { ESLint } = require('eslint');
  (async () => {
    const eslint = new ESLint();
    const results = [];
    for (const [file, code] of JSON.parse(process.argv[1])) {
      const [result] = await eslint.lintText(code, { filePath: file });
      results.push(result.messages.map((m) => m.ruleId ?? m.message));
    }
    process.stdout.write(JSON.stringify(results));
  })();`;

const VIOLATIONS = [
  [
    'host-agent/lock.ts',
    "import { lockRepository } from '../content/lock';\nexport const x = lockRepository;\n",
    'boundaries/element-types',
  ],
  ['constructs/trust.ts', "import { connect } from '../transport/connection';\nexport const x = connect;\n", 'boundaries/element-types'],
  ['content/files.ts', "import { Customer } from '../constructs/customer';\nexport const x = Customer;\n", 'boundaries/element-types'],
  [
    'desired-state/canonical.ts',
    "import { readFileSync } from 'node:fs';\nexport const x = readFileSync;\n",
    '@typescript-eslint/no-restricted-imports',
  ],
  ['host-agent/lock.ts', "import { App } from 'cdktf';\nexport const x = App;\n", '@typescript-eslint/no-restricted-imports'],
  // The desired state is what the operator's machine and the server share: what looks at upstreams does not reach into a server's store.
  ['scripts/preflight.ts', "import { Store } from '../content/store';\nexport const x = Store;\n", 'boundaries/element-types'],
  ['content/files.ts', "import { Client } from 'ssh2';\nexport const x = Client;\n", '@typescript-eslint/no-restricted-imports'],
] as const;
const ALSO_ALLOWED = [
  'scripts/preflight.ts',
  "import { run } from '../signatures/run';\nimport { HttpClient } from '../downloads/http';\nexport const x = [run, HttpClient];\n",
] as const;
const ALLOWED = ['content/files.ts', "import { sha256 } from '../desired-state/canonical';\nexport const x = sha256('a');\n"] as const;

let found: string[][];
beforeAll(() => {
  found = JSON.parse(
    execFileSync(process.execPath, ['-e', program, JSON.stringify([...VIOLATIONS, ALLOWED, ALSO_ALLOWED])], { encoding: 'utf8' }),
  ) as string[][];
});

test.each(VIOLATIONS.map(([file, code, rule], index) => [file, code, rule, index] as const))(
  '%s may not: %s',
  (_file, _code, rule, index) => {
    expect(found[index]).toContain(rule);
  },
);

test.each([0, 1])('what is allowed stays allowed (%d)', (index) => {
  expect(found[VIOLATIONS.length + index]).not.toContain('boundaries/element-types');
  expect(found[VIOLATIONS.length + index]).not.toContain('@typescript-eslint/no-restricted-imports');
});
