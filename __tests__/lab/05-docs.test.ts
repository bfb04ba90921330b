/** Every command in the documentation is run, as it stands, against the lab. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, asItIs, lab, labEnvironment, onMirror, run, withDeployment, codeBlocks } from './support';

jest.setTimeout(300_000);

const PAGES = [
  'README.md',
  'lab/README.md',
  ...['docs', 'docs/how-to', 'docs/reference'].flatMap((d) => readdirSync(join(ROOT, d)).map((f) => `${d}/${f}`)),
].filter((f) => f.endsWith('.md'));

/** Run elsewhere, with the reason. */
const ELSEWHERE: Record<string, string> = {
  'scripts/quickstart': 'run by 01-quickstart.test.ts, from nothing and again',
  'scripts/test': 'is what runs this',
};

/** Pages whose commands need packages to be there, or another host: run by the test that has them. */
const PAGES_ELSEWHERE: Record<string, string> = {
  'docs/how-to/promote-packages.md': '27-promotion.test.ts',
  'docs/how-to/hold-back-a-package.md': '27-promotion.test.ts',
  'docs/how-to/publish-modified-packages.md': '34-modified-packages.test.ts',
  'docs/how-to/build-from-the-mirror.md': '31-developer.test.ts',
  'docs/how-to/release-a-build.md': '36-build-releases.test.ts',
  'docs/how-to/look-after-builds.md': '32-builds.test.ts',
  'docs/how-to/rebuild-only-on-change.md': 'client/needs/docs.test.ts, on a mirror of its own',
  'docs/how-to/automate-builds.md': '35-build-pipeline.test.ts',
  'docs/how-to/download-from-the-mirror.md': 'client/docs.test.ts, on a mirror of its own',
};

const blocks = PAGES.filter((page) => PAGES_ELSEWHERE[page] === undefined).flatMap((page) =>
  codeBlocks(page, 'sh').map((text) => [page, text] as const),
);

let keyRing: string;
beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('systemctl start mirror-sync-new.service');
  keyRing = mkdtempSync(join(tmpdir(), 'mirror-docs-'));
});
afterAll(() => {
  rmSync(keyRing, { recursive: true, force: true });
  rmSync(join(ROOT, 'signing-key.asc'), { force: true });
});

test('there are commands to run', () => {
  expect(blocks.length).toBeGreaterThan(5);
});

test.each(blocks.filter(([, text]) => ELSEWHERE[text] === undefined))('%s: %s', (_page, text) => {
  // Nobody answers the prompt here, and providers that were built cannot be locked by the registry.
  const script = text
    .replaceAll('npx cdktf deploy', 'npx cdktf deploy --auto-approve --skip-provider-lock')
    .replaceAll('--skip-provider-lock --skip-provider-lock', '--skip-provider-lock');
  run('rm', ['-f', 'cdktf.out/stacks/mirror/.terraform/terraform.tfstate']);
  const result = run('bash', ['-euo', 'pipefail', '-c', script], { env: { ...process.env, ...labEnvironment(), GNUPGHOME: keyRing } });
  expect(`${result.status} ${result.status === 0 ? '' : result.text.slice(-1500)}`.trim()).toBe('0');
});
