import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { emptyMetadata } from '../../rpm-metadata/empty';
import { verifyDetached } from '../../signatures/detached';
import { MEMORY } from '../../signatures/gpg-home';
import { issuersOf } from '../../signatures/issuers';
import { buildKeyRing } from '../../signatures/pinned-keys';
import { run } from '../../signatures/run';
import { type KeySource, openSigner, type Signer } from '../../signatures/sign';
import { dropKey, makeKey, type TestKey } from '../content/support/keys';

jest.setTimeout(60_000);

const work = mkdtempSync(join(tmpdir(), 'sign-'));
let former: TestKey;
let current: TestKey;
let stranger: TestKey;
let caches = 0;

const source =
  (...keys: readonly TestKey[]): KeySource =>
  () =>
    Promise.resolve(keys.map(({ name, secretKey }) => ({ from: name, text: Buffer.from(secretKey) })));
const cacheFile = (): string => join(work, `cache-${++caches}.json`);
const homes = (): string[] => readdirSync(MEMORY).filter((name) => name.startsWith(`.mirror-gnupg-${process.pid}-`));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(work, name);
  writeFileSync(path, content);
  return path;
};
async function signed<T>(use: (signer: Signer) => Promise<T>, ...keys: readonly TestKey[]): Promise<T> {
  const signer = await openSigner(source(...keys), cacheFile());
  try {
    return await use(signer);
  } finally {
    await signer.close();
  }
}

beforeAll(() => {
  former = makeKey(join(work, 'former'), 'former');
  current = makeKey(join(work, 'current'), 'current');
  stranger = makeKey(join(work, 'stranger'), 'stranger');
});
afterAll(() => {
  for (const key of [former, current, stranger]) dropKey(key);
  rmSync(work, { recursive: true });
});

test('signs once for the same bytes, with the key in memory only, and leaves no agent', async () => {
  const signer = await openSigner(source(current), cacheFile());
  const signature = await signer.sign(Buffer.from('mine'));
  expect(await signer.sign(Buffer.from('mine'))).toBe(signature);
  const [home, ...others] = homes();
  expect(others).toEqual([]);
  expect(execFileSync('stat', ['-f', '-c', '%T', join(MEMORY, home as string)], { encoding: 'utf8' }).trim()).toBe('tmpfs');
  expect(execFileSync('stat', ['-c', '%a', join(MEMORY, home as string)], { encoding: 'utf8' }).trim()).toBe('700');
  const agents = (): string =>
    spawnSync('pgrep', ['-af', `gpg-agent --homedir ${join(MEMORY, home as string)}`], { encoding: 'utf8' }).stdout;
  expect(agents()).not.toBe('');
  await signer.close();
  expect(homes()).toEqual([]);
  for (let i = 0; i < 50 && agents() !== ''; i++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(agents()).toBe('');
  const ring = await buildKeyRing([{ path: file('ring', current.publicKey), fingerprint: current.fingerprint }], join(work, 'r'));
  expect(await verifyDetached(ring, file('mine.asc', signature), file('mine', 'mine'))).toMatchObject({ verdict: 'good' });
  expect(await verifyDetached(ring, file('mine.asc', signature), file('mine', 'yours'))).toMatchObject({ verdict: 'bad' });
});

test('a known key needs gpg only to sign; its identity is that of its fingerprint', async () => {
  const cache = cacheFile();
  const first = await openSigner(source(current, former), cache);
  await first.close();
  expect(readFileSync(cache, 'utf8')).not.toContain('PRIVATE');
  const path = process.env.PATH;
  process.env.PATH = '/nonexistent';
  try {
    const second = await openSigner(source(current, former), cache);
    expect(second.identity).toEqual(first.identity);
    await expect(second.sign(Buffer.from('x'))).rejects.toMatchObject({ code: 'TOOL_MISSING' });
    await expect(openSigner(source(stranger), cache)).rejects.toMatchObject({ code: 'TOOL_MISSING' });
  } finally {
    process.env.PATH = path;
  }
  expect(first.identity).toMatchObject({
    fingerprints: [current.fingerprint, former.fingerprint],
    publicKeys: current.publicKey + former.publicKey,
  });
  const digest = async (...keys: TestKey[]): Promise<string> => signed((signer) => Promise.resolve(signer.identity.digest), ...keys);
  expect(new Set([first.identity.digest, await digest(current), await digest(former), await digest(stranger)]).size).toBe(4);
  expect(await digest(current, former)).toBe(first.identity.digest);
  writeFileSync(cache, 'damaged');
  // Of a run that died, and of one that goes on.
  const [dead, alive] = [`${cache}.999999999`, `${cache}.1`];
  for (const path of [dead, alive]) writeFileSync(path, '{');
  const third = await openSigner(source(current, former), cache);
  expect([dead, alive].map((path) => existsSync(path))).toEqual([false, true]);
  await third.close();
  expect(third.identity).toEqual(first.identity);
  for (const home of homes()) rmSync(join(MEMORY, home), { recursive: true });
});

test.each<[string, () => KeySource, RegExp]>([
  ['a public key', () => source({ ...current, secretKey: current.publicKey }), /^current holds no OpenPGP secret key/],
  ['two keys in one', () => source({ ...current, secretKey: current.secretKey + former.secretKey }), /^current holds 2 keys/],
  ['one key twice', () => source(current, { ...current, name: 'again' }), /^current and again hold the same key/],
  ['no text', () => source({ ...current, secretKey: '' }), /holds no OpenPGP secret key/],
])('%s is no signing key', async (_name, keys, message) => {
  await expect(openSigner(keys(), cacheFile())).rejects.toMatchObject({
    code: 'SIGNING_KEY_UNUSABLE',
    exitCode: 3,
    message: expect.stringMatching(message),
  });
  expect(homes()).toEqual([]);
});

test('a key with a passphrase is refused at once', async () => {
  const home = mkdtempSync(join(work, 'locked-'));
  const gpg = (...argv: string[]): string =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', 'x', ...argv], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  gpg('--quick-gen-key', 'locked', 'rsa2048', 'sign', 'never');
  const secretKey = gpg('--armor', '--export-secret-keys');
  execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
  await expect(
    (async () => {
      await signed((signer) => signer.sign(Buffer.from('x')), { ...current, name: 'locked', secretKey });
    })(),
  ).rejects.toMatchObject({ code: 'SIGNING_KEY_UNUSABLE' });
  expect(homes()).toEqual([]);
});

/** A process that has signed, and waits. */
async function signingProcess(): Promise<ReturnType<typeof spawn>> {
  const program = join(work, 'killed.cjs');
  const entry = join(work, 'killed.ts');
  writeFileSync(
    entry,
    `import { readFileSync } from 'node:fs';
     import { openSigner } from '${join(__dirname, '../../signatures/sign')}';
     void openSigner(() => Promise.resolve([{ from: 'key', text: readFileSync(process.argv[2] as string) }]), process.argv[3] as string)
       .then((signer) => signer.sign(Buffer.from('x'))).then(() => { console.log('signed'); setInterval(() => undefined, 1000); });`,
  );
  buildSync({ entryPoints: [entry], outfile: program, bundle: true, platform: 'node', logLevel: 'error' });
  const child = spawn(process.execPath, [program, file('secret', current.secretKey), cacheFile()], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child;
}

const agentsOf = (pid: number | undefined): string =>
  spawnSync('pgrep', ['-af', `gpg-agent.*mirror-gnupg-${pid}-`], { encoding: 'utf8' }).stdout;

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s leaves no key and no agent', async (signal) => {
  const child = await signingProcess();
  const left = (): readonly string[] => readdirSync(MEMORY).filter((name) => name.startsWith(`.mirror-gnupg-${child.pid}-`));
  expect(left()).toHaveLength(1);
  const ended = new Promise((resolve) => child.once('close', (_code, by) => resolve(by)));
  child.kill(signal);
  expect(await ended).toBe(signal);
  expect(left()).toEqual([]);
  for (let i = 0; i < 250 && agentsOf(child.pid) !== ''; i++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(agentsOf(child.pid)).toBe('');
});

test('what a killed run left is removed by the next one, its agent included; what is not ours is left alone', async () => {
  const child = await signingProcess();
  const left = readdirSync(MEMORY).filter((name) => name.startsWith(`.mirror-gnupg-${child.pid}-`));
  expect(left).toHaveLength(1);
  // While it lives, its home is its own.
  await signed((signer) => signer.sign(Buffer.from('y')), former);
  expect(existsSync(join(MEMORY, left[0] as string))).toBe(true);
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
  const open = join(MEMORY, `.mirror-gnupg-${child.pid}-1-readable`);
  mkdirSync(open);
  chmodSync(open, 0o755);
  try {
    await signed((signer) => signer.sign(Buffer.from('y')), former);
    expect(readdirSync(MEMORY).filter((name) => name.startsWith(`.mirror-gnupg-${child.pid}-`))).toEqual([
      `.mirror-gnupg-${child.pid}-1-readable`,
    ]);
    for (let i = 0; i < 50 && agentsOf(child.pid) !== ''; i++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(agentsOf(child.pid)).toBe('');
  } finally {
    rmSync(open, { recursive: true });
  }
});

describe('while the former key signs beside the new one', () => {
  let directory: string;
  let signature: string;
  beforeAll(async () => {
    directory = join(work, 'repository');
    mkdirSync(join(directory, 'repodata'), { recursive: true });
    const { repomd, files } = emptyMetadata();
    for (const { name, bytes } of [repomd, ...files]) writeFileSync(join(directory, 'repodata', name), bytes);
    await signed(
      async (signer) => {
        signature = await signer.sign(repomd.bytes);
        writeFileSync(join(directory, 'repodata/repomd.xml.asc'), signature);
        writeFileSync(join(directory, 'RPM-GPG-KEY-mirror'), signer.identity.publicKeys);
      },
      current,
      former,
    );
  });

  test('there is one armoured block for each, with one signature in it, the former first: what looks at one signature takes that', async () => {
    const blocks = signature.split(/(?<=-----END PGP SIGNATURE-----\n)/).filter((block) => block.trim() !== '');
    const home = mkdtempSync(join(work, 'packets-'));
    const issuers = await Promise.all(blocks.map((block) => issuersOf(Buffer.from(block), home)));
    expect(issuers).toMatchObject([former, current].map(({ fingerprint }) => [{ fingerprint, digest: 'sha512' }]));
    expect(issuers.flat()).toHaveLength(2);
  });

  test.each<[string, () => readonly TestKey[], string]>([
    ['the former key alone', () => [former], 'good'],
    ['the new key alone', () => [current], 'good'],
    ['both', () => [former, current], 'good'],
    ['another key', () => [stranger], 'untrusted'],
  ])('gpgv with %s', async (_name, keys, verdict) => {
    const pinned = keys().map((key) => ({ path: file(`pinned-${key.name}`, key.publicKey), fingerprint: key.fingerprint }));
    const ring = await buildKeyRing(pinned, join(work, 'gpgv'));
    const asc = join(directory, 'repodata/repomd.xml.asc');
    expect(await verifyDetached(ring, asc, join(directory, 'repodata/repomd.xml'))).toMatchObject({ verdict });
  });

  test.each<[string, () => string, boolean]>([
    ['the former key alone', () => file('k', former.publicKey), true],
    ['the new key alone', () => file('k', current.publicKey), true],
    ['the key file that is handed out', () => join(directory, 'RPM-GPG-KEY-mirror'), true],
    ['another key', () => file('k', stranger.publicKey), false],
  ])('dnf with %s and repo_gpgcheck=1', (_name, key, accepted) => {
    const home = mkdtempSync(join(work, 'dnf-'));
    for (const name of ['repos', 'log', 'root']) mkdirSync(join(home, name));
    const options = { baseurl: `file://${directory}`, enabled: 1, gpgcheck: 1, repo_gpgcheck: 1, gpgkey: `file://${key()}` };
    const lines = Object.entries(options).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(join(home, 'repos/mirror.repo'), `[mirror]\nname=mirror\n${lines.join('')}`);
    writeFileSync(join(home, 'dnf.conf'), '[main]\nplugins=0\n');
    const set = Object.entries({ cachedir: 'cache', persistdir: 'persist', logdir: 'log', reposdir: 'repos' }).map(
      ([name, path]) => `--setopt=${name}=${join(home, path)}`,
    );
    const argv = ['-c', join(home, 'dnf.conf'), ...set, '--installroot', join(home, 'root'), '--releasever', '9', '-y', 'makecache'];
    const ran = spawnSync('dnf', argv, { encoding: 'utf8' });
    expect(`${ran.stdout}${ran.stderr}`).toMatch(accepted ? /Metadata cache created/ : /[Ss]ignature|GPG/);
    expect(ran.status === 0).toBe(accepted);
  });

  test('rpm imports both from the key file', async () => {
    const database = mkdtempSync(join(work, 'rpm-'));
    expect(await run('rpmkeys', ['--dbpath', database, '--import', join(directory, 'RPM-GPG-KEY-mirror')])).toMatchObject({ code: 0 });
    const listed = (await run('rpm', ['--dbpath', database, '-qa', 'gpg-pubkey', '--qf', '%{VERSION}\n'])).stdout.trim().split('\n').sort();
    expect(listed).toEqual([former, current].map((key) => key.fingerprint.slice(-8).toLowerCase()).sort());
  });
});
