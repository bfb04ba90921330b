/** Retention over months, with real packages, metadata and signatures: only the clock is the test's. */
import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { RepositoryDefinition } from '../../desired-state/definitions';
import { rejected } from '../support/caught';
import { DAY, History } from './support/history';
import { buildPackage, dropKey, makeKey, type TestKey } from './support/keys';
import { TestMirror } from './support/mirror';
import { fillRepository, Upstream } from './support/upstream';

jest.setTimeout(120_000);

const work = mkdtempSync(join(tmpdir(), 'retention-'));
const ID = 'epel-7';
const packages: Record<string, string> = {};
let key: TestKey;
let mirror: TestMirror;
let history: History;
let upstream: Upstream;
let tree: string;

beforeAll(() => {
  for (const name of ['a-1', 'a-2', 'a-3', 'b-1', 'b-2', 'c-1', 'd-1', 'e-1', 'f-1', 'g-1', 'h-1', 'i-1', 'j-1']) {
    const [stem, version] = name.split('-') as [string, string];
    packages[name] = buildPackage(join(work, name), stem, version);
  }
  key = makeKey(join(work, 'key'), 'mirror');
});
afterAll(() => {
  dropKey(key);
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  mirror = new TestMirror();
  mirror.signBy(key);
  history = new History(mirror);
  tree = mkdtempSync(join(work, 'tree-'));
  upstream = await new Upstream(tree).start();
});
afterEach(async () => {
  await history.close();
  await upstream.stop();
  mirror.remove();
});

/** Makes the upstream hold exactly these packages. */
function upstreamHas(...names: string[]): void {
  fillRepository(
    tree,
    names.map((name) => packages[name] as string),
  );
}

function declare(more: Partial<RepositoryDefinition> = {}): void {
  mirror.repository(ID, [upstream.url], undefined, { view: 'accumulate', ...more });
}

async function sync(...names: string[]): Promise<void> {
  upstreamHas(...names);
  const outcome = await history.sync(ID);
  expect(outcome).toMatchObject({ result: 'published', problems: [] });
}

const items = (entries: readonly { readonly item: object }[]): string[] =>
  entries.map(({ item }) => {
    const { id, nevra, snapshot } = item as { id: string; nevra?: string; snapshot?: string };
    return nevra === undefined ? (snapshot === undefined ? id : `@${snapshot.slice(0, 8)}`) : (nevra.split('-1.')[0] as string);
  });

/** What real dnf installs from what is published, into nothing. */
function dnfLists(): string[] {
  const cache = mkdtempSync(join(work, 'cache-'));
  const argv = ['-q', '--setopt=reposdir=/nonexistent', `--setopt=cachedir=${cache}`, `--repofrompath=m,file://${mirror.published(ID)}`];
  return execFileSync('dnf', [...argv, '--repo=m', 'repoquery', '--nogpgcheck', '--qf', '%{name}-%{version}\n'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .split('\n')
    .filter(Boolean)
    .sort();
}

describe('packages that upstream dropped', () => {
  it('stay for ever where no rule is declared', async () => {
    declare();
    await sync('a-1', 'b-1');
    history.pass(1);
    await sync('b-1');
    history.pass(3650);
    const plan = await history.plan();
    expect(items(plan.announce)).toEqual([]);
    expect(history.published(ID)).toEqual(['a-1', 'b-1']);
  });

  it('are announced, leave what is published after the grace, and can be had back until the last step', async () => {
    history.server({ droppedDays: 30, graceDays: 14, quarantineDays: 7, sharePercent: 60 });
    declare();
    await sync('a-1', 'b-1');
    history.pass(1);
    await sync('b-1');
    history.pass(28);
    expect(items((await history.plan()).announce)).toEqual([]);
    history.pass(2);

    const announced = await history.apply();
    expect(items(announced.announce)).toEqual(['a-1']);
    expect(announced.announce[0]).toMatchObject({ by: 'rule', why: 'upstream dropped it on 2030-01-02, 30 days ago' });
    expect(announced.announce[0]?.due).toBe(new Date(history.at.getTime() + 14 * DAY).toISOString());
    expect(history.published(ID)).toEqual(['a-1', 'b-1']);
    const published = JSON.parse(readFileSync(join(mirror.root, 'announcements/retention.json'), 'utf8')) as { items: object[] };
    expect(published.items).toMatchObject([{ path: '/mirror/centos/example.org/epel-7/', stage: 'announced', kind: 'package' }]);

    expect(items((await history.live(13)).quarantine)).toEqual([]);
    history.pass(1);
    const planned = await history.plan();
    expect(items(planned.quarantine)).toEqual(['a-1']);
    expect(history.published(ID)).toEqual(['a-1', 'b-1']);
    expect(items((await history.apply()).quarantine)).toEqual(['a-1']);
    expect(dnfLists()).toEqual(['b-1']);
    expect(readFileSync(mirror.published(ID, 'repodata/repomd.xml.asc'), 'utf8')).toContain('BEGIN PGP SIGNATURE');
    // An upstream that stands still does not bring it back.
    expect(await history.sync(ID)).toMatchObject({ result: 'unchanged' });

    history.pass(1);
    const restored = await history.restore(ID);
    expect(items(restored.entries)).toEqual(['a-1']);
    expect(dnfLists()).toEqual(['a-1', 'b-1']);
    // Its term begins anew.
    expect(items((await history.live(29)).announce)).toEqual([]);
    expect(items((await history.live(1)).announce)).toEqual(['a-1']);
    expect(items((await history.live(14)).quarantine)).toEqual(['a-1']);
    expect(items((await history.live(7)).remove)).toEqual(['a-1']);
    // A snapshot has it still.
    expect(await history.restore(`${ID}:a-1-1.noarch`)).toMatchObject({ entries: [], relisted: [`${ID}:a-1-1.noarch`] });
    expect(dnfLists()).toEqual(['a-1', 'b-1']);
    expect(await rejected(() => history.restore(`${ID}:z-1-1.noarch`))).toMatchObject({ code: 'NOT_ANNOUNCED' });
  });

  it('stay while they are among the newest versions, pinned, or in a term of days', async () => {
    history.server({ droppedDays: 30, newestVersions: 2, sharePercent: 60 });
    declare({ pins: ['b-1-1'] });
    await sync('a-1', 'b-1');
    history.pass(1);
    await sync('a-2', 'b-2');
    history.pass(40);
    expect(items((await history.plan()).announce)).toEqual([]);
    await sync('a-3', 'b-2');
    expect(items((await history.plan()).announce)).toEqual(['a-1']);
    declare({ pins: ['b-1-1', 'a-1-1.noarch'] });
    expect(items((await history.plan()).announce)).toEqual([]);
    declare({ pins: ['b-1-1'], retention: { droppedDays: 300 } });
    expect(items((await history.plan()).announce)).toEqual([]);
    declare({ retention: { newestVersions: 1 } });
    expect(items((await history.plan()).announce).sort()).toEqual(['a-1', 'a-2', 'b-1']);
  });

  it('are no longer announced when upstream lists them again, and come back from quarantine by the sync', async () => {
    history.server({ droppedDays: 10, graceDays: 5, quarantineDays: 30, sharePercent: 60 });
    declare();
    await sync('a-1', 'b-1');
    history.pass(1);
    await sync('b-1');
    history.pass(11);
    expect(items((await history.apply()).announce)).toEqual(['a-1']);
    await sync('a-1', 'b-1', 'c-1');
    expect(items((await history.apply()).withdraw)).toEqual(['a-1']);
    await sync('b-1', 'c-1');
    history.pass(11);
    await history.apply();
    history.pass(5);
    expect(items((await history.apply()).quarantine)).toEqual(['a-1']);
    expect(history.published(ID)).toEqual(['b-1', 'c-1']);
    await sync('a-1', 'b-1', 'c-1');
    expect(history.published(ID)).toEqual(['a-1', 'b-1', 'c-1']);
    const next = await history.apply();
    expect(items(next.withdraw)).toEqual(['a-1']);
    expect(history.published(ID)).toEqual(['a-1', 'b-1', 'c-1']);
  });

  it('of which more than the declared share would go are stopped, until that is confirmed', async () => {
    history.server({ droppedDays: 10, graceDays: 5 });
    declare();
    await sync('a-1', 'b-1', 'c-1', 'd-1', 'e-1');
    history.pass(1);
    await sync('e-1');
    history.pass(11);
    expect(items((await history.apply()).announce)).toHaveLength(4);
    history.pass(5);
    const stopped = await history.apply();
    expect(stopped.stopped).toMatchObject([{ id: ID, entries: { length: 4 } }]);
    expect(items(stopped.quarantine)).toEqual([]);
    expect(history.published(ID)).toHaveLength(5);
    const planned = await history.plan(ID);
    expect(items(planned.quarantine)).toHaveLength(4);
    expect(items((await history.apply(ID)).quarantine)).toEqual(items(planned.quarantine));
    expect(history.published(ID)).toEqual(['e-1']);
  });

  it('stay where since when is not known any more', async () => {
    history.server({ newestVersions: 1, sharePercent: 60 });
    declare();
    await sync('a-1');
    await sync('a-2');
    expect(items((await history.plan()).announce)).toEqual(['a-1']);
    rmSync(mirror.recordPath(ID).replace(/json$/, 'dropped'));
    expect(items((await history.plan()).announce)).toEqual([]);
    expect((await history.explain('a')).map(({ standing, why }) => `${standing}: ${why}`)).toEqual([
      'kept: it is not known since when upstream has it no more',
      'kept: it is not known since when upstream has it no more',
    ]);
  });
});

describe('superseded snapshots', () => {
  const first = (): string => mirror.snapshots(ID)[0] as string;

  async function threeSnapshots(): Promise<void> {
    await sync('a-1', 'b-1');
    history.pass(10);
    await sync('a-2', 'b-1');
    history.pass(10);
    await sync('a-3', 'b-1');
  }

  it('go with what only they have, can be had back to the byte, and free what was foreseen', async () => {
    history.server({ snapshotDays: 20, graceDays: 5, quarantineDays: 5, sharePercent: 100 });
    declare({ view: 'verbatim' });
    await threeSnapshots();
    const [oldest, second] = mirror.snapshots(ID) as [string, string];
    const path = (snapshot: string): string =>
      join(mirror.root, 'repositories', ID, 'snapshots', snapshot, 'Packages', basename(packages['a-1'] as string));
    const { ino, blocks } = statSync(path(oldest));
    // Superseded files are served for some days: the next snapshot has it as well.
    expect(statSync(path(second)).ino).toBe(ino);
    await sync('a-3', 'b-1', 'c-1');
    expect(items((await history.live(9)).announce)).toEqual([]);
    const announced = await history.live(1);
    expect(items(announced.announce)).toEqual(['@20300101']);
    expect(announced.announce[0]?.why).toBe('it was superseded on 2030-01-11, 20 days ago');
    const other = await history.live(10);
    expect(items(other.announce)).toEqual(['@20300111']);
    expect(other.announce[0]?.bytes).toBeGreaterThanOrEqual(blocks * 512);
    expect(items(other.remove)).toEqual(['@20300101']);
    expect(existsSync(path(oldest))).toBe(false);

    expect(items((await history.live(5)).quarantine)).toEqual(['@20300111']);
    const place = join(mirror.root, 'quarantine', history.at.toISOString().slice(0, 10), `${ID}@${second}`);
    expect(readdirSync(join(place, 'records'))).toEqual(expect.arrayContaining(['json', 'packages']));
    expect(statSync(join(place, 'tree/Packages', basename(path(second)))).ino).toBe(ino);
    await history.restore(`${ID}@${second}`);
    expect(statSync(path(second)).ino).toBe(ino);
    expect(existsSync(place)).toBe(false);
    expect(history.listed(ID, second)).toEqual(['a-2', 'b-1']);

    expect(items((await history.live(20)).announce)).toEqual(['@20300111']);
    expect(items((await history.live(5)).quarantine)).toEqual(['@20300111']);
    expect(items((await history.live(4)).remove)).toEqual([]);
    const before = history.stored().length;
    const removed = await history.live(1);
    expect(items(removed.remove)).toEqual(['@20300111']);
    expect(history.stored().length).toBe(before - removed.removedFiles);
    expect(removed.freedBytes).toBe(removed.remove[0]?.bytes);
    expect(await rejected(() => history.restore(`${ID}@${second}`))).toMatchObject({ code: 'NOT_ANNOUNCED' });
  });

  it('that are published, or the last before that, never go; nor any of a repository that is gone from the declaration', async () => {
    history.server({ snapshotDays: 1, graceDays: 1, quarantineDays: 1, sharePercent: 100 });
    declare();
    await threeSnapshots();
    const [, second, third] = mirror.snapshots(ID);
    history.pass(400);
    for (let day = 0; day < 5; day++) {
      await history.apply();
      history.pass(1);
    }
    expect(mirror.snapshots(ID)).toEqual([second, third]);
    history.undeclare(ID);
    history.pass(4000);
    for (let day = 0; day < 5; day++) {
      await history.apply();
      history.pass(1);
    }
    expect(mirror.snapshots(ID)).toEqual([second, third]);
  });

  it('stay while the ledger is lost: what is in quarantine has a new term', async () => {
    history.server({ snapshotDays: 1, graceDays: 1, quarantineDays: 10, sharePercent: 100 });
    declare();
    await threeSnapshots();
    const gone = first();
    history.pass(2);
    await history.apply();
    history.pass(1);
    await history.apply();
    expect(mirror.snapshots(ID)).not.toContain(gone);
    rmSync(join(mirror.state, 'retention.json'));
    history.pass(9);
    expect(items((await history.apply()).waiting)).toContain('@20300101');
    writeFileSync(join(mirror.state, 'retention.json'), '{"version": 1, "entr');
    expect(await rejected(() => history.apply())).toMatchObject({ code: 'LEDGER_DAMAGED' });
    rmSync(join(mirror.state, 'retention.json'));
    await history.restore(`${ID}@${gone}`);
    expect(mirror.snapshots(ID)).toContain(gone);
  });

  it('whose restore cannot be done stay in quarantine, with what was known of them', async () => {
    declare();
    await threeSnapshots();
    const gone = first();
    await history.forget(`${ID}@${gone}`, true, 'a try');
    const taken = join(mirror.root, 'repositories', ID, 'snapshots', gone);
    mkdirSync(taken);
    expect(await rejected(() => history.restore(`${ID}@${gone}`))).toMatchObject({ code: 'PLACE_TAKEN' });
    rmSync(taken, { recursive: true });
    expect(await history.explain(`${ID}@${gone}`)).toMatchObject([{ standing: 'quarantined', why: 'an operator had it forgotten: a try' }]);
    await history.restore(`${ID}@${gone}`);
    expect(mirror.snapshots(ID)).toContain(gone);
  });
});

describe('a clock that is not right', () => {
  it('takes no step: time in which nothing ran does not count', async () => {
    history.server({ droppedDays: 10, graceDays: 14, quarantineDays: 14, sharePercent: 60 });
    declare();
    await sync('a-1', 'b-1');
    await sync('b-1');
    history.pass(11);
    expect(items((await history.apply()).announce)).toEqual(['a-1']);
    const right = history.at;
    history.pass(4000);
    expect(items((await history.apply()).quarantine)).toEqual([]);
    history.at = right;
    const back = await history.apply();
    expect(items(back.quarantine)).toEqual([]);
    // No date lies further away than the term.
    expect(back.waiting[0]?.due).toBe(new Date(right.getTime() + 14 * DAY).toISOString());
    history.at = new Date(0);
    expect(items((await history.apply()).withdraw)).toEqual(['a-1']);
  });
});

describe('files that nothing uses', () => {
  it('go after the grace; what is linked from elsewhere is used', async () => {
    history.server({ graceDays: 5, sharePercent: 60 });
    declare();
    await sync('a-1', 'b-1');
    const store = join(mirror.root, 'store/sha256');
    const unused = ['aa'.repeat(32), 'bb'.repeat(32)].map((hex) => join(store, hex.slice(0, 2), hex));
    for (const path of unused) {
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, 'nobody lists this');
    }
    linkSync(unused[1] as string, join(work, 'outside'));
    // Beside one of these: upstream's own lists of packages, which are no part of a merged repository.
    expect((await history.apply()).unused).toMatchObject({ waiting: 4, remove: [] });
    expect((await history.live(4)).removedFiles).toBe(0);
    history.pass(1);
    expect((await history.plan()).unused.remove).toHaveLength(4);
    const applied = await history.apply();
    expect(applied.removedFiles).toBe(4);
    expect(applied.freedBytes).toBe(4 * 4096);
    expect(unused.map((path) => existsSync(path))).toEqual([false, true]);
    expect(await history.sync(ID)).toMatchObject({ result: 'unchanged' });
  });

  it('are stopped where they are more than the declared share: somebody removed what used them', async () => {
    history.server({ graceDays: 5 });
    declare();
    await sync('a-1', 'b-1');
    rmSync(join(mirror.root, 'repositories'), { recursive: true });
    await history.apply();
    history.pass(6);
    const stored = history.stored();
    expect((await history.apply()).unused.stopped).toBe(true);
    expect(history.stored()).toEqual(stored);
    expect((await history.apply('unused')).removedFiles).toBe(stored.length);
  });
});

describe('forget', () => {
  it('takes a bad package out at once, keeps it out while upstream lists it, and brings it back', async () => {
    declare();
    await sync('a-1', 'b-1');
    const forgotten = await history.forget(`${ID}:a-1-1`, true, 'a trojan');
    expect(forgotten.failed).toEqual([]);
    expect(forgotten.entries).toMatchObject([{ stage: 'quarantined', why: 'an operator had it forgotten: a trojan' }]);
    expect(dnfLists()).toEqual(['b-1']);
    // Not even by whoever has the metadata of yesterday.
    expect(existsSync(mirror.published(ID, 'Packages', basename(packages['a-1'] as string)))).toBe(false);
    history.pass(1);
    await sync('a-1', 'b-1', 'c-1');
    expect(history.published(ID)).toEqual(['b-1', 'c-1']);
    await history.apply();
    expect(history.published(ID)).toEqual(['b-1', 'c-1']);
    expect((await history.explain(`${ID}:a-1-1`)).map(({ standing }) => standing)).toEqual(['quarantined', 'gone']);
    await history.restore(`${ID}:a-1-1.noarch`);
    expect(dnfLists()).toEqual(['a-1', 'b-1', 'c-1']);
    await sync('a-1', 'b-1', 'c-1', 'd-1');
    expect(history.published(ID)).toEqual(['a-1', 'b-1', 'c-1', 'd-1']);
  });

  it('lets the content of a construct that is gone go, and have it back until the last step', async () => {
    history.server({ graceDays: 5, quarantineDays: 5 });
    declare();
    await sync('a-1', 'b-1');
    expect(await rejected(() => history.forget(ID))).toMatchObject({ code: 'KEPT', message: `${ID} stays: it is declared` });
    history.undeclare(ID);
    await history.forget(ID);
    history.pass(4);
    await history.apply();
    expect(history.published(ID)).toEqual(['a-1', 'b-1']);
    history.pass(1);
    await history.apply();
    expect(existsSync(join(mirror.root, 'repositories', ID))).toBe(false);
    await history.restore(ID);
    expect(history.published(ID)).toEqual(['a-1', 'b-1']);
    await history.forget(ID, true);
    expect(existsSync(join(mirror.root, 'repositories', ID))).toBe(false);
    history.pass(5);
    const removed = await history.apply();
    expect(items(removed.remove)).toEqual([ID]);
    expect(removed.removedFiles).toBe(2);
    expect(history.stored()).toHaveLength(3);
    expect(readdirSync(join(mirror.root, 'quarantine'))).toEqual([]);
  });

  it('that was declared again meanwhile is not taken away', async () => {
    history.server({ graceDays: 5, quarantineDays: 5 });
    declare();
    await sync('a-1', 'b-1');
    history.undeclare(ID);
    await history.forget(ID);
    declare();
    history.pass(5);
    expect(items((await history.apply()).withdraw)).toEqual([ID]);
    expect(history.published(ID)).toEqual(['a-1', 'b-1']);
  });

  it.each([
    ['nothing', 'NOT_HERE', 'nothing here is called "nothing"'],
    [`${ID}@20200101T000000Z-000000000000`, 'KEPT', 'epel-7@20200101T000000Z-000000000000 stays: it is not here'],
    [`${ID}:z-1-1`, 'NOT_HERE', 'epel-7 publishes no z-1-1'],
    ['releases/none', 'KEPT', 'releases/none stays: it is not here'],
    ['', 'NOT_HERE', 'nothing here is called ""'],
    ['../..', 'NOT_HERE', 'nothing here is called "../.."'],
  ])('refuses %j', async (what, code, message) => {
    declare();
    await sync('a-1');
    expect(await rejected(() => history.forget(what))).toMatchObject({ code, message });
  });

  it('refuses the published snapshot, and single packages of a verbatim copy', async () => {
    declare({ view: 'verbatim' });
    await sync('a-1');
    const current = basename(mirror.currentTarget(ID) as string);
    expect(await rejected(() => history.forget(`${ID}@${current}`))).toMatchObject({ code: 'KEPT' });
    expect(await rejected(() => history.forget(`${ID}:a-1-1`))).toMatchObject({ code: 'NOT_ACCUMULATED' });
  });
});

describe('releases', () => {
  const RULES = { snapshotDays: 1, graceDays: 2, quarantineDays: 2, sharePercent: 100 };

  it('keep what they are made of, for ever; one that is given up goes in steps, and with it what it kept', async () => {
    history.server(RULES);
    declare();
    await sync('a-1', 'b-1');
    const [kept] = mirror.snapshots(ID) as [string];
    history.release('r-1', ID, history.at);
    expect(await history.freeze()).toMatchObject([{ state: 'frozen' }]);
    history.pass(1);
    await sync('a-2', 'b-1');
    history.pass(1);
    await sync('a-3', 'b-1');
    await history.live(30);
    expect(mirror.snapshots(ID)).toHaveLength(3);
    expect(await history.verify('r-1')).toMatchObject({ differences: [] });
    const explained = await history.explain(`${ID}@${kept}`);
    expect(explained).toMatchObject([{ standing: 'kept', why: 'the release r-1 is made of it' }]);
    expect(await rejected(() => history.forget(`${ID}@${kept}`))).toMatchObject({ code: 'KEPT' });
    expect(await rejected(() => history.forget('releases/r-1'))).toMatchObject({ message: 'releases/r-1 stays: it is declared' });

    history.undeclare('r-1', 'releases');
    await history.live(30);
    expect(mirror.snapshots(ID)).toContain(kept);
    await history.forget('releases/r-1', true);
    expect(existsSync(join(mirror.root, 'releases/r-1'))).toBe(false);
    await history.live(1);
    expect(mirror.snapshots(ID)).toContain(kept);
    await history.restore('releases/r-1');
    expect(await history.verify('r-1')).toMatchObject({ differences: [] });
    await history.forget('releases/r-1', true);
    await history.live(2);
    expect(mirror.snapshots(ID)).toContain(kept);
    await history.live(4);
    expect(mirror.snapshots(ID)).not.toContain(kept);
  });

  it('that wait keep the snapshot that they would take; one that is gone is not replaced by an older one', async () => {
    history.server(RULES);
    declare();
    await sync('a-1', 'b-1');
    const [first] = mirror.snapshots(ID) as [string];
    history.pass(1);
    await sync('a-2', 'b-1');
    const second = mirror.snapshots(ID)[1] as string;
    history.release('r-2', ID, history.at);
    history.pass(1);
    await sync('a-3', 'b-1');
    history.pass(1);
    await sync('a-3', 'b-1', 'c-1');
    await history.live(10);
    expect(mirror.snapshots(ID)).not.toContain(first);
    expect(mirror.snapshots(ID)).toContain(second);
    history.release('r-2', ID, new Date('2030-01-01T12:00:00.000Z'));
    expect(await history.freeze()).toMatchObject([
      {
        state: 'unsatisfiable',
        problems: [
          `${ID}@${first} was taken by retention: mirrorctl retention restore ${ID}@${first} brings it back while it is in quarantine`,
        ],
      },
    ]);
  });
});

describe('a repository that is being synced', () => {
  it('is left for the next run, and told', async () => {
    history.server({ droppedDays: 10, graceDays: 1, sharePercent: 60 });
    declare();
    await sync('a-1', 'b-1');
    await sync('b-1');
    history.pass(11);
    await history.apply();
    history.pass(1);
    mkdirSync(join(mirror.state, 'locks'), { recursive: true });
    const lock = join(mirror.state, 'locks', `${ID}.lock`);
    const locked = history.apply.bind(history);
    const { spawn } = await import('node:child_process');
    const holder = spawn('flock', [lock, 'sleep', '60'], { stdio: 'ignore', detached: true });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const applied = await locked();
    process.kill(-(holder.pid as number));
    expect(applied.failed).toMatchObject([{ id: ID, error: { code: 'LOCKED' } }]);
    expect(history.published(ID)).toEqual(['a-1', 'b-1']);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await history.apply()).failed).toEqual([]);
    expect(history.published(ID)).toEqual(['b-1']);
  });
});
