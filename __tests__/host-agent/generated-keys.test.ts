import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DesiredState } from '../../desired-state/model';
import { Reporter } from '../../host-agent/events';
import {
  findGeneratedKeys,
  generatedKeyDeviations,
  generatedKeyFile,
  generatedKeyFiles,
  generatedKeys,
  pruneGeneratedKeys,
} from '../../host-agent/generated-keys';
import { hostKey, secretDigest } from '../../host-agent/generation';
import { EMPTY_MANIFEST, type Manifest } from '../../host-agent/manifest';
import { hostPaths, type HostPaths } from '../../host-agent/paths';

jest.setTimeout(60_000);

const probe = { serverName: 'mirror.example', port: 80 };
const said: string[] = [];
const report = { progress: (text: string) => said.push(text) } as unknown as Reporter;
let directory: string;
let paths: HostPaths;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mirror-keys-'));
  paths = hostPaths(directory);
  mkdirSync(paths.generations, { recursive: true });
  said.length = 0;
});
afterEach(() => rmSync(directory, { recursive: true }));

const make = (keys: DesiredState['generatedKeys'], known: readonly Manifest[] = []): Promise<Record<string, string>> =>
  generatedKeys(paths, { generatedKeys: keys, probe }, known, report);

/** A generation on disk that uses keys: secret name → version and content. */
function generation(number: number, keys: Readonly<Record<string, readonly [version: string, text: string]>>): Manifest {
  const secrets = join(paths.generations, String(number), 'secrets');
  mkdirSync(secrets, { recursive: true });
  const key = hostKey(paths);
  for (const [name, [, text]] of Object.entries(keys)) writeFileSync(join(secrets, name), text);
  return {
    ...EMPTY_MANIFEST,
    generation: number,
    secrets: Object.fromEntries(Object.entries(keys).map(([name, [, text]]) => [name, secretDigest(key, name, text)])),
    generatedKeys: Object.fromEntries(Object.entries(keys).map(([name, [version]]) => [name, version])),
  };
}
const keep = (version: string, text: string): void => {
  mkdirSync(paths.generatedKeys, { recursive: true });
  writeFileSync(generatedKeyFile(paths, version), text);
};

test('a key is made once: RSA of 4096 bits without an expiry, a day old, root only', async () => {
  const { 'signing-key': text } = await make({ 'signing-key': '1' });
  expect(said).toEqual(['making the signing key of version 1']);
  expect(statSync(paths.generatedKeys).mode & 0o777).toBe(0o700);
  expect(statSync(generatedKeyFile(paths, '1')).mode & 0o777).toBe(0o400);
  const home = mkdtempSync(join(directory, 'gpg-'));
  const shown = execFileSync('gpg', ['--homedir', home, '--no-autostart', '--batch', '--with-colons', '--show-keys'], {
    input: text,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const [, , bits, algorithm, , created, expires, , , , , uses] = (/^sec:.*$/m.exec(shown)?.[0] ?? '').split(':');
  expect({ bits, algorithm, expires, uses }).toEqual({ bits: '4096', algorithm: '1', expires: '', uses: 'scSC' });
  const age = Date.now() / 1000 - Number(created);
  expect(age).toBeGreaterThan(86_399);
  expect(age).toBeLessThan(86_600);
  expect(shown).toMatch(/^uid:.*:Package mirror mirror\.example, signing key 1:/m);
  expect(readdirSync(paths.memory).filter((name) => name.startsWith('.mirror-key-'))).toEqual([]);
  expect(await make({ 'signing-key': '1' })).toEqual({ 'signing-key': text });
  expect(await make({ 'signing-key': '2', 'previous-signing-key': '1' })).toMatchObject({ 'previous-signing-key': text });
  expect(said).toHaveLength(2);
  expect(generatedKeyFiles(paths).map((file) => file.slice(-5))).toEqual(['1.asc', '2.asc']);
  expect(readFileSync(generatedKeyFile(paths, '2'), 'utf8')).not.toBe(text);
});

describe('a key that was made before', () => {
  test.each<[string, () => Manifest[], string | undefined]>([
    ['by nobody', () => [], undefined],
    ['and is in a generation only', () => [generation(1, { 'signing-key': ['1', 'K'] })], 'K'],
    [
      'and is kept only',
      () =>
        [(keep('1', 'K'), generation(1, { 'signing-key': ['1', 'K'] }))].map(
          (m) => (rmSync(join(paths.generations, '1'), { recursive: true }), m),
        ),
      'K',
    ],
    ['and is kept where a server was set up anew', () => (keep('1', 'K'), []), 'K'],
    ['and signed under the other name', () => [generation(1, { 'previous-signing-key': ['1', 'K'] })], 'K'],
    [
      'and is harmed in the newest generation',
      () => {
        const known = [generation(1, { 'signing-key': ['1', 'K'] }), generation(2, { 'signing-key': ['1', 'K'] })];
        writeFileSync(join(paths.generations, '2/secrets/signing-key'), 'X');
        return known;
      },
      'K',
    ],
    ['and was replaced where it is kept', () => (keep('1', 'X'), [generation(1, { 'signing-key': ['1', 'K'] })]), 'K'],
    ['as another version', () => [generation(1, { 'signing-key': ['0', 'K'] })], undefined],
  ])('%s', (_name, known, expected) => {
    expect(findGeneratedKeys(paths, { 'signing-key': '1' }, known())).toEqual({ 'signing-key': expected });
  });

  test.each<[string, () => void, RegExp]>([
    ['is gone', () => undefined, /version 1 is gone \(\S+1\.asc is missing\)/],
    ['is another one', () => keep('1', 'X'), /version 1 is gone \(\S+1\.asc is another one\)/],
  ])('and %s: the deploy is refused, since another one would lock out clients', async (_name, damage, message) => {
    const known = [generation(1, { 'signing-key': ['1', 'K'] })];
    rmSync(join(paths.generations, '1'), { recursive: true });
    damage();
    await expect(make({ 'signing-key': '1' }, known)).rejects.toMatchObject({
      code: 'GENERATED_KEY_LOST',
      exitCode: 3,
      message: expect.stringMatching(message),
      remedy: expect.stringMatching(/Restore \S+1\.asc from its backup/),
    });
    expect(await make({ 'signing-key': '2' }, known)).toMatchObject({ 'signing-key': expect.stringContaining('PRIVATE KEY') });
  });

  test('a former one that was never made here is refused; on a new server, which has no clients, it is made', async () => {
    const known = [generation(1, { 'signing-key': ['1', 'K'] })];
    await expect(make({ 'signing-key': '1', 'previous-signing-key': '0' }, known)).rejects.toMatchObject({
      code: 'GENERATED_KEY_UNKNOWN',
      message: expect.stringContaining('never made a signing key of version 0'),
    });
    expect(findGeneratedKeys(paths, { 'previous-signing-key': '0' }, [EMPTY_MANIFEST])).toEqual({ 'previous-signing-key': undefined });
  });
});

test('one that is missing or modified where it is kept is drift; an intact one is none', () => {
  const manifest = generation(1, { 'signing-key': ['1', 'K'] });
  expect(generatedKeyDeviations(paths, manifest)).toEqual([`${generatedKeyFile(paths, '1')} missing`]);
  keep('1', 'X');
  expect(generatedKeyDeviations(paths, manifest)).toEqual([`${generatedKeyFile(paths, '1')} modified`]);
  keep('1', 'K');
  expect(generatedKeyDeviations(paths, manifest)).toEqual([]);
  expect(generatedKeyDeviations(paths, EMPTY_MANIFEST)).toEqual([]);
});

test('a key goes with the last generation that used it; a backup that was put there stays', () => {
  for (const version of ['1', '2', '3']) keep(version, 'K');
  const [one, two] = [generation(1, { 'signing-key': ['1', 'K'] }), generation(2, { 'signing-key': ['2', 'K'] })];
  const files = (): string[] => readdirSync(paths.generatedKeys).sort();
  // Generation 1 cannot be read: whatever it needs stays.
  pruneGeneratedKeys(paths, [one, two], [two]);
  expect(files()).toEqual(['1.asc', '2.asc', '3.asc']);
  rmSync(join(paths.generations, '1'), { recursive: true });
  pruneGeneratedKeys(paths, [one, two], [two]);
  expect(files()).toEqual(['2.asc', '3.asc']);
});
