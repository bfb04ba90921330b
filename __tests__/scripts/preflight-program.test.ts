/** `scripts/preflight` as people run it: a copy of the project whose main.ts declares upstreams on 127.0.0.1. */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { buildPackage, dropKey, makeKey, signPackage, type TestKey } from '../content/support/keys';
import { certificates, makeRepository, Web } from './support/web';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'preflight-program-'));
const copy = join(work, 'checkout');
let key: TestKey;
let web: Web;
let tls: { good: Web; expired: Web; unknown: Web };
let authority: string;

beforeAll(async () => {
  for (const part of ['constructs', 'desired-state', 'starlingx', 'host-agent', 'content', 'transport', 'scripts', 'downloads', 'rpm-metadata', 'signatures', 'lab', 'keys', 'package.json', 'tsconfig.json'])
    cpSync(part, join(copy, part), { recursive: true }); // prettier-ignore
  symlinkSync(join(process.cwd(), 'node_modules'), join(copy, 'node_modules'));
  await build({
    absWorkingDir: copy, entryPoints: ['scripts/preflight.ts'], outfile: join(copy, 'dist/preflight.cjs'), bundle: true, platform: 'node', target: 'node20',
    logLevel: 'error', external: ['cpu-features', '*.node'],
  }); // prettier-ignore
  key = makeKey(join(work, 'key'), 'upstream');
  writeFileSync(join(copy, 'keys', 'upstream'), key.publicKey);
  const root = join(work, 'www');
  const path = buildPackage(work, 'a', '1');
  signPackage(key, path);
  for (const name of ['good', 'other', 'third']) makeRepository(join(root, name), [path]);
  makeRepository(join(root, 'bare'), [buildPackage(work, 'unsigned', '1')]);
  web = await new Web(root).start();
  const own = certificates(join(work, 'tls'), 'own');
  authority = own.ca;
  tls = {
    good: await new Web(root).start(own.good),
    expired: await new Web(root).start(own.expired),
    unknown: await new Web(root).start(certificates(join(work, 'tls'), 'other').good),
  };
});
afterAll(async () => {
  for (const server of [web, ...Object.values(tls)]) await server.stop();
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  web.special.clear();
  web.most = 0;
  web.delay = 0;
});

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param repositories id → address */
async function run(
  repositories: Record<string, string>,
  argv: readonly string[] = [],
  environment: Record<string, string> = {},
): Promise<Ran> {
  writeFileSync(
    join(copy, 'main.ts'),
    `import { App } from 'cdktf';
import { MirrorServer, MirrorStack, NginxVhost, PublicKey, RpmRepository, Secret, Trust, View } from './constructs';
const key = PublicKey.from('keys');
const app = new App();
const server = new MirrorServer(new MirrorStack(app, 'mirror'), 'server', { address: 'mirror.invalid', hostKey: 'SHA256:${'A'.repeat(43)}', signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY') });
new NginxVhost(server, 'vhost', { serverName: 'mirror.invalid' });
for (const [id, url] of ${JSON.stringify(Object.entries(repositories))} as [string, string][]) {
  new RpmRepository(server, id, {
    publishedAs: \`https://example.org/\${id}/\`,
    fetchFrom: [url],
    trust: Trust.signedPackages([key('upstream')]),
    view: View.VERBATIM,
  });
}
app.synth();
`,
  );
  const child = spawn(process.execPath, ['dist/preflight.cjs', ...argv], { cwd: copy, env: { ...process.env, ...environment } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  expect(stderr).not.toMatch(/\n\s+at /);
  return { status, stdout, stderr };
}

test('all is well: a report for people, and nothing is written but dist/ and cdktf.out/', async () => {
  const before = files(copy);
  const ran = await run({ good: `${web.url}good/` });
  expect(ran).toMatchObject({ status: 0, stderr: expect.stringMatching(/^(looked at .*\n)*$/) });
  expect(ran.stdout).toContain(`good: fits\n  address      ${web.url}good/  200 in `);
  expect(ran.stdout).toContain(`packages: by ${key.fingerprint} (sha`);
  expect(ran.stdout).toMatch(/What the server needs.*\n {2}packages .*\n/);
  expect(ran.stdout).toMatch(/1 of 1 repository fit\. Nothing stands in the way\.\n$/);
  expect(files(copy)).toEqual({ ...before, 'main.ts': files(copy)['main.ts'] });
});

test('the line of main.ts to change, in the report', async () => {
  const { status, stdout } = await run({ bare: `${web.url}bare/`, good: `${web.url}good/` });
  expect(status).toBe(6);
  expect(stdout).toContain("change       main.ts:11: trust: Trust.signedPackages([key('upstream')]),\n");
  expect(stdout).toContain(
    "to           trust: Trust.digestsOnly('<why nothing else can be verified>'),\n               That line declares good, too",
  );
  expect(stdout).toContain('DOES NOT FIT declared signedPackages, but Packages/unsigned-1-1.noarch.rpm: it is not signed (main.ts:11)');
  expect(stdout).toMatch(/1 of 2 repositories fit; 1 does not fit\. Exit code 6\.\n$/);
});

test('certificates: trusted, expired, of an unknown authority', async () => {
  const addresses = { a: `${tls.good.url}good/`, b: `${tls.expired.url}good/`, c: `${tls.unknown.url}good/` };
  const { status, stdout } = await run(addresses, ['--json'], { NODE_EXTRA_CA_CERTS: authority });
  const report = JSON.parse(stdout) as {
    exitCode: number;
    servers: { repositories: { result: string; addresses: { cause?: string; problem?: object }[] }[] }[];
  };
  expect(status).toBe(6);
  expect(report.exitCode).toBe(6);
  expect(report.servers[0]?.repositories).toMatchObject([
    { id: 'a', result: 'fits' },
    { id: 'b', addresses: [{ cause: 'tls', problem: { code: 'TLS_UNTRUSTED', message: expect.stringContaining('expired') } }] },
    { id: 'c', addresses: [{ cause: 'tls', problem: { code: 'TLS_UNTRUSTED' } }] },
  ]);
});

test('--only: these alone, or what there is', async () => {
  const all = { good: `${web.url}good/`, gone: `${web.url}gone/` };
  expect((await run(all)).status).toBe(5);
  const one = await run(all, ['--only', 'good']);
  expect(one.status).toBe(0);
  expect(one.stdout).not.toContain('gone');
  expect((await run(all, ['--only', 'good', '--only', 'gone'])).status).toBe(5);
  expect(await run(all, ['--only', 'nope'])).toEqual({
    status: 2,
    stdout: '',
    stderr: 'no copied repository is declared with the id "nope"\n  Declared: gone, good.\n',
  });
});

test('--free', async () => {
  const all = { good: `${web.url}good/` };
  const fits = await run(all, ['--free', '500G']);
  expect(fits.status).toBe(0);
  expect(fits.stdout).toContain('fits into 500 GiB');
  const short = await run(all, ['--free', '10K']);
  expect(short.status).toBe(6);
  expect(short.stdout).toMatch(/DOES NOT FIT into 10 KiB: \d+ KiB are missing[^]*the disk is too small\. Exit code 6\./);
});

test('--timeout and --concurrency', async () => {
  web.special.set('mute/', () => undefined);
  const started = Date.now();
  const { status, stdout } = await run({ mute: `${web.url}mute/` }, ['--timeout', '1']);
  expect(status).toBe(5);
  expect(stdout).toContain('timeout in ');
  expect(Date.now() - started).toBeLessThan(10_000);
  web.delay = 100;
  const many = { good: `${web.url}good/`, other: `${web.url}other/`, third: `${web.url}third/` };
  await run(many, ['--concurrency', '1']);
  expect(web.most).toBe(1);
  await run(many, ['--concurrency', '3']);
  expect(web.most).toBeGreaterThan(1);
});

test.each<[string, readonly string[], string]>([
  ['a size', ['--free', 'much'], '--free "much" is no size'],
  ['a time', ['--timeout', '0'], '--timeout "0" is no whole number from 1 to 3600'],
  ['a number', ['--concurrency', 'x'], '--concurrency "x" is no whole number'],
  ['an option', ['--wrong'], "unknown option '--wrong'"],
])('%s that is wrong', async (_name, argv, said) => {
  const ran = await run({ good: `${web.url}good/` }, argv);
  expect(ran.stderr).toContain(said);
  expect(ran.status).toBe(2);
  expect(web.most).toBe(0);
});

test('a mistake in main.ts', async () => {
  const ran = await run({ Bad: `${web.url}good/` });
  expect(ran).toMatchObject({ status: 3, stdout: '' });
  expect(ran.stderr).toMatch(/^main\.ts cannot be synthesized:\nmain\.ts:8:/);
});

test('a program that is missing', async () => {
  const bin = join(work, 'bin');
  rmSync(bin, { recursive: true, force: true });
  cpSync('/usr/bin/gpg', join(bin, 'gpg'), { recursive: true });
  const ran = await run({ good: `${web.url}good/` }, [], { PATH: bin });
  expect(ran).toMatchObject({ status: 7, stdout: '' });
  expect(ran.stderr).toBe('the program rpmkeys is not installed\n  apt-get install rpm\n');
});

test('interrupted, it leaves nothing behind', async () => {
  const left = (): readonly string[] => readdirSync(tmpdir()).filter((name) => /^preflight-[A-Za-z0-9]{6}$/.test(name));
  const before = left();
  await run({ mute: `${web.url}gone/` });
  const child = spawn(process.execPath, ['dist/preflight.cjs', '--json'], { cwd: copy, stdio: 'ignore' });
  web.special.set('gone/', () => void child.kill('SIGINT'));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  expect(status).toBe(130);
  expect(left()).toEqual(before);
});

/** Size and time of every file of the copy but what synthesis makes. */
function files(directory: string): Record<string, string> {
  const all = readdirSync(directory, { recursive: true }) as string[];
  const own = all.filter((path) => !/^(node_modules|dist|cdktf\.out)(\/|$)/.test(path) && statSync(join(directory, path)).isFile());
  return Object.fromEntries(
    own.map((path) => [path, `${statSync(join(directory, path)).mtimeMs} ${readFileSync(join(directory, path)).length}`]),
  );
}
