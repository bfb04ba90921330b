import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describeChanges, MAX_RECORDS, readChanges, recordChanges } from '../../content/change-records';
import { changeRecord, ChangeRecordSchema, changesBetween, type PackageVersion } from '../../content/changes';
import { changeLine, cveLines, parseSince } from '../../content/changes-command';
import { Layout } from '../../content/layout';
import { nevra } from '../../rpm-metadata/nevra';
import { compareEvr } from '../../rpm-metadata/version';
import { TestMirror } from './support/mirror';

jest.setTimeout(60_000);

/** `name-epoch:version-release.arch`, and `#x` for another content. */
function item(text: string): PackageVersion {
  const [, name, epoch, version, release, arch, content] = /^(.+)-(?:(\d+):)?([^-]+)-([^-]+)\.([^.#]+)(?:#(.*))?$/.exec(
    text,
  ) as RegExpExecArray;
  const hex = Buffer.from(text).toString('hex');
  return {
    name: name as string,
    epoch: epoch ?? '0',
    version: version as string,
    release: release as string,
    arch: arch as string,
    checksum: { algorithm: content === 'sha1' ? 'sha1' : 'sha256', hex },
  };
}
const between = (before: readonly string[], after: readonly string[]): object => {
  const { added, updated, removed } = changesBetween(before.map(item), after.map(item));
  return {
    added: added.map(nevra),
    updated: updated.map((update) => `${nevra(update.before)} → ${nevra(update.after)}`),
    removed: removed.map(nevra),
  };
};

test.each<[string, string[], string[], object]>([
  ['nothing', ['a-1-1.noarch'], ['a-1-1.noarch'], {}],
  ['the first', [], ['b-1-1.noarch', 'a-1-1.noarch'], { added: ['a-1-1.noarch', 'b-1-1.noarch'] }],
  [
    'names one by one',
    ['c-1-1.noarch'],
    ['foo-libs-1-1.i686', 'foo-1-1.x86_64', 'a-1-1.noarch', 'foo-1-1.i686'],
    { added: ['a-1-1.noarch', 'foo-1-1.i686', 'foo-1-1.x86_64', 'foo-libs-1-1.i686'], removed: ['c-1-1.noarch'] },
  ],
  ['an update that replaces', ['a-1-1.noarch'], ['a-2-1.noarch'], { updated: ['a-1-1.noarch → a-2-1.noarch'] }],
  ['an update beside the old one', ['a-1-1.noarch'], ['a-1-1.noarch', 'a-2-1.noarch'], { updated: ['a-1-1.noarch → a-2-1.noarch'] }],
  ['versions as rpm compares them', ['a-9-1.noarch'], ['a-10-1.noarch', 'a-9-1.noarch'], { updated: ['a-9-1.noarch → a-10-1.noarch'] }],
  ['a new epoch', ['a-9-1.noarch'], ['a-1:1-1.noarch'], { updated: ['a-9-1.noarch → a-1:1-1.noarch'] }],
  [
    'two new versions at once',
    ['a-1-1.noarch'],
    ['a-1-1.noarch', 'a-2-1.noarch', 'a-3-1.noarch'],
    { updated: ['a-1-1.noarch → a-3-1.noarch'], added: ['a-2-1.noarch'] },
  ],
  ['an older version that comes back', ['a-2-1.noarch'], ['a-1-1.noarch', 'a-2-1.noarch'], { added: ['a-1-1.noarch'] }],
  ['old versions that are purged', ['a-1-1.noarch', 'a-2-1.noarch'], ['a-2-1.noarch'], { removed: ['a-1-1.noarch'] }],
  ['a withdrawn version', ['a-1-1.noarch', 'a-2-1.noarch'], ['a-1-1.noarch'], { removed: ['a-2-1.noarch'] }],
  ['a downgrade', ['a-2-1.noarch'], ['a-1-1.noarch'], { updated: ['a-2-1.noarch → a-1-1.noarch'] }],
  [
    'an update and a purge',
    ['a-1-1.noarch', 'a-2-1.noarch'],
    ['a-2-1.noarch', 'a-3-1.noarch'],
    { updated: ['a-2-1.noarch → a-3-1.noarch'], removed: ['a-1-1.noarch'] },
  ],
  ['other content', ['a-1-1.noarch'], ['a-1-1.noarch#x'], { updated: ['a-1-1.noarch → a-1-1.noarch'] }],
  ['another algorithm', ['a-1-1.noarch#sha1'], ['a-1-1.noarch'], {}],
  ['another architecture', ['a-1-1.x86_64'], ['a-1-1.i686'], { added: ['a-1-1.i686'], removed: ['a-1-1.x86_64'] }],
  ['other spelling of a version', ['a-1.0-1.noarch'], ['a-1.00-1.noarch'], { updated: ['a-1.0-1.noarch → a-1.00-1.noarch'] }],
])('%s', (_name, before, after, expected) => {
  expect(between(before, after)).toEqual({ added: [], updated: [], removed: [], ...expected });
});

test('every package that came or went is told once, and nothing else', () => {
  const packages = fc.uniqueArray(
    fc
      .tuple(
        fc.constantFrom('a', 'b'),
        fc.constantFrom('1', '1.0', '2~rc', '2', '10'),
        fc.constantFrom('noarch', 'i686'),
        fc.constantFrom('', '#x'),
      )
      .map(([name, version, arch, content]) => `${name}-${version}-1.${arch}${content}`),
    { selector: (text) => text.split('#')[0] },
  );
  fc.assert(
    fc.property(packages, packages, (before, after) => {
      const old = before.map(item);
      const now = after.map(item);
      const { added, updated, removed } = changesBetween(old, now);
      const keys = (items: readonly PackageVersion[]): string[] => items.map(nevra).sort();
      const oldKeys = keys(old);
      const nowKeys = keys(now);
      const came = [...added, ...updated.map((u) => u.after)];
      const gone = [...removed, ...updated.map((u) => u.before)];
      expect(new Set(came).size).toBe(came.length);
      // What is there only now has come; what was there only before has gone.
      expect(keys(came)).toEqual(expect.arrayContaining(nowKeys.filter((key) => !oldKeys.includes(key))));
      expect(keys(gone)).toEqual(expect.arrayContaining(oldKeys.filter((key) => !nowKeys.includes(key))));
      for (const each of added) expect(oldKeys).not.toContain(nevra(each));
      for (const each of removed) expect(nowKeys).not.toContain(nevra(each));
      for (const { before: from, after: to } of updated) {
        expect([from.name, from.arch]).toEqual([to.name, to.arch]);
        if (nevra(from) === nevra(to)) expect(from.checksum.hex).not.toBe(to.checksum.hex);
        else {
          const rest = now.filter(({ name, arch }) => name === to.name && arch === to.arch);
          expect(rest.every((other) => compareEvr(other, to) <= 0)).toBe(true);
        }
      }
      expect(changesBetween(now, now)).toEqual({ added: [], updated: [], removed: [] });
    }),
  );
});

const publish = {
  id: 'epel-7',
  at: new Date('2026-11-22T03:10:00Z'),
  from: '20261121T031000Z-aaaaaaaaaaaa',
  to: '20261122T031000Z-bbbbbbbbbbbb',
};

test('a record is bounded, and its counts are of everything', () => {
  const many = Array.from({ length: 1200 }, (_, i) => item(`p${i}-1-1.noarch`));
  const fixes = Array.from({ length: 700 }, (_, i) => ({
    name: `CVE-2026-${10_000 + i}`,
    packages: Array.from({ length: 90 }, (_unused, k) => `p${k} 1-1`),
    advisory: 'A',
  }));
  const record = changeRecord(publish, { added: many, updated: many.map((p) => ({ before: p, after: p })), removed: many }, fixes);
  expect(record.counts).toEqual({ added: 1200, updated: 1200, removed: 1200, cves: 700 });
  expect([record.added, record.updated, record.removed, record.cves].map((list) => list.length)).toEqual([500, 500, 500, 500]);
  expect(record.cves[0]?.packages).toHaveLength(50);
  expect(record.truncated).toBe(true);
  expect(ChangeRecordSchema.parse(JSON.parse(JSON.stringify(record)))).toEqual(record);
});

test('a small record is whole', () => {
  const update = { before: item('bind-32:9.11-1.x86_64'), after: item('bind-32:9.11-2.x86_64') };
  expect(changeRecord(publish, { added: [item('a-1-1.noarch')], updated: [update], removed: [] }, [])).toEqual({
    version: 1,
    id: 'epel-7',
    at: '2026-11-22T03:10:00.000Z',
    from: publish.from,
    to: publish.to,
    added: ['a-1-1.noarch'],
    updated: [{ package: 'bind.x86_64', from: '32:9.11-1', to: '32:9.11-2' }],
    removed: [],
    cves: [],
    counts: { added: 1, updated: 1, removed: 0, cves: 0 },
  });
});

test('metadata that cannot be read holds up no publish, and the record says so', async () => {
  const broken = { packages: [item('a-1-1.noarch')], updateinfo: [{ path: '/dev/null', what: 'updateinfo.xml' }], other: [] };
  const record = await describeChanges(publish, broken, { ...broken, packages: [item('a-2-1.noarch')] });
  expect(record).toMatchObject({ counts: { updated: 1 }, cves: [], cvesUnknown: expect.stringContaining('updateinfo.xml: ') });
  expect(changeLine(record)).toMatch(/: 0 added, 1 updated, 0 removed; CVEs are not known: updateinfo\.xml: /);
});

describe('lines', () => {
  const record = changeRecord(publish, { added: [], updated: [], removed: [] }, [
    { name: 'CVE-2024-1234', packages: ['bind 9.11.4-26.P2.el7_9.16', 'bind-libs 9.11.4-26.P2.el7_9.16'], advisory: 'A-1' },
    { name: 'CVE-2024-1234', packages: ['bind 9.11.4-26.P2.el7_9.16'], advisory: 'A-2' },
    { name: 'CVE-2024-9', packages: ['x 1-1'] },
  ]);

  test('one for a publish', () => {
    expect(changeLine(record)).toBe(
      '2026-11-22 03:10 epel-7: 0 added, 0 updated, 0 removed; fixes CVE-2024-1234 (bind 9.11.4-26.P2.el7_9.16 and 1 more), CVE-2024-9 (x 1-1)',
    );
    const first = changeRecord({ ...publish, from: undefined }, { added: [], updated: [], removed: [] }, []);
    expect(changeLine({ ...first, counts: { ...first.counts, added: 7 } })).toBe('2026-11-22 03:10 epel-7: first publish, 7 packages');
  });

  test('many are counted', () => {
    const fixes = Array.from({ length: 12 }, (_, i) => ({ name: `CVE-2026-${10_000 + i}`, packages: ['x 1-1'] }));
    expect(changeLine(changeRecord(publish, { added: [], updated: [], removed: [] }, fixes))).toMatch(
      /CVE-2026-10009 \(x 1-1\) and 2 more$/,
    );
  });

  test('one for a CVE', () => {
    expect(cveLines(record)).toEqual([
      '2026-11-22 03:10 epel-7: CVE-2024-1234 (bind 9.11.4-26.P2.el7_9.16 and 1 more), A-1',
      '2026-11-22 03:10 epel-7: CVE-2024-1234 (bind 9.11.4-26.P2.el7_9.16), A-2',
      '2026-11-22 03:10 epel-7: CVE-2024-9 (x 1-1)',
    ]);
  });
});

test.each<[string, string]>([
  ['2026-11-22', '2026-11-22T00:00:00.000Z'],
  ['2026-11-22T03:10', '2026-11-22T03:10:00.000Z'],
  ['2026-11-22 03:10:59Z', '2026-11-22T03:10:59.000Z'],
])('--since %s', (text, iso) => {
  expect(parseSince(text).toISOString()).toBe(iso);
});

test.each(['', 'yesterday', '2026-13-01', '2026-02-30', '2026-11-22T25:00', '22.11.2026', '2026-11-22T03:10+01:00', '-1'])(
  '--since %j is refused',
  (text) => {
    let error: unknown;
    try {
      parseSince(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'USAGE', exitCode: 2, remedy: 'Write 2026-11-22 or 2026-11-22T03:10, in UTC.' });
  },
);

describe('records on disk', () => {
  let directory: string;
  let layout: Layout;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'changes-'));
    layout = new Layout(join(directory, 'root'), join(directory, 'state'), directory);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const name = (day: number): string =>
    `${new Date(Date.UTC(2026, 0, day, 3)).toISOString().slice(0, 13).replaceAll('-', '')}0000Z-0123456789ab`;
  const record = (day: number, from: number | undefined): ReturnType<typeof changeRecord> =>
    changeRecord(
      { id: 'a', at: new Date(Date.UTC(2026, 0, day, 3)), from: from === undefined ? undefined : name(from), to: name(day) },
      { added: [], updated: [], removed: [] },
      [],
    );
  function publishDay(day: number): void {
    mkdirSync(join(layout.snapshots('a'), name(day)), { recursive: true });
    rmSync(layout.current('a'), { force: true });
    symlinkSync(`snapshots/${name(day)}`, layout.current('a'));
  }
  const days = async (since?: Date): Promise<string[]> => (await readChanges(layout, 'a', since)).map(({ to }) => to);

  test('are read oldest first, since a time', async () => {
    expect(await days()).toEqual([]);
    for (const day of [1, 2, 3]) await recordChanges(layout, 'a', record(day, day === 1 ? undefined : day - 1));
    publishDay(3);
    expect(await days()).toEqual([name(1), name(2), name(3)]);
    expect(await days(new Date('2026-01-02T03:00:00Z'))).toEqual([name(2), name(3)]);
  });

  test('of a publish that did not happen is not told, and goes with the next one', async () => {
    await recordChanges(layout, 'a', record(1, undefined));
    publishDay(1);
    await recordChanges(layout, 'a', record(2, 1));
    expect(await days()).toEqual([name(1)]);
    await recordChanges(layout, 'a', record(3, 1));
    publishDay(3);
    expect(await days()).toEqual([name(1), name(3)]);
    expect(readdirSync(layout.changes('a'))).toHaveLength(2);
    // The same record once more changes nothing.
    await recordChanges(layout, 'a', record(3, 1));
    expect(await days()).toEqual([name(1), name(3)]);
  });

  test('half a record of a run that died goes with the next one', async () => {
    mkdirSync(layout.changes('a'), { recursive: true });
    writeFileSync(join(layout.changes('a'), `${name(1)}.json.new`), '{"ver');
    await recordChanges(layout, 'a', record(2, undefined));
    expect(readdirSync(layout.changes('a'))).toEqual([`${name(2)}.json`]);
  });

  test(`only the newest ${MAX_RECORDS} are kept`, async () => {
    mkdirSync(layout.changes('a'), { recursive: true });
    for (let day = 1; day <= MAX_RECORDS + 3; day++)
      writeFileSync(join(layout.changes('a'), `${name(day)}.json`), JSON.stringify(record(day, day - 1)));
    await recordChanges(layout, 'a', record(MAX_RECORDS + 4, MAX_RECORDS + 3));
    const left = readdirSync(layout.changes('a')).sort();
    expect(left).toHaveLength(MAX_RECORDS);
    expect(left[0]).toBe(`${name(5)}.json`);
  });

  test('one that is damaged is named, and hides none of the others', async () => {
    await recordChanges(layout, 'a', record(1, undefined));
    await recordChanges(layout, 'a', record(2, 1));
    publishDay(2);
    writeFileSync(join(layout.changes('a'), `${name(1)}.json`), '{"ver');
    const said: string[] = [];
    const read = await readChanges(layout, 'a', undefined, (line) => said.push(line));
    expect(read.map(({ to }) => to)).toEqual([name(2)]);
    expect(said).toEqual([expect.stringMatching(new RegExp(`${name(1)}\\.json is not a record[^]*Remove the file`))]);
  });

  test('of a component with slashes in its id stay below the directory', async () => {
    await recordChanges(layout, 'acme/mos7.0/os', { ...record(1, undefined), id: 'acme/mos7.0/os' });
    expect(existsSync(join(layout.state, 'changes/acme+mos7.0+os', `${name(1)}.json`))).toBe(true);
  });
});

describe('mirrorctl changes', () => {
  let mirror: TestMirror;
  beforeEach(() => {
    mirror = new TestMirror();
    for (const id of ['centos-7-updates', 'epel-7']) mirror.repository(id, ['http://127.0.0.1:1/']);
  });
  afterEach(() => mirror.remove());

  async function published(id: string, day: number, added: string[], cve?: string): Promise<void> {
    const layout = new Layout(mirror.root, mirror.state, mirror.configuration);
    const to = `2026112${day}T031000Z-0123456789ab`;
    const before = day === 1 ? undefined : `2026112${day - 1}T031000Z-0123456789ab`;
    const changes = { added: added.map(item), updated: [], removed: [] };
    const cves = cve === undefined ? [] : [{ name: cve, packages: ['bind 9.11.4-26.P2.el7_9.16'], advisory: 'A-1' }];
    await recordChanges(layout, id, changeRecord({ id, at: new Date(`2026-11-2${day}T03:10:00Z`), from: before, to }, changes, cves));
    mkdirSync(join(layout.snapshots(id), to), { recursive: true });
    rmSync(layout.current(id), { force: true });
    symlinkSync(`snapshots/${to}`, layout.current(id));
  }

  test('prints what is recorded, by time; of some repositories; since a day; CVEs alone; as JSON', async () => {
    expect(await mirror.run('changes')).toEqual({ code: 0, stdout: 'nothing is recorded\n', stderr: '' });
    await published('epel-7', 1, ['a-1-1.noarch']);
    await published('centos-7-updates', 1, ['b-1-1.noarch']);
    await published('epel-7', 2, ['c-1-1.noarch'], 'CVE-2024-1234');
    const lines = [
      '2026-11-21 03:10 centos-7-updates: first publish, 1 packages',
      '2026-11-21 03:10 epel-7: first publish, 1 packages',
      '2026-11-22 03:10 epel-7: 1 added, 0 updated, 0 removed; fixes CVE-2024-1234 (bind 9.11.4-26.P2.el7_9.16)',
    ];
    expect((await mirror.run('changes')).stdout).toBe(`${lines.join('\n')}\n`);
    expect((await mirror.run('changes', 'epel-7')).stdout).toBe(`${lines[1]}\n${lines[2]}\n`);
    expect((await mirror.run('changes', '--since', '2026-11-22')).stdout).toBe(`${lines[2]}\n`);
    expect((await mirror.run('changes', '--cves')).stdout).toBe(
      '2026-11-22 03:10 epel-7: CVE-2024-1234 (bind 9.11.4-26.P2.el7_9.16), A-1\n',
    );
    expect((await mirror.run('changes', 'centos-7-updates', '--cves')).stdout).toBe('no publish that fixes a CVE is recorded\n');
    expect(JSON.parse((await mirror.run('changes', '--json', 'epel-7', '--since', '2026-11-22T03:00')).stdout)).toEqual({
      publishes: [
        expect.objectContaining({ id: 'epel-7', added: ['c-1-1.noarch'], cves: [expect.objectContaining({ name: 'CVE-2024-1234' })] }),
      ],
    });
  });

  test.each([
    [['changes', 'nobody'], /"nobody" is not declared on this server/],
    [
      ['changes', 'installer'],
      /installer is no repository: it has no packages of which changes are recorded\n {2}mirrorctl status installer says/,
    ],
    [['changes', '--since', 'yesterday'], /--since "yesterday" is no day and no time\n {2}Write 2026-11-22/],
    [['changes', '--sinse', '2026-11-22'], /unknown option '--sinse'/],
    [['changes', '--since'], /argument missing/],
  ])('%j is a usage error', async (argv, message) => {
    mirror.tree('installer', ['http://127.0.0.1/']);
    const ran = await mirror.run(...argv);
    expect(ran).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
    expect(ran.stderr).not.toMatch(/^\s+at /m);
  });
});
