/** What becomes of uploads: real packages in directories as accounts leave them, published by the real engine. */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { readDefinitions } from '../../content/definitions';
import { health } from '../../content/health';
import { Layout } from '../../content/layout';
import { namedKeys } from '../../content/signing-keys';
import { listUploads, uploadLines } from '../../content/upload-list';
import type { UploadResult } from '../../content/upload-results';
import { portionsOf, takeUploads } from '../../content/upload-take';
import type { UploadDefinition } from '../../desired-state/definitions';
import { openSigner } from '../../signatures/sign';
import { rejected } from '../support/caught';
import { buildRpm, HostedMirror, signedRpm } from './support/hosted';
import { dropKey, makeKey, type TestKey } from './support/keys';

jest.setTimeout(120_000);

const CODENAME = 'acme/mos7.0-centos6';
const CR = `${CODENAME}/cr`;
const MINUTE = 60_000;
const work = mkdtempSync(join(tmpdir(), 'uploads-'));
const account: UploadDefinition = { kind: 'upload', id: 'acme-build', owner: 'acme', components: [CR, `${CODENAME}/updates`] };
let own: TestKey;
let owner: TestKey;
let mirror: HostedMirror;
let tool: string;
let newer: string;
let other: string;
let unsigned: string;
/** Where the account's uploads are. */
let uploads: string;
let place: string;
let cr: string;
let said: string[];

beforeAll(() => {
  own = makeKey(join(work, 'own'), 'mirror');
  owner = makeKey(join(work, 'owner'), 'acme');
  const signed = (name: string, version: string): string => {
    const directory = mkdtempSync(join(work, 'rpm-'));
    return signedRpm(directory, owner, { name, version });
  };
  [tool, newer, other] = [signed('tool', '1'), signed('tool', '2'), signed('other', '1')];
  unsigned = buildRpm(mkdtempSync(join(work, 'rpm-')), { name: 'unsigned' });
});
afterAll(() => {
  for (const key of [own, owner]) dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new HostedMirror(own, owner);
  mirror.codename(CODENAME);
  mirror.write(`definitions/uploads/${account.id}.yaml`, account);
  await mirror.prepare();
  uploads = join(mirror.directory, 'uploads');
  place = join(uploads, account.id);
  for (const directory of ['results', 'refused', 'mos7.0-centos6/cr', 'mos7.0-centos6/updates'])
    mkdirSync(join(place, directory), { recursive: true });
  cr = join(place, 'mos7.0-centos6/cr');
  said = [];
});
afterEach(() => mirror.remove());

/** A run, so long after what was uploaded just now. */
async function take(later = 2 * MINUTE): Promise<readonly UploadResult[]> {
  const definitions = await readDefinitions(mirror.configuration);
  const layout = new Layout(mirror.root, mirror.state, definitions.directory);
  const key = join(mirror.configuration, 'secrets/signing-key');
  const opened: ReturnType<typeof openSigner>[] = [];
  const signer = (): ReturnType<typeof openSigner> => {
    opened[0] ??= openSigner(namedKeys([key]), layout.signingIdentities);
    return opened[0];
  };
  const now = (): Date => new Date(Date.now() + later);
  try {
    return await takeUploads(
      {
        layout,
        definitions,
        declared: () => readDefinitions(mirror.configuration),
        signer,
        now,
        say: (line) => said.push(line),
        waitSeconds: 0,
        uploads,
      },
      account,
    );
  } finally {
    await (await opened[0])?.close();
  }
}
const put = (file: string, ...into: string[]): string => {
  const directory = join(cr, ...into);
  mkdirSync(directory, { recursive: true });
  const target = join(directory, basename(file));
  copyFileSync(file, target);
  return target;
};
const published = (): readonly string[] => readdirSync(mirror.published(CR, 'x86_64/Packages')).sort();
const incoming = (): readonly string[] => readdirSync(cr);
const told = (name: string): string => readFileSync(join(place, 'results/mos7.0-centos6/cr', `${name}.txt`), 'utf8');
const refused = (): readonly string[] => readdirSync(join(place, 'refused'));

describe('what is complete is published, told, and leaves', () => {
  test('a batch', async () => {
    put(tool, 'build-1');
    put(other, 'build-1');
    expect(await take()).toMatchObject([{ upload: 'build-1', component: CR, result: 'published', files: [{ file: basename(other), package: 'other-1-1.noarch', result: 'published' }, { file: basename(tool) }] }]); // prettier-ignore
    expect(published()).toEqual([basename(other), basename(tool)]);
    expect(incoming()).toEqual([]);
    expect(told('build-1')).toMatch(new RegExp(`^${CR}, build-1: published at [^]*published  ${basename(tool)}`));
    expect(JSON.parse(readFileSync(join(place, 'results/mos7.0-centos6/cr/build-1.json'), 'utf8'))).toMatchObject({ result: 'published', snapshot: expect.stringMatching(/^\d{8}T/) as string }); // prettier-ignore
  });

  test('nothing of a component that the account may not upload to any more', async () => {
    put(tool);
    mirror.write(`definitions/uploads/${account.id}.yaml`, { ...account, components: [`${CODENAME}/updates`] });
    expect(await take()).toEqual([]);
    expect(incoming()).toEqual([basename(tool)]);
  });

  test('files by themselves, of which one is refused', async () => {
    for (const file of [tool, other, unsigned]) put(file);
    const results = await take();
    expect(results.map(({ upload, result }) => `${result} ${upload}`).sort()).toEqual([
      `published ${basename(other)}`,
      `published ${basename(tool)}`,
      `refused ${basename(unsigned)}`,
    ]);
    expect(published()).toEqual([basename(other), basename(tool)]);
    expect(incoming()).toEqual([]);
    expect(told(basename(unsigned))).toMatch(/refused  unsigned-1-1.noarch.rpm: .*sign/);
    expect(readdirSync(join(place, 'refused', refused()[0] as string))).toEqual(['result.json', 'upload']);
  });

  test('the same again is skipped, which is as good', async () => {
    put(tool, 'build-1');
    await take();
    put(tool, 'build-1');
    const current = mirror.currentTarget(CR);
    expect(await take()).toMatchObject([{ result: 'published', files: [{ result: 'skipped' }] }]);
    expect(mirror.currentTarget(CR)).toBe(current);
    expect(incoming()).toEqual([]);
  });

  test('what a killed run published and did not remove', async () => {
    put(tool, 'build-1');
    const before = mirror.currentTarget(CR);
    const running = mirror.start('uploads', '--directory', uploads, 'take', account.id);
    while (mirror.currentTarget(CR) === before) await new Promise((resolve) => setTimeout(resolve, 2));
    running.kill();
    await running.done;
    const left = existsSync(join(cr, 'build-1'));
    const results = await take();
    if (left) expect(results).toMatchObject([{ upload: 'build-1', result: 'published', files: [{ result: 'skipped' }] }]);
    expect(incoming()).toEqual([]);
    expect(published()).toEqual([basename(tool)]);
    expect(told('build-1')).toContain('published');
  });
});

describe('a batch is all or nothing', () => {
  test('one that is unsigned holds up the others', async () => {
    put(tool, 'build-1');
    put(unsigned, 'build-1');
    const current = mirror.currentTarget(CR);
    const [result] = await take();
    expect(result).toMatchObject({ result: 'refused', files: [{ file: basename(tool), result: 'withheld' }, { result: 'refused' }] });
    expect(mirror.currentTarget(CR)).toBe(current);
    expect(incoming()).toEqual([]);
    expect(readdirSync(join(place, 'refused', refused()[0] as string, 'upload')).sort()).toEqual([basename(tool), basename(unsigned)]);
  });
  test('an older package', async () => {
    put(newer);
    await take();
    put(tool, 'older');
    expect(await take()).toMatchObject([{ result: 'refused', files: [{ code: 'PACKAGE_OLDER' }] }]);
    expect(published()).toEqual([basename(newer)]);
  });
});

describe('what is not complete is left alone', () => {
  test('by its name, or with nothing in it', async () => {
    put(tool, 'build-1.part');
    put(tool);
    renameSync(join(cr, basename(tool)), join(cr, `${basename(tool)}.filepart`));
    writeFileSync(join(cr, '.in.tool.rpm.'), 'x');
    mkdirSync(join(cr, 'soon'));
    expect(await take(24 * 60 * MINUTE)).toEqual([]);
    expect([...incoming()].sort()).toEqual(['.in.tool.rpm.', 'build-1.part', 'soon', `${basename(tool)}.filepart`]);
  });

  test('since it changes still, whatever time its client gave it; the run waits for it', async () => {
    const target = put(tool);
    utimesSync(target, 0, 0);
    const running = take(0);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(incoming()).toEqual([basename(tool)]);
    expect(published()).toEqual([]);
    while (incoming().length > 0) await new Promise((resolve) => setTimeout(resolve, 200));
    expect(published()).toEqual([basename(tool)]);
    await expect(running).resolves.toHaveLength(1);
  });

  test('since it is cut, for a quarter of an hour; then it is refused', async () => {
    const target = put(tool);
    truncateSync(target, 3000);
    expect(await take()).toEqual([]);
    expect(said.join()).toContain(`${basename(tool)} is cut or changes, and may still be on its way`);
    expect(incoming()).toEqual([basename(tool)]);
    expect(await take(16 * MINUTE)).toMatchObject([{ result: 'refused', files: [{ code: 'PACKAGE_CUT' }] }]);
    expect(incoming()).toEqual([]);
    put(tool);
    expect(await take()).toMatchObject([{ result: 'published' }]);
  });
});

describe('what is no package is refused, and nothing of it is followed', () => {
  const secret = join(work, 'secret.rpm');
  beforeAll(() => copyFileSync(unsigned, secret));
  test.each<[string, () => void, RegExp]>([
    ['a symbolic link', () => symlinkSync(secret, join(cr, 'link-1-1.noarch.rpm')), /symbolic link/],
    ['a link to a directory', () => symlinkSync(work, join(cr, 'batch')), /symbolic link/],
    [
      'a link in a batch',
      () => {
        put(tool, 'batch');
        symlinkSync(secret, join(cr, 'batch/link-1-1.noarch.rpm'));
      },
      /link-1-1.noarch.rpm: it is a symbolic link/,
    ],
    ['a hard link', () => linkSync(secret, join(cr, 'hard-1-1.noarch.rpm')), /second name/],
    ['a pipe', () => execFileSync('mkfifo', [join(cr, 'pipe-1-1.noarch.rpm')]), /no regular file/],
    ['a directory in a batch', () => put(tool, 'batch', 'deeper'), /directory in a directory/],
    ['another file', () => writeFileSync(join(cr, 'README.md'), 'x'), /not that of a package/],
    [
      'another file in a batch',
      () => {
        put(tool, 'batch');
        writeFileSync(join(cr, 'batch/SHA256SUMS'), 'x');
      },
      /SHA256SUMS: its name/,
    ],
    ['a name with a line break', () => writeFileSync(join(cr, 'a\nb-1-1.noarch.rpm'), 'x'), /not that of a package/],
    [
      'a name that is no text',
      () => writeFileSync(Buffer.concat([Buffer.from(`${cr}/`), Buffer.from([0xff, 0xfe]), Buffer.from('.rpm')]), 'x'),
      /not that of a package/,
    ],
    ['a name that looks like an option', () => writeFileSync(join(cr, '-rf.rpm'), 'x'), /not that of a package/],
    ['a batch with an odd name', () => put(tool, 'a batch'), /name of a batch/],
    ['a text that is called a package', () => writeFileSync(join(cr, 'text-1-1.noarch.rpm'), 'x'.repeat(200)), /no RPM package/],
    ['another name than its own', () => copyFileSync(tool, join(cr, 'tool-9-1.noarch.rpm')), /tool-1-1/],
  ])('%s', async (_what, upload, words) => {
    upload();
    const current = mirror.currentTarget(CR);
    const results = await take();
    expect(results).toMatchObject([{ result: 'refused' }]);
    expect(JSON.stringify(results)).toMatch(words);
    expect(incoming()).toEqual([]);
    expect(refused()).toHaveLength(1);
    expect(mirror.currentTarget(CR)).toBe(current);
    expect(existsSync(secret)).toBe(true);
    expect(readdirSync(join(place, 'results/mos7.0-centos6/cr'))).toHaveLength(2);
  });

  test('a batch of too many files', async () => {
    mkdirSync(join(cr, 'many'));
    for (let number = 0; number <= 5000; number++) writeFileSync(join(cr, 'many', `p-${number}-1.noarch.rpm`), '');
    expect(await take()).toMatchObject([
      { upload: 'many', result: 'refused', files: [{ message: expect.stringContaining('more than 5000') as string }] },
    ]);
  });

  test('a batch of too many bytes', async () => {
    mkdirSync(join(cr, 'large'));
    for (const name of ['a', 'b']) {
      const file = join(cr, 'large', `${name}-1-1.noarch.rpm`);
      writeFileSync(file, '');
      truncateSync(file, 9 * 1024 ** 3);
    }
    expect(await take()).toMatchObject([
      { upload: 'large', result: 'refused', files: [{ message: expect.stringContaining('a batch has at most 16') as string }] },
    ]);
  });

  test('as many files as one call takes are published together', () => {
    const sizes = [5, 6, 5, 20, 1, 9].map((bytes) => ({ bytes }));
    expect(portionsOf(sizes, 16).map((portion) => portion.map(({ bytes }) => bytes))).toEqual([[5, 6, 5], [20], [1, 9]]);
    expect(portionsOf([], 16)).toEqual([]);
  });

  test('each of many files that lie by themselves', async () => {
    for (let number = 0; number < 1100; number++) writeFileSync(join(cr, `note-${number}`), '');
    put(tool);
    const results = await take();
    expect(results.filter(({ result }) => result === 'refused')).toHaveLength(1100);
    expect(published()).toEqual([basename(tool)]);
    expect(incoming()).toEqual([]);
  });
});

describe('what hinders a run leaves everything where it is', () => {
  test.each<[string, () => void, string]>([
    ['no disk', () => rmSync(join(mirror.root, '.mirror-data')), 'NOT_MOUNTED'],
    [
      'a disk that is too full',
      () =>
        mirror.write('definitions/server.yaml', {
          kind: 'server',
          storageRoot: mirror.root,
          ownMount: false,
          diskGuard: { stopAtPercent: 1 },
        }),
      'DISK_GUARD',
    ],
    ['no signing key', () => rmSync(join(mirror.configuration, 'secrets/signing-key')), 'SIGNING_KEY_UNREADABLE'],
    ['no place', () => rmSync(place, { recursive: true }), 'NO_UPLOADS'],
  ])('%s', async (_what, harm, code) => {
    put(tool, 'build-1');
    harm();
    expect(await rejected(() => take())).toMatchObject({ code });
    if (code !== 'NO_UPLOADS') {
      expect(incoming()).toEqual(['build-1']);
      expect(refused()).toEqual([]);
    }
    expect(published()).toEqual([]);
  });

  test('what is declared otherwise refuses, since waiting does not help', async () => {
    mirror.codename(CODENAME, { keys: [] });
    put(tool, 'build-1');
    expect(await take()).toMatchObject([{ result: 'refused', files: [{ code: 'NO_KEYS' }] }]);
  });

  test('results that cannot be written keep nobody from publishing', async () => {
    put(tool, 'build-1');
    rmSync(join(place, 'results'), { recursive: true });
    writeFileSync(join(place, 'results'), '');
    await take();
    expect(published()).toEqual([basename(tool)]);
    expect(incoming()).toEqual([]);
    expect(said.join()).toContain('cannot be told to acme-build');
  });
});

describe('what operators see', () => {
  const run = (...argv: string[]) => mirror.run('uploads', '--directory', uploads, ...argv);

  test('what waits, and what was refused and why', async () => {
    put(unsigned);
    await take();
    put(tool, 'build-2');
    put(other, 'build-3.part');
    const { stdout, code } = await run();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^acme-build \(acme\): 2 waiting, 1 refused within 30 days\n/);
    expect(stdout).toMatch(new RegExp(`  waits  ${CR}  build-2 \\(one file, .*\\), unchanged since 20`));
    expect(stdout).toContain(`  arriving  ${CR}  build-3.part`);
    expect(stdout).toMatch(/refused {2}\S+ {2}unsigned-1-1.noarch.rpm at .*; it is in [^]*\n {4}unsigned-1-1.noarch.rpm: .*sign/);
    expect(JSON.parse((await run('list', '--json')).stdout)).toMatchObject({ accounts: [{ account: 'acme-build', waiting: [{ state: 'waits' }, { state: 'arriving' }], refused: [{ result: 'refused' }] }] }); // prettier-ignore
  });

  test('an alert when something complete stays', async () => {
    put(tool, 'build-2');
    const definitions = await readDefinitions(mirror.configuration);
    const layout = new Layout(mirror.root, mirror.state, definitions.directory);
    const check = async (later: number) =>
      (await health(layout, definitions, new Date(Date.now() + later), '/nonexistent', uploads)).checks.find(
        ({ name }) => name === 'uploads',
      );
    expect(await check(0)).toMatchObject({ verdict: 'ok' });
    expect(await check(61 * MINUTE)).toMatchObject({ verdict: 'alert', text: expect.stringContaining('build-2 of acme-build') as string });
    expect(uploadLines(await listUploads({ uploads: [] }, uploads))).toEqual([expect.stringContaining('declare an UploadAccount')]);
  });

  test('an account that is not declared', async () => {
    const { code, stderr } = await run('take', 'nobody');
    expect(code).toBe(2);
    expect(stderr).toMatch(/no account "nobody" uploads to this server\n.*acme-build/);
  });

  test('what was refused goes after 30 days, with the results', async () => {
    put(unsigned);
    await take();
    const old = new Date(Date.now() - 31 * 24 * 3_600_000);
    utimesSync(join(place, 'refused', refused()[0] as string), old, old);
    for (const name of readdirSync(join(place, 'results/mos7.0-centos6/cr')))
      utimesSync(join(place, 'results/mos7.0-centos6/cr', name), old, old);
    await take();
    expect(refused()).toEqual([]);
    expect(readdirSync(join(place, 'results/mos7.0-centos6/cr'))).toEqual([]);
  });
});
