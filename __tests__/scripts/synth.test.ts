/** A mistake in main.ts, as an operator sees it: the line, the value, what is allowed; no stack. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

jest.setTimeout(60_000);

let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'mirror-main-'));
  for (const folder of [
    'constructs',
    'desired-state',
    'starlingx',
    'host-agent',
    'content',
    'transport',
    'scripts',
    'downloads',
    'rpm-metadata',
    'signatures',
    'lab',
    'keys',
    'lists',
    'package.json',
    'tsconfig.json',
  ]) {
    cpSync(folder, join(copy, folder), { recursive: true });
  }
  symlinkSync(join(process.cwd(), 'node_modules'), join(copy, 'node_modules'));
});
afterAll(() => {
  rmSync(copy, { recursive: true });
});

function synth(edit: (main: string) => string, env: NodeJS.ProcessEnv = {}): { status: number | null; text: string } {
  writeFileSync(join(copy, 'main.ts'), edit(readFileSync('main.ts', 'utf8')));
  const result = spawnSync(process.execPath, ['scripts/synth.mjs'], { cwd: copy, encoding: 'utf8', env: { ...process.env, ...env } });
  return { status: result.status, text: `${result.stdout}${result.stderr}` };
}

test('nothing is said when all is well', () => {
  expect(synth((main) => main)).toEqual({ status: 0, text: '' });
});

test('a warning is said once, by us or by the cdktf CLI', () => {
  const server = { MIRROR_ADDRESS: '203.0.113.7' };
  expect(synth((main) => main, server)).toEqual({
    status: 0,
    text: expect.stringMatching(/^warning: mirror: the state of 203\.0\.113\.7 is a file.*\n$/),
  });
  expect(synth((main) => main, { ...server, CDKTF_CONTINUE_SYNTH_ON_ERROR_ANNOTATIONS: 'true' })).toEqual({ status: 0, text: '' });
  expect(synth((main) => main, { ...server, MIRROR_STATE: 'https://state.example.org/mirror' })).toEqual({ status: 0, text: '' });
});

test.each<[string, (main: string) => string, RegExp]>([
  [
    'a bad hour',
    (main) => main.replace('hour: 3 }', 'hour: 25 }'),
    /^main\.ts:\d+:\d+: SyncSchedule\.daily: hour 25: an hour is a whole number from 0 to 23 \(UTC\)/,
  ],
  ['no vhost', (main) => main.replace(/new NginxVhost.*\n/, ''), /the NginxVhost is declared before what it serves/],
  [
    'a missing key file',
    (main) => main.replace("key('RPM-GPG-KEY-Docker')", "key('RPM-GPG-KEY-Dokcer')"),
    /main\.ts:\d+:\d+: PublicKey\.fromFile: path "keys\/RPM-GPG-KEY-Dokcer"/,
  ],
  ['a port from the environment that is no number', (main) => main.replace("'22'", "'ssh'"), /main\.ts:\d+:\d+: mirror\/server: port NaN/],
  [
    'a misspelt prop',
    (main) => main.replace('schedule: Sync', 'schedul: Sync'),
    /^main\.ts:\d+:\d+: .*prop "schedul": .*Did you mean schedule\?/,
  ],
  [
    'one id for two constructs',
    (main) => main.replace('app.synth()', "new Customer(server, 'customer', { access: Access.public() });\napp.synth()"),
    /^main\.ts:\d+:1: There is already a Construct with name 'customer' in .*\n {2}Give each construct an id of its own: the second argument\./,
  ],
  [
    'a function that does not exist',
    (main) => main.replace('SyncSchedule.daily', 'SyncSchedule.dayly'),
    /^main\.ts:\d+:\d+: SyncSchedule\.dayly is not a function\n {2}npx tsc/,
  ],
  [
    'a password in the URL of the state',
    (main) => main.replace("'terraform.mirror.tfstate'", "'https://me:s3cret@state.example.org/mirror'"),
    /^main\.ts:\d+:\d+: State\.from: state "https:\/\/\*\*\*@state\.example\.org\/mirror": .*TF_HTTP_PASSWORD/,
  ],
  ['a name that does not exist', (main) => main.replace('trust: ceph', 'trust: cehp'), /^main\.ts:\d+:\d+: cehp is not defined\n/],
])('%s', (_name, edit, said) => {
  const { status, text } = synth(edit);
  expect(text).toMatch(said);
  expect(text).not.toMatch(/\n\s+at /);
  expect(status).toBe(3);
});

test('a defect of ours keeps its stack', () => {
  const file = join(copy, 'constructs', 'access.ts');
  const text = readFileSync(file, 'utf8');
  const broken = text.replace('return new Access({});', 'return (undefined as unknown as () => Access)();');
  expect(broken).not.toBe(text);
  writeFileSync(file, broken);
  const result = synth((main) => main);
  writeFileSync(file, text);
  expect(result.text).toMatch(/\n\s+at .*constructs\/access\.ts:\d+/);
  expect(result.status).toBe(1);
});

test('a typing mistake is shown by its line', () => {
  const { status, text } = synth((main) => main.replace('new App()', 'new App('));
  expect(text).toMatch(/main\.ts:\d+:\d+/);
  expect(status).toBe(3);
});
