/** The programs as Terraform runs them: bundled, in the directory of a stack. What needs a real server is in the lab tests. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { sha256 } from '../../desired-state/canonical';
import { programsDigestBy, SERVER_PROGRAMS } from '../../desired-state/programs';
import { makeKey } from '../transport/ssh-server';

const root = join(__dirname, '..', '..');
const template = mkdtempSync(join(tmpdir(), 'mirror-programs-'));
const key = join(template, 'id_ed25519');
let stack: string;
let environment: Record<string, string>;

const target = {
  address: '127.0.0.1',
  port: 9,
  user: 'root',
  hostKeys: [`SHA256:${'A'.repeat(43)}`],
  secrets: { 'signing-key': { environmentVariable: 'MIRROR_SIGNING_KEY' } },
};
const desiredState = {
  schemaVersion: 1,
  owner: 'app/mirror',
  storage: { root: '/srv/mirror', ownMount: false },
  probe: { serverName: 'mirror.example', port: 80 },
  packages: [],
  secrets: { 'signing-key': '1' },
  confirmSeconds: 60,
  waivers: { unpublish: [] },
  elements: [],
};

beforeAll(async () => {
  mkdirSync(join(template, 'mirror'));
  for (const name of ['apply', 'observe']) {
    await build({
      absWorkingDir: root,
      entryPoints: [`scripts/${name}.ts`],
      outfile: join(template, 'mirror', `${name}.cjs`),
      bundle: true,
      platform: 'node',
      target: 'node18',
      logLevel: 'error',
      external: ['cpu-features', '*.node'],
    });
  }
  writeFileSync(key, makeKey('ed25519').privateKey, { mode: 0o600 });
  // The server programs are only read and hashed here.
  for (const name of SERVER_PROGRAMS) writeFileSync(join(template, 'mirror', name), `// ${name}\n`);
}, 60_000);
afterAll(() => rmSync(template, { recursive: true }));

beforeEach(() => {
  stack = mkdtempSync(join(tmpdir(), 'mirror-stack-'));
  cpSync(template, stack, { recursive: true });
  write('target.json', target);
  write('desired-state.json', desiredState);
  const digest = (name: string): string => sha256(readFileSync(join(stack, 'mirror', name)));
  environment = {
    PATH: process.env.PATH ?? '',
    MIRROR_DESIRED_STATE_SHA256: digest('desired-state.json'),
    MIRROR_PROGRAMS_SHA256: programsDigestBy(digest),
    MIRROR_SIGNING_KEY: 'key',
    MIRROR_SSH_KEY: key,
  };
});
afterEach(() => rmSync(stack, { recursive: true }));

function write(name: string, content: unknown): void {
  writeFileSync(join(stack, 'mirror', name), typeof content === 'string' ? content : JSON.stringify(content));
}

function run(name: 'apply' | 'observe'): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [`mirror/${name}.cjs`], { cwd: stack, env: environment, encoding: 'utf8' });
}

describe('apply refuses, without a stack trace,', () => {
  test.each<[string, () => void, number, string]>([
    [
      'a desired state that was not planned',
      () => write('desired-state.json', { ...desiredState, owner: 'x' }),
      6,
      'stale plan: the desired state changed',
    ],
    ['server programs that were not planned', () => write('mirrorctl.cjs', '// newer\n'), 6, 'stale plan: the server programs changed'],
    ['to run without a plan', () => delete environment.MIRROR_DESIRED_STATE_SHA256, 2, 'MIRROR_DESIRED_STATE_SHA256 is not set'],
    [
      'a missing secret, before it connects',
      () => delete environment.MIRROR_SIGNING_KEY,
      7,
      'signing-key (MIRROR_SIGNING_KEY or MIRROR_SIGNING_KEY_FILE)',
    ],
    ['a directory that is no stack', () => rmSync(join(stack, 'mirror', 'target.json')), 2, 'mirror/target.json cannot be read (ENOENT)'],
    ['a target that is not JSON', () => write('target.json', '{'), 3, 'mirror/target.json is not valid'],
    ['a port that is none', () => write('target.json', { ...target, port: 70_000 }), 3, 'port: Number must be less than or equal to 65535'],
    [
      'a host key that is no fingerprint',
      () => write('target.json', { ...target, hostKeys: ['aa:bb'] }),
      3,
      'hostKeys.0: must look like SHA256:',
    ],
    ['a user that is an option', () => write('target.json', { ...target, user: '-oProxyCommand=x' }), 3, 'user: Invalid'],
    ['to guess a key', () => delete environment.MIRROR_SSH_KEY, 7, 'there is no SSH key to log in with'],
    ['a key that cannot be read', () => (environment.MIRROR_SSH_KEY = '/nonexistent'), 7, '/nonexistent, which cannot be read'],
    ['an unreachable server', () => undefined, 5, '127.0.0.1 port 9 refuses connections'],
  ])('%s', (_, change, status, message) => {
    change();
    const ended = run('apply');
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toMatch(/^\s+at /m);
    expect(ended).toMatchObject({ status, stdout: '' });
  });
});

describe('observe', () => {
  test('says how to plan without the server when that is out of reach', () => {
    const ended = run('observe');
    expect(ended).toMatchObject({ status: 5, stdout: '' });
    expect(ended.stderr).toContain('127.0.0.1 port 9 refuses connections');
    expect(ended.stderr).toContain('MIRROR_OBSERVE=0');
  });

  test('needs no secret and no plan', () => {
    for (const name of ['MIRROR_SIGNING_KEY', 'MIRROR_DESIRED_STATE_SHA256', 'MIRROR_PROGRAMS_SHA256']) delete environment[name];
    expect(run('observe').status).toBe(5);
  });

  test('does not offer to look away when something is wrong with trust', () => {
    delete environment.MIRROR_SSH_KEY;
    const ended = run('observe');
    expect(ended.status).toBe(7);
    expect(ended.stderr).not.toContain('MIRROR_OBSERVE=0');
  });
});
