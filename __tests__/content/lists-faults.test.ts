/** Package lists where one package is not what it should be, or was forgotten: with real packages, metadata and signatures. Only the clock is the test's. */
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { explainedLines } from '../../content/explain-text';
import { sha256 } from '../../desired-state/canonical';
import { signPackage } from './support/keys';
import { LIST, LISTS, ListsWorld, rpm } from './support/lists';
import { createrepo } from './support/upstream';

jest.setTimeout(120_000);

const world = new ListsWorld();
beforeAll(() => {
  for (const name of ['a-1', 'a-2', 'b-1', 'd-1']) world.build(name);
  world.build('b-1', 'b-1 again');
  signPackage(world.vendor, world.build('b-1', 'b-1 signed'));
});
afterAll(() => world.close());
beforeEach(() => world.begin());
afterEach(() => world.end());

/** The package with another type of a tag in its main header. */
function withType(bytes: Buffer, tag: number, type: number): Buffer {
  const changed = Buffer.from(bytes);
  const entry = (at: number, i: number): number => at + 16 + 16 * i;
  const end = (at: number): number => entry(at, changed.readUInt32BE(at + 8)) + changed.readUInt32BE(at + 12);
  const header = Math.ceil(end(96) / 8) * 8;
  for (let i = 0; i < changed.readUInt32BE(header + 8); i++)
    if (changed.readUInt32BE(entry(header, i)) === tag) changed.writeUInt32BE(type, entry(header, i) + 4);
  return changed;
}

describe('a package at a URL', () => {
  it.each([
    ['that createrepo_c cannot read', rpm('d-1'), { tag: 1014, type: 99 }, 'createrepo_c cannot read it'],
    ['that clients take for another one', 'd-1-1.src.rpm', { tag: 1044, type: 8 }, 'by its metadata it is d-1-1.noarch'],
  ])('%s costs its line alone', async (_what, file, { tag, type }, message) => {
    const url = world.put('d.rpm', withType(world.bytes('d-1'), tag, type));
    world.ask([`${file}#${url}`, `${rpm('a-1')}#${world.put(rpm('a-1'), 'a-1')}`]);

    const outcome = await world.synced(LISTS);

    expect(outcome).toMatchObject({ result: 'degraded', packages: 1, error: { exitCode: 3 } });
    expect(outcome.problems).toEqual([
      expect.objectContaining({ path: file, url, message: `${LIST} line 1: what is at ${url} is not taken: ${message}` }),
    ]);
    expect(world.history.published(LISTS)).toEqual(['a-1']);
  });

  it('must have its recorded digest where a repository names it by another checksum', async () => {
    world.upstreamHas('b-1');
    createrepo(world.os.root, '--checksum', 'sha512');
    world.repository();
    const line = `${rpm('b-1')}#${world.put('b.rpm', 'b-1')}`;
    world.ask([line], { digests: { [rpm('b-1')]: sha256(world.bytes('b-1')) } });
    expect(await world.synced('os', LISTS, LISTS)).toMatchObject({ result: 'unchanged', downloadedFiles: 0 });

    world.ask([line], { digests: { [rpm('b-1')]: sha256(world.bytes('b-1 again')) } });
    expect(await world.synced(LISTS)).toMatchObject({ result: 'degraded', problems: [{ path: rpm('b-1') }] });
    expect(world.served(rpm('b-1'))).toEqual(world.bytes('b-1'));
    world.put('b.rpm', 'b-1 again');
    expect(await world.synced(LISTS)).toMatchObject({ result: 'published', packages: 1 });
    expect(world.served(rpm('b-1'))).toEqual(world.bytes('b-1 again'));
  });

  it('must be signed by a declared key, also where a repository has it whose upstream signs nothing', async () => {
    world.upstreamHas('b-1');
    world.repository();
    const trust = world.mirror.pin('signedPackages', world.vendor);
    const keys = trust.mode === 'signedPackages' ? trust.keys : [];
    world.ask([`${rpm('b-1')}#${world.put('b.rpm', 'b-1')}`], { keys });
    await expect(world.synced('os', LISTS)).resolves.toMatchObject({ result: 'failed' });
    expect(world.history.said.join('\n')).toContain(`${rpm('b-1')} of os is signed by none of the keys`);

    world.put('b.rpm', 'b-1 signed');
    expect(await world.synced(LISTS)).toMatchObject({ result: 'published', downloadedFiles: 1 });
    expect(world.served(rpm('b-1'))).toEqual(world.bytes('b-1 signed'));
  });

  it('comes from such a repository where a declared key has signed it', async () => {
    copyFileSync(world.files['b-1 signed'] as string, join(world.os.root, rpm('b-1')));
    createrepo(world.os.root);
    world.repository();
    const trust = world.mirror.pin('signedPackages', world.vendor);
    world.ask([`${rpm('b-1')}#${world.elsewhere.url}gone.rpm`], { keys: trust.mode === 'signedPackages' ? trust.keys : [] });

    expect(await world.synced('os', LISTS)).toMatchObject({ result: 'published', downloadedFiles: 0 });
  });

  it('is told once where it is lost and cannot be had again', async () => {
    const url = world.put('b.rpm', 'b-1');
    world.ask([`${rpm('b-1')}#${url}`, `${rpm('a-1')}#${world.put('a.rpm', 'a-1')}`]);
    await world.synced(LISTS);
    rmSync(join(world.elsewhere.root, 'files/b.rpm'));
    const stored = world.mirror.published(LISTS, 'Packages', rpm('b-1'));
    chmodSync(stored, 0o644);
    writeFileSync(stored, world.served(rpm('b-1')).fill(7, 500, 600));
    await world.mirror.run('scrub', '--all');

    const { problems, error } = await world.synced(LISTS);

    expect(problems.map(({ code }) => code)).toEqual(['CONTENT_LOST']);
    expect(problems[0]?.message).toContain(`${LIST} line 1: `);
    expect(error?.message).toContain('one file of 2 could not be had');
  });
});

describe('an earlier snapshot of an accumulated copy', () => {
  const older = (): string => join(world.mirror.root, 'repositories/os/records', `${world.mirror.snapshots('os')[0]}.packages`);
  beforeEach(async () => {
    world.history.server({ graceDays: 1, quarantineDays: 1, sharePercent: 100 });
    world.upstreamHas('a-1');
    world.repository({ retention: { droppedDays: 1 } });
    await world.synced('os');
    world.upstreamHas('a-2');
    await world.synced('os');
  });

  it('is not read for what nobody has, since the published one has all of it', async () => {
    rmSync(older());
    mkdirSync(older());
    world.ask([rpm('a-1'), 'zzz-1-1.noarch.rpm']);
    expect(await world.synced(LISTS)).toMatchObject({ result: 'degraded', packages: 1, problems: [{ code: 'NOBODY_HAS_IT' }] });
  });

  it('has what retention took', async () => {
    await world.history.live(6);
    expect(world.history.published('os')).toEqual(['a-2']);
    world.ask([rpm('a-1')]);
    expect(await world.synced(LISTS)).toMatchObject({ result: 'published', packages: 1 });
  });
});

describe('a package that is forgotten by name', () => {
  const B = 'b-1-1.noarch';
  const told = (id: string, line: number): object =>
    expect.objectContaining({
      code: 'PACKAGE_FORGOTTEN',
      message: `${LIST} line ${line}: ${B} was forgotten by name in ${id}, and is taken no more`,
    }) as object;

  it('in a repository goes from the lists that have it, too, until it is restored there', async () => {
    world.upstreamHas('a-1', 'b-1');
    world.repository();
    world.ask([rpm('a-1'), rpm('b-1')]);
    await world.synced('os', LISTS);

    const { entries } = await world.history.forget(`os:${B}`, true, 'a trojan');

    expect(entries.map(({ item, stage }) => [item.id, stage])).toEqual([
      ['os', 'quarantined'],
      [LISTS, 'quarantined'],
    ]);
    expect(world.history.published(LISTS)).toEqual(['a-1']);
    expect(() => world.served(rpm('b-1'))).toThrow('ENOENT');
    expect(await world.synced(LISTS)).toMatchObject({ result: 'degraded', problems: [told(LISTS, 2)] });
    expect(world.history.published(LISTS)).toEqual(['a-1']);
    await world.history.restore(`${LISTS}:${B}`);
    expect(world.history.published(LISTS)).toEqual(['a-1', 'b-1']);
    expect(await world.synced(LISTS, LISTS)).toMatchObject({ result: 'unchanged', problems: [] });
  });

  it('is no problem of lists that ask for it no more', async () => {
    world.upstreamHas('a-1', 'b-1');
    world.repository();
    world.ask([rpm('a-1'), rpm('b-1')]);
    await world.synced('os', LISTS);
    await world.history.forget(`${LISTS}:${B}`, true);
    world.ask([rpm('a-1')]);

    expect(await world.synced(LISTS, LISTS)).toMatchObject({ result: 'unchanged', packages: 1 });
    expect(world.history.published('os')).toEqual(['a-1', 'b-1']);
  });

  it('is not taken by lists that ask for it later, neither from an earlier snapshot, from another repository, nor from a URL', async () => {
    world.upstreamHas('a-1', 'b-1');
    createrepo(world.os.root, '--checksum', 'sha512');
    world.repository();
    world.repository({}, 'other');
    await world.synced('os', 'other');
    await world.history.forget(`os:${B}`, true);

    world.ask([rpm('a-1'), rpm('b-1')]);
    expect(await world.synced(LISTS)).toMatchObject({ result: 'degraded', packages: 1, problems: [told('os', 2)] });
    world.ask([rpm('a-1'), `${rpm('b-1')}#${world.put('b.rpm', 'b-1')}`]);
    expect(await world.synced(LISTS)).toMatchObject({ result: 'degraded', packages: 1, problems: [told('os', 2)] });
    world.elsewhere.requests.length = 0;
    expect(await world.synced(LISTS)).toMatchObject({ result: 'degraded', problems: [told('os', 2)] });
    expect(world.elsewhere.requests).toEqual([]);
  });

  it('and came from a URL is asked for no more', async () => {
    world.ask([`${rpm('b-1')}#${world.put('b.rpm', 'b-1')}`, `${rpm('a-1')}#${world.put('a.rpm', 'a-1')}`]);
    await world.synced(LISTS);
    await world.history.forget(`${LISTS}:${B}`, true);
    world.elsewhere.requests.length = 0;

    expect(await world.synced(LISTS, LISTS)).toMatchObject({ result: 'degraded', packages: 1, problems: [told(LISTS, 1)] });
    expect(world.elsewhere.requests).toEqual([]);
  });
});

describe('explain', () => {
  const told = async (what: string): Promise<readonly string[]> => explainedLines(await world.history.explain(what));

  it('says when a package goes that superseded snapshots of a verbatim copy have, with the last of them', async () => {
    world.history.server({ graceDays: 3, quarantineDays: 4, sharePercent: 100 });
    world.repository({ view: 'verbatim', retention: { snapshotDays: 20 } });
    for (const name of ['a-1', 'a-2']) {
      world.upstreamHas(name);
      await world.synced('os');
      world.history.pass(1);
    }
    expect((await told('os:a-1-1')).join()).not.toContain('gone for good');
    world.upstreamHas('b-1');
    await world.synced('os');

    expect(await told('os:a-1-1')).toEqual(
      expect.arrayContaining([
        'os:a-1-1.noarch: kept: it is not published any more, but earlier snapshots have it',
        // Superseded on 2030-01-02, then 20, 3 and 4 days.
        '  gone for good on 2030-01-29 at the earliest',
      ]),
    );
    // Announced on 2030-01-23, later than it could have been.
    await world.history.pass(20).apply();
    expect(await told('os:a-1-1')).toContain('  gone for good on 2030-01-30 at the earliest');
  });

  it('says that the filter of a repository takes away nothing that a list had brought past it', async () => {
    world.history.server({ graceDays: 1, quarantineDays: 1, sharePercent: 100 });
    world.upstreamHas('a-1', 'b-1');
    world.repository({ filter: { include: ['a'], sources: false, debuginfo: false }, retention: { droppedDays: 1 } });
    world.ask([rpm('b-1')]);
    await world.synced('os', LISTS);
    expect(await told('os:b-1-1')).toContain(`os:b-1-1.noarch: kept: line 1 of ${LIST} (${LISTS}) asks for it`);
    world.ask([rpm('a-1')]);
    await world.synced('os', LISTS);
    await world.history.live(5);

    expect(await told('os:b-1-1')).toContain(
      'os:b-1-1.noarch: kept: upstream has it, and the filter, which leaves it out, takes away nothing that is here',
    );
    expect((await told('os:a-1-1'))[0]).toBe('os:a-1-1.noarch: kept: upstream has it');
  });
});
