/** `mirrorctl retention …` as operators and programs run it: what it prints, in words and as JSON, and its exit codes. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { type Ran, TestMirror } from './support/mirror';
import { fillRepository, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'retention-cli-'));
const ID = 'epel-7';
const packages: Record<string, string> = {};
let key: TestKey;
let mirror: TestMirror;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const [name, version] of [
    ['a', '1'],
    ['a', '2'],
    ['b', '1'],
  ] as const)
    // prettier-ignore
    packages[`${name}-${version}`] = buildPackage(join(work, `${name}-${version}`), name, version);
  key = makeKey(join(work, 'key'), 'mirror');
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  mirror.signBy(key);
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
  mirror.repository(ID, [upstream.url], undefined, { view: 'accumulate' });
  rules({ droppedDays: 30 });
});
afterEach(async () => {
  await upstream.stop();
  mirror.remove();
});

function rules(retention: Readonly<Record<string, number>>): void {
  mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, retention });
}

async function sync(...names: string[]): Promise<void> {
  fillRepository(
    tree,
    names.map((name) => packages[name] as string),
  );
  expect(await mirror.run('sync', ID)).toMatchObject({ code: 0 });
}

/** As if years had passed since upstream dropped what it dropped. */
function longAgo(): void {
  const records = join(mirror.root, 'repositories', ID, 'records');
  for (const name of readdirSync(records).filter((one) => one.endsWith('.dropped'))) {
    const path = join(records, name);
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(/20\d\d-\d\d-\d\dT/g, '2020-01-01T'));
  }
}

/** As if the next step of everything were due. */
function due(): void {
  const path = join(mirror.state, 'retention.json');
  writeFileSync(path, readFileSync(path, 'utf8').replaceAll(/"due": "[^"]+"/g, '"due": "2020-01-01T00:00:00.000Z"'));
}

const retention = (...argv: string[]): Promise<Ran> => mirror.run('retention', ...argv);
const A = `${ID}:a-1-1.noarch`;

test('plan, apply, the question and its answer, restore, explain: in words', async () => {
  await sync('a-1', 'b-1');
  expect(await retention('plan')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Unused files of the store: 3 waiting, /) });
  await sync('b-1');
  longAgo();
  const planned = await retention('plan');
  expect(planned.stdout).toMatch(
    /^Announced now: one item, [\d.]+ KiB\n {2}epel-7:a-1-1\.noarch \([\d.]+ KiB\): upstream dropped it on 2020-01-01, \d+ days ago; into quarantine on 20/,
  );
  expect(readdirSync(mirror.state)).not.toContain('retention.json');
  expect((await retention('apply')).stdout).toContain('0 files removed, 0 bytes free for it');
  expect((await retention('plan')).stdout).toMatch(/^Waiting: one item/);
  expect((await mirror.run('explain', A)).stdout).toMatch(
    /^epel-7:a-1-1\.noarch: announced: upstream dropped it on .*; into quarantine on .*\n {2}from http:\S+a-1-1\.noarch\.rpm\n {2}here since \S+\n {2}in 2 snapshots, \S+ to \S+\n$/,
  );

  due();
  const stopped = await retention('apply');
  expect(stopped.code).toBe(3);
  expect(stopped.stdout).toMatch(
    /epel-7: stopped: one item of .* would go at once, of .* that it publishes: more than the declared share\n {2}epel-7:a-1-1\.noarch .*\n {2}If it is meant: mirrorctl retention apply --confirm epel-7\. Otherwise correct the rule in main\.ts, or keep it: mirrorctl retention restore epel-7\.\n/,
  );
  expect((await retention('plan', '--confirm', ID)).stdout).toMatch(/^Into quarantine: would be taken out of service: one item/);
  expect(await retention('apply', '--confirm', ID)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Into quarantine: were taken out of service: one item/),
  });
  expect(await retention('restore', A)).toMatchObject({ code: 0, stdout: `${A}: back in service\n` });
  expect(await retention('restore', A)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('mirrorctl retention plan lists what is.'),
  });
  expect((await mirror.run('explain', ID)).stdout).toMatch(
    /^epel-7: kept: packages stay: 30 days from the day on which upstream drops them; superseded snapshots stay for 90 days\nepel-7@\S+: kept: it was superseded on .*\n/,
  );
});

test('the same for programs', async () => {
  await sync('a-1', 'b-1');
  await sync('b-1');
  longAgo();
  const json = async (...argv: string[]): Promise<unknown> => JSON.parse((await retention(...argv, '--json')).stdout);
  expect(await json('plan')).toMatchObject({
    announce: [{ item: { kind: 'package', id: ID, nevra: 'a-1-1.noarch' }, by: 'rule', stage: 'announced', bytes: expect.any(Number) }],
    unused: { waiting: 6, remove: [], stopped: false },
    stopped: [],
  });
  expect(await json('apply')).toMatchObject({ announce: [{}], freedBytes: 0, removedFiles: 0, failed: [] });
  expect(JSON.parse((await mirror.run('explain', 'a', '--json')).stdout)).toMatchObject({
    explanations: [{ item: A, standing: 'announced', snapshots: [{}, {}], releases: [] }],
  });
  expect(await json('restore', A)).toMatchObject({ entries: [{ item: { nevra: 'a-1-1.noarch' } }], accepted: [] });
  expect(await json('forget', A, '--reason', 'it is broken')).toMatchObject({
    entries: [{ why: 'an operator had it forgotten: it is broken', stage: 'announced', by: 'operator' }],
  });
});

test('forget with and without --now; a package that is forgotten stays away until it is restored', async () => {
  await sync('a-1', 'b-1');
  expect(await retention('forget', `${ID}:a-1-1`)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^epel-7:a-1-1\.noarch: goes into quarantine on \S+, by the next run of retention after it\n$/),
  });
  expect(await retention('forget', `${ID}:a-1-1`, '--now')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^epel-7:a-1-1\.noarch: out of service; it can be had back until \S+: mirrorctl retention restore epel-7:a-1-1\.noarch\n$/,
    ),
  });
  due();
  expect((await retention('apply')).stdout).toMatch(/^For good: were removed from quarantine: one item/);
  expect((await mirror.run('explain', 'a-1-1')).stdout).toContain(
    `${A}: gone: it was forgotten by name, and is taken from upstream no more (mirrorctl retention restore ${A})\n`,
  );
  expect(await retention('restore', A)).toMatchObject({ code: 0, stdout: `${A}: published again, as an earlier snapshot had it\n` });
  await sync('a-1', 'a-2', 'b-1');
  expect(readFileSync(mirror.recordPath(ID).replace(/json$/, 'packages'), 'utf8')).toContain('\ta\t0\t1\t1\t');
});

test('--wait waits for a sync of what is touched', async () => {
  await sync('a-1', 'b-1');
  const holder = spawn('flock', [join(mirror.state, 'locks', `${ID}.lock`), 'sleep', '3'], { stdio: 'ignore' });
  await sleep(300);
  const refused = await retention('forget', A, '--now');
  expect(refused.code).toBe(4);
  expect(refused.stdout).toContain(`${ID}: not done: ${ID} is locked by`);
  expect(await retention('forget', A, '--now', '--wait', '60')).toMatchObject({ code: 0 });
  holder.kill();
});
