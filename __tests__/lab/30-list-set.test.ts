/**
 * All of r/stx.3.0, by the mirror and by the tool: 2,200 packages of the real names, tarballs and the installer, from every source, with both sides whole,
 * broken and away. What arrives is byte for byte what upstream has; what does not is listed, and the exit code says so.
 */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type ListSet, readListSet } from '../../lab/list-set';
import { declaredRepositories, describeWithLists, developer, differences, expectedOf, LIST_SET } from './lists-support';
import { adding, asItIs, fetchPath, type Finished, lab, NAME, onMirror, ROOT, tryOnMirror, withDeployment } from './support';

jest.setTimeout(600_000);

interface Report {
  readonly exitCode: number;
  readonly seconds: number;
  readonly files: { readonly wanted: number; readonly present: number; readonly fetched: number; readonly failed: number };
  readonly problems: readonly { readonly place: string; readonly message: string }[];
  readonly results: readonly {
    readonly file: string;
    readonly status: string;
    readonly url?: string;
    readonly failures?: readonly { readonly code: string }[];
  }[];
}

const work = mkdtempSync(join(tmpdir(), 'mirror-list-set-'));
const COPIES = ['stx-3.0', 'stx-3.0-tarballs', 'stx-3.0-installer'];
let set: ListSet;
let places: { readonly www: string; readonly keys: string };
let expected: Map<string, readonly string[]>;
/** What the upstreams serve now. */
let www: string;

/** main.ts with the real lists in the place of its own, and the repositories that their packages come from. */
const whole = (main: string): string =>
  adding(declaredRepositories(set, places.keys))(main.replaceAll(/'lists\/stx-3\.0\//g, `'${LIST_SET}/`));

/** The tool on the client host. */
function download(mode: string, output: string, ...more: string[]): Finished & { report: Report } {
  const report = join(work, 'report.json');
  rmSync(report, { force: true });
  const done = developer(work, work, [
    process.execPath, join(ROOT, 'dist/download-mirror.cjs'), mode, '--branch', '3.0', '--output', output, '--report', report, '--timeout', '5',
    ...(mode === '-u' ? [] : ['--mirror', `http://${NAME}`, '--key', join(work, 'RPM-GPG-KEY-mirror')]),
    ...(mode === '-s' ? [] : ['--keys', places.keys, '--first-sight']),
    ...more,
  ]); // prettier-ignore
  if (!existsSync(report)) throw new Error(`${mode}: no report: ${done.text.slice(-3000)}`);
  return { ...done, report: JSON.parse(readFileSync(report, 'utf8')) as Report };
}

/** Everything is there, byte for byte; otherwise says what is not. */
function expectWhole(done: Finished & { report: Report }, output: string): void {
  expect([done.status, done.status === 0 ? '' : done.text.slice(-3000)]).toEqual([0, '']);
  expect(differences(output, expected)).toEqual([]);
  expect(done.report.files).toMatchObject({ wanted: expected.size, failed: 0 });
}

/** How many came from the mirror, and how many from upstreams. */
function sides({ results }: Report): { mirror: number; upstream: number } {
  const of = results.filter(({ status }) => status === 'fetched').map(({ url }) => new URL(url as string).hostname === NAME);
  return { mirror: of.filter((own) => own).length, upstream: of.filter((own) => !own).length };
}

const failed = ({ results }: Report): string[] => results.filter(({ status }) => status === 'failed').map(({ file }) => basename(file)).sort(); // prettier-ignore

/** Runs with files damaged or gone wherever the mirror serves them, behind its back: content in its store stays as it is. */
function brokenOnMirror<T>(files: readonly string[], work: () => T): T {
  const trees = '/srv/mirror/repositories/*/current/';
  const damage = 'mv "$f" "$f.kept"; head -c $(stat -c %s "$f.kept") /dev/urandom > "$f"; chmod 644 "$f"';
  const each = files.map((name, index) => `find ${trees} -name '${name}' | while read -r f; do ${index % 2 === 0 ? damage : 'mv "$f" "$f.kept"'}; done`); // prettier-ignore
  // nginx keeps files open.
  onMirror(`${each.join('; ')}; systemctl restart nginx`);
  try {
    return work();
  } finally {
    onMirror(`find ${trees} -name '*.kept' | while read -r f; do mv -f "$f" "\${f%.kept}"; done; systemctl restart nginx`);
  }
}

/** The same at the upstreams; their files are links into the cache, so other files take their names. */
function brokenUpstream<T>(files: readonly string[], work: () => T): T {
  const paths = files.flatMap((file) => placesUpstream(file));
  paths.forEach((path, index) => {
    renameSync(path, `${path}.kept`);
    if (index % 2 === 0) writeFileSync(path, Buffer.alloc(statSync(`${path}.kept`).size, 'x'));
  });
  try {
    return work();
  } finally {
    for (const path of paths) renameSync(`${path}.kept`, path);
  }
}

/** Runs with the mirror, or upstream hosts, away. */
function without<T>(what: string, work: () => T): T {
  if (what === 'mirror') onMirror('systemctl stop nginx');
  else lab('upstream', 'down', what);
  try {
    return work();
  } finally {
    if (what === 'mirror') onMirror('systemctl start nginx');
    else lab('upstream', 'up', what);
  }
}

/** Where upstreams have a package. */
function placesUpstream(file: string): string[] {
  const { at } = set.packages.find((p) => p.file === file) as ListSet['packages'][number];
  return at.map((url) => {
    const base = join(www, new URL(url).hostname, decodeURIComponent(new URL(url).pathname));
    return set.repositories.has(url) ? join(base, url.includes('/Source') ? 'SPackages' : 'Packages', file) : base;
  });
}

describeWithLists('the list set r/stx.3.0', () => {
  let bash: string;
  let some: readonly string[];

  beforeAll(async () => {
    set = readListSet(LIST_SET);
    lab('up');
    places = JSON.parse(lab('upstream', 'list-set', LIST_SET)) as typeof places;
    www = join((JSON.parse(lab('status', '--json')) as { state: string }).state, 'upstream/www');
    expected = expectedOf(set, www);
    await withDeployment(whole, (deployment) => deployment.deploy());
    onMirror('mirrorctl sync --wait 300 --all');
    writeFileSync(join(work, 'RPM-GPG-KEY-mirror'), (await fetchPath('/RPM-GPG-KEY-mirror')).body);
    some = set.packages.filter((p) => p.at.length === 1 && p.at[0]?.includes('7.5.1804/os')).slice(0, 6).map((p) => p.file); // prettier-ignore
    bash = set.packages.find((p) => p.file.startsWith('bash-4'))?.file as string;
  });
  afterAll(async () => {
    lab('upstream', 'restore');
    await withDeployment(asItIs, (deployment) => deployment.deploy());
    onMirror(`cd /srv/mirror/repositories && rm -rf listed-* ${COPIES.join(' ')}; mirrorctl sync --wait 300 ${COPIES.join(' ')}`);
    rmSync(work, { recursive: true });
  });

  test('the mirror has all of it', () => {
    const status = JSON.parse(onMirror(`mirrorctl status --json ${COPIES.join(' ')}`)) as {
      repositories: { id: string; result: string }[];
    };
    expect(status.repositories.map(({ id, result }) => [id, result]).sort()).toEqual([...COPIES].sort().map((id) => [id, 'published']));
  });

  test('-s: all of it comes from the mirror, with every upstream away; a second run asks for no file', () => {
    const output = join(work, 'mirror');
    without('all', () => {
      const done = download('-s', output);
      expectWhole(done, output);
      expect(sides(done.report)).toEqual({ mirror: expected.size, upstream: 0 });
      const requests = (): number => Number(onMirror('cat /var/log/nginx/access.log | wc -l'));
      const before = requests();
      const again = download('-s', output);
      expect([again.status, again.report.files]).toEqual([0, { ...done.report.files, present: expected.size, fetched: 0 }]);
      expect(requests() - before).toBeLessThan(20);
    });
  });

  test('-u: all of it comes from upstreams, with the mirror away', () => {
    const output = join(work, 'upstream');
    const done = without('mirror', () => download('-u', output, '--lists', LIST_SET));
    expectWhole(done, output);
    expect(sides(done.report)).toEqual({ mirror: 0, upstream: expected.size });
  });

  test('-S: what is broken on the mirror comes from upstream, each file by itself', () => {
    const output = join(work, 'mirror-first');
    const done = brokenOnMirror(some, () => download('-S', output, '--lists', LIST_SET));
    expectWhole(done, output);
    expect(sides(done.report)).toEqual({ mirror: expected.size - some.length, upstream: some.length });
  });

  test('-U: what is broken upstream, or whose upstream is away, comes from the mirror', () => {
    const output = join(work, 'upstream-first');
    const done = brokenUpstream(some, () => without('www.rpmfind.net', () => download('-U', output, '--lists', LIST_SET)));
    expectWhole(done, output);
    const away = set.packages.filter((p) => p.at[0]?.includes('rpmfind')).length;
    expect(sides(done.report).mirror).toBeGreaterThanOrEqual(away + some.length);
    // One unreachable repository of 140 costs that repository.
    expect(sides(done.report).upstream).toBeGreaterThan(1900);
    expect(done.text).toContain('www.rpmfind.net');
  });

  describe('a few packages', () => {
    /** A directory of lists like the real one, with these packages alone. */
    const listing = (...files: string[]): string => {
      const directory = join(work, 'few');
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory);
      cpSync(join(LIST_SET, 'yum.repos.d'), join(directory, 'yum.repos.d'), { recursive: true });
      writeFileSync(join(directory, 'rpms_centos.lst'), files.map((file) => `${file}\n`).join(''));
      return directory;
    };
    const fresh = (): string => {
      rmSync(join(work, 'out'), { recursive: true, force: true });
      return join(work, 'out');
    };

    test('broken on both sides: just those are missing, and named', () => {
      const broken = some.slice(0, 2).sort();
      const done = brokenOnMirror(broken, () => brokenUpstream(broken, () => download('-S', fresh(), '--lists', listing(...some))));
      expect(failed(done.report)).toEqual(broken);
      expect([done.status, done.report.files.fetched]).toEqual([done.report.exitCode, some.length - 2]);
      expect(done.status).not.toBe(0);
      for (const file of broken) expect(done.text).toContain(file);
      // Once both are mended, the next run has the rest.
      expect(download('-S', join(work, 'out'), '--lists', listing(...some)).report.files).toMatchObject({ fetched: 2, failed: 0 });
    });

    test('the mirror alone, broken: nothing wrong is taken, and upstream is not asked', () => {
      const done = brokenOnMirror(some.slice(0, 2), () => download('-s', fresh(), '--lists', listing(...some)));
      expect([failed(done.report), done.status === 0, sides(done.report).upstream]).toEqual([some.slice(0, 2).sort(), false, 0]);
    });

    test('both sides away: all is missing, and both are named', () => {
      const done = without('mirror', () => without('all', () => download('-S', fresh(), '--lists', listing(...some))));
      expect([failed(done.report), done.status]).toEqual([[...some].sort(), 5]);
      expect(done.text).toContain(NAME);
      expect(done.text).toContain('vault.centos.org');
    });

    test.each([
      ['-S', 'mirror', 'upstream'],
      ['-U', 'all', 'mirror'],
    ] as const)('%s with one side away (%s): all comes from the other (%s)', (mode, away, from) => {
      const done = without(away, () => download(mode, fresh(), '--lists', listing(...some)));
      expect([done.status, sides(done.report)[from]]).toEqual([0, some.length]);
    });

    test('merged, and not synced yet: -s says so and -S has it', () => {
      const added = 'merged-a-moment-ago-1.0-1.el7.x86_64.rpm';
      lab('upstream', 'provide', 'centos-os', added);
      const lists = listing(bash, added);
      appendFileSync(
        join(lists, 'yum.repos.d/lab.repo'),
        '[lab-os]\nname=lab\nbaseurl=https://vault.centos.org/7.9.2009/os/x86_64/\ngpgcheck=0\nenabled=1\n',
      );
      const alone = download('-s', fresh(), '--lists', lists);
      expect([alone.status, failed(alone.report), alone.text]).toEqual([5, [added], expect.stringContaining('wait for its next sync')]);
      const both = download('-S', fresh(), '--lists', lists);
      expect([both.status, sides(both.report)]).toEqual([0, { mirror: 1, upstream: 1 }]);
    });

    test('a package that vanished upstream still comes from the mirror', () => {
      for (const path of placesUpstream(bash)) rmSync(path);
      onMirror('mirrorctl sync --wait 300 stx-3.0');
      const done = download('-s', fresh(), '--lists', listing(bash));
      expect([done.status, sides(done.report)]).toEqual([0, { mirror: 1, upstream: 0 }]);
    });

    test('one repository away costs the mirror that repository alone', () => {
      const done = without('www.rpmfind.net', () => tryOnMirror('mirrorctl sync --wait 300 --all'));
      expect(done.status).not.toBe(0);
      const status = JSON.parse(onMirror('mirrorctl status --json')) as { repositories: { id: string; result: string }[] };
      const bad = status.repositories.filter(({ id, result }) => /^(listed|stx)-/.test(id) && result === 'failed');
      expect(bad.map(({ id }) => id)).toEqual([expect.stringMatching(/^listed-/)]);
    });
  });
});
