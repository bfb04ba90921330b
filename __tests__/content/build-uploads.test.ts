/** What becomes of builds that accounts upload: real trees in directories as accounts leave them, published by the real engine. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { readDefinitions } from '../../content/definitions';
import { health } from '../../content/health';
import { Layout } from '../../content/layout';
import { namedKeys } from '../../content/signing-keys';
import { buildsIn, namedBySums, setAside } from '../../content/upload-builds';
import type { UploadResult } from '../../content/upload-results';
import { takeUploads } from '../../content/upload-take';
import type { UploadDefinition } from '../../desired-state/definitions';
import { openSigner } from '../../signatures/sign';
import { rejected } from '../support/caught';
import { archive, SERIES } from './support/builds';
import { buildRpm } from './support/hosted';
import { dropKey, makeKey, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';

jest.setTimeout(120_000);

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const FIRST = '20261101T023000Z';
const SECOND = '20261102T023000Z';
const DIRECTORY = 'stx-master/flock';
const account: UploadDefinition = {
  kind: 'upload',
  id: 'stx-build',
  owner: 'mos',
  components: [],
  builds: [{ series: SERIES, directory: DIRECTORY }],
};
const work = mkdtempSync(join(tmpdir(), 'build-uploads-'));
let key: TestKey;
let rpm: string;
let mirror: TestMirror;
let uploads: string;
let place: string;
let flock: string;
let said: string[];

beforeAll(() => {
  key = makeKey(join(work, 'own'), 'mirror');
  rpm = buildRpm(join(work, 'rpm'), { name: 'tool' });
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(() => {
  mirror = new TestMirror();
  mirror.signBy(key);
  mirror.write('definitions/builds/stx-master.yaml', archive());
  mirror.write(`definitions/uploads/${account.id}.yaml`, account);
  uploads = join(mirror.directory, 'uploads');
  place = join(uploads, account.id);
  flock = join(place, DIRECTORY);
  for (const path of ['results', 'refused', DIRECTORY]) mkdirSync(join(place, path), { recursive: true });
  said = [];
});
afterEach(() => mirror.remove());

/** A run, so long after what was uploaded just now. */
async function take(later = 2 * MINUTE): Promise<readonly UploadResult[]> {
  const definitions = await readDefinitions(mirror.configuration);
  const layout = new Layout(mirror.root, mirror.state, definitions.directory);
  const opened: ReturnType<typeof openSigner>[] = [];
  const signer = (): ReturnType<typeof openSigner> => {
    opened[0] ??= openSigner(namedKeys([join(mirror.configuration, 'secrets/signing-key')]), layout.signingIdentities);
    return opened[0];
  };
  const context = { layout, definitions, declared: () => readDefinitions(mirror.configuration), signer, waitSeconds: 0, uploads };
  try {
    return await takeUploads({ ...context, now: () => new Date(Date.now() + later), say: (line) => said.push(line) }, account);
  } finally {
    await (await opened[0])?.close();
  }
}

const FILES: Readonly<Record<string, string>> = { Success: '', 'outputs/image.inc': 'image', 'logs/build.log': 'all went well\n' };
/** Puts files of a build, and returns its directory. */
function put(name: string, files: Readonly<Record<string, string>> = FILES): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(flock, name, path)), { recursive: true });
    writeFileSync(join(flock, name, path), text);
  }
  return join(flock, name);
}
/** Writes the list of what is there now. */
function sums(name: string): string {
  const directory = join(flock, name);
  const command = `find . -type f ! -path ./SHA256SUMS -printf '%P\\0' | sort -z | xargs -0 sha256sum > SHA256SUMS`;
  execFileSync('bash', ['-euo', 'pipefail', '-c', command], { cwd: directory });
  return directory;
}
const whole = (name: string, files = FILES): string => {
  put(name, files);
  return sums(name);
};
const builds = (): readonly string[] => (existsSync(join(mirror.root, 'builds', SERIES)) ? readdirSync(join(mirror.root, 'builds', SERIES)).sort() : []); // prettier-ignore
const latest = (): string => readlinkSync(join(mirror.root, 'builds', SERIES, 'latest_build'));
const incoming = (): readonly string[] => readdirSync(flock).sort();
const told = (name: string): string => readFileSync(join(place, 'results', DIRECTORY, `${name}.txt`), 'utf8');
const list = async (): Promise<string> => (await mirror.run('uploads', '--directory', uploads)).stdout;

describe('what is complete', () => {
  test('is published, told, and leaves', async () => {
    const directory = whole(FIRST);
    mkdirSync(join(directory, 'outputs/RPMS/std'), { recursive: true });
    writeFileSync(join(directory, 'outputs/RPMS/std/tool-1-1.noarch.rpm'), readFileSync(rpm));
    sums(FIRST);
    expect(await take()).toMatchObject([
      { upload: FIRST, component: SERIES, result: 'published', files: [{ file: FIRST, result: 'published' }] },
    ]);
    expect(builds()).toEqual([FIRST, 'latest_build']);
    expect(latest()).toBe(FIRST);
    const published = join(mirror.root, 'builds', SERIES, FIRST);
    expect(readFileSync(join(published, 'logs/build.log'), 'utf8')).toBe('all went well\n');
    expect(readFileSync(join(published, 'outputs/RPMS/std/rpm.lst'), 'utf8')).toBe('tool-1-1.noarch.rpm\n');
    expect(existsSync(join(published, 'SHA256SUMS'))).toBe(true);
    expect(incoming()).toEqual([]);
    expect(told(FIRST)).toMatch(new RegExp(`^${SERIES}, ${FIRST}: published at [^]*latest_build leads to ${FIRST}`));
    expect(JSON.parse(readFileSync(join(place, 'results', DIRECTORY, `${FIRST}.json`), 'utf8'))).toMatchObject({ result: 'published' });
  });

  test('the same again is skipped, another one of that time refused', async () => {
    whole(FIRST);
    await take();
    whole(FIRST);
    expect(await take()).toMatchObject([{ result: 'published', files: [{ result: 'skipped' }] }]);
    whole(FIRST, { ...FILES, 'logs/build.log': 'otherwise' });
    expect(await take()).toMatchObject([{ result: 'refused', files: [{ code: 'BUILD_EXISTS' }] }]);
    expect(incoming()).toEqual([]);
    expect(readFileSync(join(mirror.root, 'builds', SERIES, FIRST, 'logs/build.log'), 'utf8')).toBe('all went well\n');
    expect(told(FIRST)).toContain('refused');
  });

  test('a build that failed moves no link', async () => {
    whole(FIRST);
    await take();
    const failed = Object.fromEntries(Object.entries(FILES).filter(([path]) => path !== 'Success'));
    whole(SECOND, failed);
    expect(await take()).toMatchObject([{ upload: SECOND, result: 'published', files: [{ message: expect.stringContaining('no link moved') as string }] }]); // prettier-ignore
    expect(builds()).toEqual([FIRST, SECOND, 'latest_build']);
    expect(latest()).toBe(FIRST);
  });

  test('what a killed run published is not published again', async () => {
    whole(FIRST);
    const running = mirror.start('uploads', '--directory', uploads, 'take', account.id);
    while (!builds().includes(FIRST)) await new Promise((resolve) => setTimeout(resolve, 2));
    running.kill();
    await running.done;
    const left = incoming().includes(FIRST);
    const results = await take();
    if (left) expect(results).toMatchObject([{ result: 'published', files: [{ result: 'skipped' }] }]);
    expect(incoming().filter((name) => !name.startsWith('.taken-'))).toEqual([]);
    expect(told(FIRST)).toContain('published');
  });

  test('by several accounts and layers, each in its own directory', async () => {
    const compiler = 'master/centos/compiler';
    mirror.write('definitions/builds/stx-master.yaml', archive([SERIES, compiler]));
    const definition = { ...account, builds: [...(account.builds ?? []), { series: compiler, directory: 'stx-master/compiler' }] };
    mirror.write(`definitions/uploads/${account.id}.yaml`, definition);
    whole(FIRST);
    mkdirSync(join(place, 'stx-master/compiler'));
    renameSync(join(flock, FIRST), join(place, 'stx-master/compiler', FIRST));
    expect(await take()).toMatchObject([{ component: compiler, result: 'published' }]);
    expect(existsSync(join(place, 'results/stx-master/compiler', `${FIRST}.txt`))).toBe(true);
  });
});

describe('what is not complete waits', () => {
  test('for its list, and for what that names', async () => {
    put(FIRST);
    expect(await take(DAY)).toEqual([]);
    expect(await list()).toContain(`  arriving  ${SERIES}  ${FIRST} (3 files, `);
    expect(await list()).toMatch(/, lacks SHA256SUMS\n/);
    sums(FIRST);
    rmSync(join(flock, FIRST, 'logs/build.log'));
    expect(await take(DAY)).toEqual([]);
    expect(await list()).toMatch(/, lacks one file that its SHA256SUMS names: logs\/build.log\n/);
    expect(builds()).toEqual([]);
    put(FIRST, { 'logs/build.log': FILES['logs/build.log'] as string });
    expect(await take()).toMatchObject([{ result: 'published' }]);
  });

  test('by its name', async () => {
    whole(`${FIRST}.part`);
    expect(await take(DAY)).toEqual([]);
    renameSync(join(flock, `${FIRST}.part`), join(flock, FIRST));
    expect(await take()).toMatchObject([{ result: 'published' }]);
  });

  test('while it changes; the run waits for it', async () => {
    whole(FIRST);
    utimesSync(join(flock, FIRST, 'SHA256SUMS'), 0, 0);
    const running = take(0);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(builds()).toEqual([]);
    await expect(running).resolves.toHaveLength(1);
    expect(builds()).toContain(FIRST);
  });

  test('for bytes of a file that is cut, for a quarter of an hour; then it is refused, with its name', async () => {
    whole(FIRST);
    truncateSync(join(flock, FIRST, 'logs/build.log'), 3);
    expect(await take()).toEqual([]);
    expect(said.join()).toMatch(/may still be on its way: .*logs\/build.log/);
    appendFileSync(join(flock, FIRST, 'logs/build.log'), (FILES['logs/build.log'] as string).slice(3));
    expect(await take()).toMatchObject([{ result: 'published' }]);
    whole(SECOND);
    truncateSync(join(flock, SECOND, 'logs/build.log'), 3);
    expect(await take(16 * MINUTE)).toMatchObject([{ result: 'refused', files: [{ code: 'BUILD_SUMS', message: expect.stringContaining('logs/build.log') as string }] }]); // prettier-ignore
    expect(incoming()).toEqual([]);
    expect(latest()).toBe(FIRST);
    expect(await list()).toMatch(new RegExp(`refused  ${SERIES}  ${SECOND} at`));
  });

  test('for fourteen days, and is refused then', async () => {
    put(FIRST);
    put('.hidden');
    expect(await take(13 * DAY)).toEqual([]);
    const results = await take(14 * DAY + MINUTE);
    expect(results).toMatchObject([{ result: 'refused', files: [{ code: 'UPLOAD_GIVEN_UP' }] }, { result: 'refused' }]);
    expect(JSON.stringify(results)).toContain('lacks SHA256SUMS');
    expect(incoming()).toEqual([]);
  });

  test('and is no alert, where what is complete and stays is one', async () => {
    const definitions = await readDefinitions(mirror.configuration);
    const layout = new Layout(mirror.root, mirror.state, definitions.directory);
    const verdict = async (): Promise<string | undefined> => {
      const { checks } = await health(layout, definitions, new Date(Date.now() + 61 * MINUTE), '/nonexistent', uploads);
      return checks.find(({ name }) => name === 'uploads')?.verdict;
    };
    put(FIRST);
    expect(await verdict()).toBe('ok');
    sums(FIRST);
    expect(await verdict()).toBe('alert');
  });
});

describe('what interrupted transfers left', () => {
  test('is removed, where the list does not name it', async () => {
    put(FIRST, { ...FILES, 'logs/.kept.abcdef': 'named' });
    sums(FIRST);
    put(FIRST, { 'logs/.part/build.log': 'all', 'outputs/.image.inc.a1B2c3': 'im', 'outputs/.~tmp~/image.inc': 'im' });
    expect(await take()).toMatchObject([{ result: 'published' }]);
    expect(readdirSync(join(mirror.root, 'builds', SERIES, FIRST, 'logs'))).toEqual(['.kept.abcdef', 'build.log']);
    expect(readdirSync(join(mirror.root, 'builds', SERIES, FIRST, 'outputs'))).toEqual(['image.inc']);
  });
  test('and anything else that the list does not name is refused', async () => {
    whole(FIRST);
    put(FIRST, { 'logs/more.log': 'x' });
    expect(await take()).toEqual([]);
    expect(await take(16 * MINUTE)).toMatchObject([{ result: 'refused', files: [{ code: 'BUILD_SUMS', message: expect.stringContaining('more.log') as string }] }]); // prettier-ignore
  });
});

describe('what is no build is refused, and nothing of it is followed', () => {
  const secret = join(work, 'secret');
  beforeAll(() => {
    mkdirSync(secret);
    writeFileSync(join(secret, 'file'), 'secret');
  });
  const DEEP = Array.from({ length: 40 }, () => 'd').join('/');
  test.each<[string, () => void, RegExp]>([
    ['a link in the place of a build', () => symlinkSync(secret, join(flock, FIRST)), /no directory/],
    ['a file', () => writeFileSync(join(flock, FIRST), 'x'), /no directory/],
    ['another name', () => whole('nightly'), /UTC time/],
    ['a time that there is not', () => whole('20261301T023000Z'), /UTC time/],
    ['a time to come', () => whole('20991101T023000Z'), /more than a day from now/],
    ['a link to a file', () => symlinkSync(join(secret, 'file'), join(whole(FIRST), 'logs/link')), /logs\/link: it is a symbolic link/],
    ['a link to a directory', () => symlinkSync(secret, join(whole(FIRST), 'inputs')), /inputs: it is a symbolic link/],
    ['a list that is a link', () => symlinkSync(join(secret, 'file'), join(put(FIRST), 'SHA256SUMS')), /SHA256SUMS: it is a symbolic link/],
    ['a hard link', () => linkSync(join(secret, 'file'), join(whole(FIRST), 'logs/link')), /second name/],
    ['a pipe', () => execFileSync('mkfifo', [join(whole(FIRST), 'logs/pipe')]), /no regular file/],
    ['a name with a line break', () => writeFileSync(join(whole(FIRST), 'logs/a\nb'), ''), /its name is no text/],
    [
      'a name that is no UTF-8',
      () => writeFileSync(Buffer.concat([Buffer.from(`${whole(FIRST)}/logs/`), Buffer.from([0xff])]), ''),
      /its name is no text/,
    ],
    ['a path that is too deep', () => whole(FIRST, { [`logs/${DEEP}/x`]: '' }), /32 directories/],
    ['too many bytes', () => truncateSync(join(whole(FIRST), 'logs/build.log'), 300 * 1024 ** 3), /more than 256 GiB/],
    ['a directory beside those of a build', () => whole(FIRST, { ...FILES, 'etc/x': 'x' }), /etc/],
    ['a form that is wrong', () => whole(FIRST, { ...FILES, BUILD_INFO: 'rm -rf /' }), /BUILD_INFO/],
  ])('%s', async (_what, upload, words) => {
    upload();
    const results = await take();
    expect(results).toMatchObject([{ result: 'refused' }]);
    expect(JSON.stringify(results)).toMatch(words);
    expect(builds()).toEqual([]);
    expect(incoming()).toEqual([]);
    expect(readFileSync(join(secret, 'file'), 'utf8')).toBe('secret');
    expect(readdirSync(join(place, 'refused'))).toHaveLength(1);
  });

  test('more files than a build has', async () => {
    const directory = whole(FIRST);
    whole(SECOND);
    // The clock of a file system has ticks: within one, the name decides which comes first.
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (let number = 0; number < 10; number++) writeFileSync(join(directory, 'logs', `f${number}`), '');
    const faults = async (most: number) => (await buildsIn(flock, most)).map(({ name, fault }) => [name, fault]);
    expect(await faults(20)).toEqual([[SECOND, undefined], [FIRST, undefined]]); // prettier-ignore
    expect(await faults(10)).toEqual([[SECOND, undefined], [FIRST, 'it has more than 10 files and directories']]); // prettier-ignore
  });

  test('a list of other things than digests names nothing', async () => {
    writeFileSync(join(put(FIRST), 'SHA256SUMS'), '\u0000\u0001 not at all\n'.repeat(1000));
    expect(await take()).toEqual([]);
    expect(await take(16 * MINUTE)).toMatchObject([{ result: 'refused', files: [{ code: 'BUILD_SUMS' }] }]);
    const digest = createHash('sha256').digest('hex');
    expect([...namedBySums(`${digest}  a b\n${digest} *./c\nx  d\n${digest} e\n`)]).toEqual(['a b', 'c']);
  });
});

describe('what is removed', () => {
  test('is nothing that changed since it was looked at', async () => {
    whole(FIRST);
    const [arrival] = await buildsIn(flock);
    const { removeBuild } = await import('../../content/upload-builds');
    put(FIRST, { 'logs/later.log': 'x' });
    expect(await removeBuild(flock, arrival as NonNullable<typeof arrival>)).toBe(false);
    expect(incoming()).toEqual([FIRST]);
    expect(await removeBuild(flock, (await buildsIn(flock))[0] as NonNullable<typeof arrival>)).toBe(true);
    expect(incoming()).toEqual([]);
  });

  test('is what a link in it leads to never', async () => {
    mkdirSync(join(work, 'outside'));
    writeFileSync(join(work, 'outside/file'), 'x');
    symlinkSync(join(work, 'outside'), join(put(FIRST), 'logs/outside'));
    expect(await setAside(flock, { path: Buffer.from(join(flock, FIRST)), name: FIRST })).toBe(true);
    expect(incoming()).toEqual([]);
    expect(existsSync(join(work, 'outside/file'))).toBe(true);
  });
});

describe('what hinders a run leaves everything where it is', () => {
  test.each<[string, () => void, string]>([
    ['no disk', () => rmSync(join(mirror.root, '.mirror-data')), 'NOT_MOUNTED'],
    [
      'a disk that is too full',
      () => mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: mirror.root, ownMount: false, diskGuard: { stopAtPercent: 1 } }), // prettier-ignore
      'DISK_GUARD',
    ],
  ])('%s', async (_what, harm, code) => {
    whole(FIRST);
    harm();
    expect(await rejected(() => take())).toMatchObject({ code });
    expect(incoming()).toEqual([FIRST]);
    expect(builds()).toEqual([]);
    expect(readdirSync(join(place, 'refused'))).toEqual([]);
  });

  test('an archive that is declared no more', async () => {
    whole(FIRST);
    mirror.write(`definitions/uploads/${account.id}.yaml`, { ...account, builds: [], components: [] });
    expect(await take()).toEqual([]);
    expect(incoming()).toEqual([FIRST]);
  });
});
