/** Moving to cdktn: the same state, the same addresses, nothing to do. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CDKTN, synthesize } from '../support/cdktn';
import { asItIs, deployEnvironment, generation, lab, must, run, withDeployment } from './support';

jest.setTimeout(300_000);

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

test(`what cdktf deployed, cdktn ${CDKTN} plans and applies as no change`, () => {
  const before = generation();
  const directory = mkdtempSync(join(tmpdir(), 'mirror-cdktn-deploy-'));
  try {
    const env = deployEnvironment();
    must(process.execPath, ['scripts/build.mjs', '--only', 'main,programs']);
    synthesize('cdktn', directory, env);
    const terraform = env['TERRAFORM_BINARY_NAME'] ?? 'terraform';
    const stack = { cwd: join(directory, 'stacks', 'mirror'), env };
    must(terraform, ['init', '-input=false', '-no-color'], stack);
    // 0: no change, 1: an error, 2: changes.
    const planned = run(terraform, ['plan', '-input=false', '-no-color', '-detailed-exitcode'], stack);
    expect(`${planned.status} ${planned.status === 0 ? '' : planned.text.slice(-2000)}`.trim()).toBe('0');
    expect(must(terraform, ['apply', '-input=false', '-no-color', '-auto-approve'], stack)).toContain('0 added, 0 changed, 0 destroyed');
  } finally {
    rmSync(directory, { recursive: true });
  }
  expect(generation()).toBe(before);
});
