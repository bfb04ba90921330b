/** What a sync is told by the props of repositories and servers: what becomes of good ones in the definitions, and which are refused. */
import { parse } from 'yaml';
import {
  Bandwidth,
  RpmRepository,
  Trust,
  Upstream,
  View,
  Waiver,
  type PackageFilter,
  type RpmRepositoryProps,
  type SyncLimits,
} from '../../constructs';
import { REPOSITORY_WAIVERS, RepositoryDefinitionSchema, ServerDefinitionSchema } from '../../desired-state/definitions';
import { HOSTILE, bareServer, key, mirror, refuses, repository, repositoryProps, synth } from './support';

/** As main.ts passes them: synthesis checks no types. */
const any = <T>(value: unknown): T => value as T;
const REASON = 'upstream ended in 2024';

/** The definition that the server gets. */
function definition(props: Partial<RpmRepositoryProps>): Record<string, unknown> {
  const { app, server } = mirror();
  repository(server, 'r', props);
  const text = synth(app).desiredState.elements.find((e) => e.id === 'repository/r')?.files['definitions/repositories/r.yaml'] ?? '';
  const parsed = parse(text) as Record<string, unknown>;
  expect(RepositoryDefinitionSchema.parse(parsed)).toEqual(parsed);
  return parsed;
}

function serverDefinition(sync: SyncLimits | undefined): { plan: string; file: unknown } {
  const { app } = mirror(sync === undefined ? {} : { sync });
  const result = synth(app);
  const text = result.desiredState.elements.find((e) => e.id === 'server/services')?.files['definitions/server.yaml'] ?? '';
  const plan = result.element('server/services').triggers['definition'] ?? '';
  expect(plan).toBe(text);
  return { plan, file: ServerDefinitionSchema.parse(parse(text)) };
}

describe('in the definition of a repository', () => {
  test('nothing of it unless it is declared', () => {
    expect(Object.keys(definition({}))).toEqual(['kind', 'id', 'publishedAs', 'publicPath', 'fetchFrom', 'trust', 'view']);
  });

  test('places: base URLs and lists, in their order', () => {
    const metalink = 'https://mirrors.fedoraproject.org/metalink?repo=epel-7&arch=x86_64';
    const mirrorlist = 'http://mirrorlist.centos.org/?release=7&arch=x86_64&repo=os&infra=stock';
    const fetchFrom = [Upstream.metalink(metalink), 'https://archives.example.org/epel/', Upstream.mirrorlist(mirrorlist)];
    expect(definition({ fetchFrom })['fetchFrom']).toEqual([{ metalink }, 'https://archives.example.org/epel/', { mirrorlist }]);
  });

  test('places: a module of an rsync server beside a web server', () => {
    const fetchFrom = ['rsync://rsync.example.org/epel/7/x86_64/', 'https://archives.example.org/epel/'];
    expect(definition({ fetchFrom })['fetchFrom']).toEqual(fetchFrom);
    refuses(() => repository(mirror().server, 'r', { publishedAs: fetchFrom[0] as string }), 'publishedAs', 'http:// or https://');
  });

  test('the view, the age', () => {
    expect(definition({ view: View.ACCUMULATE, maxAgeDays: 14 })).toMatchObject({ view: 'accumulate', maxAgeDays: 14 });
  });

  test('an accumulated repository hands out a .repo file that checks its metadata with the key of the mirror', () => {
    const { app, server } = mirror();
    repository(server, 'r', { view: View.ACCUMULATE });
    const { triggers } = synth(app).element('repository/r');
    expect(triggers['repo_file']).toContain(
      '\nrepo_gpgcheck=1\ngpgkey=http://mirror.example.org/RPM-GPG-KEY-mirror http://mirror.example.org/keys/',
    );
  });

  test.each<[PackageFilter, unknown]>([
    [{}, undefined],
    [{ sources: true, debuginfo: true }, undefined],
    [{ debuginfo: false }, { sources: true, debuginfo: false }],
    [
      { newest: 1, sources: false },
      { newest: 1, sources: false, debuginfo: true },
    ],
    [
      { include: ['kernel*', 'python3?'], exclude: ['kernel-debug'], architectures: ['x86_64', 'noarch'] },
      {
        include: ['kernel*', 'python3?'],
        exclude: ['kernel-debug'],
        architectures: ['x86_64', 'noarch'],
        sources: true,
        debuginfo: true,
      },
    ],
  ])('the filter %j', (filter, expected) => {
    expect(definition({ view: View.ACCUMULATE, filter })['filter']).toEqual(expected);
  });

  test('each waiver with its reason; their order in main.ts is no change', () => {
    const make = Waiver as unknown as Record<string, (reason: string) => Waiver<'repository'>>;
    const all = REPOSITORY_WAIVERS.map((name) => (make[name] as (reason: string) => Waiver<'repository'>)(`${REASON}: ${name}`));
    const expected = REPOSITORY_WAIVERS.map((allow) => ({ allow, reason: `${REASON}: ${allow}` }));
    expect(definition({ waivers: all, maxAgeDays: 7 })['waivers']).toEqual(expected);
    expect(definition({ waivers: [...all].reverse(), maxAgeDays: 7 })['waivers']).toEqual(expected);
  });
});

describe('in the definition of the server', () => {
  test('nothing of it unless it is declared', () => {
    for (const sync of [undefined, {}])
      expect(serverDefinition(sync).file).toEqual({ kind: 'server', storageRoot: '/srv/mirror', ownMount: true });
  });
  test('each limit', () => {
    const { plan, file } = serverDefinition({
      slots: 4,
      slotsPerUpstream: 2,
      connections: 10,
      bandwidth: Bandwidth.megabitsPerSecond(100),
      proxy: { url: 'http://proxy.example.org:3128', except: ['mirror.example.org', '2001:db8::7'] },
    });
    expect(file).toMatchObject({
      sync: {
        slots: 4,
        slotsPerUpstream: 2,
        connections: 10,
        bandwidth: 12_500_000,
        proxy: { url: 'http://proxy.example.org:3128', except: ['mirror.example.org', '2001:db8::7'] },
      },
    });
    expect(plan).toContain('sync:\n  slots: 4\n');
  });
  test('a proxy for everything', () => {
    expect(serverDefinition({ proxy: { url: 'http://10.0.0.1:3128/' } }).file).toMatchObject({
      sync: { proxy: { url: 'http://10.0.0.1:3128/', except: [] } },
    });
  });
  test.each([
    [Bandwidth.megabitsPerSecond(1), 125_000],
    [Bandwidth.megabitsPerSecond(100_000), 12_500_000_000],
    [Bandwidth.megabitsPerSecond(2.5), 312_500],
    [Bandwidth.megabytesPerSecond(10), 10_000_000],
  ])('%j', ({ bytesPerSecond }, expected) => expect(bytesPerSecond).toBe(expected));
});

describe('what a repository may not declare', () => {
  const accumulated = (props: object): RpmRepository =>
    new RpmRepository(mirror().server, 'r', { ...repositoryProps, view: View.ACCUMULATE, ...props });
  const filtered = (filter: unknown): RpmRepository => accumulated({ filter });

  test('a filter of a verbatim repository', () => {
    const props = { filter: { debuginfo: false }, view: View.VERBATIM };
    refuses(() => accumulated(props), 'mirror/server/r: filter {"debuginfo":false}', 'names every package', 'view: View.ACCUMULATE');
  });
  test.each(['', 'ACCUMULATE', 'both', undefined, null, 1])('view %j', (view) => {
    refuses(() => accumulated({ view }), 'mirror/server/r: view', 'a view is one of verbatim, accumulate', 'View.ACCUMULATE');
  });
  test.each(['newest', null, 3, []])('filter %j', (filter) => refuses(() => filtered(filter), 'r: filter', 'an object with include'));
  test('a misspelt part of a filter', () => {
    refuses(() => filtered({ source: false }), 'filter, prop "source"', 'Did you mean sources?');
  });
  test.each(['', ' ', '..', '../x', '/abs', 'a/b', '-leading', '%i', '$(id)', '`id`', ';id', 'a|b', "'q'", '[ab]', '{a,b}', '^a', 'a\nb', 'nul\0', 'é', 'cyrilliс', 'x'.repeat(201), 7, null])(
    'glob %j', (glob) => {
      refuses(() => filtered({ include: [glob] }), 'r: filter.include[0]', 'a glob of package names');
      refuses(() => filtered({ exclude: ['a', glob] }), 'r: filter.exclude[1]');
    }); // prettier-ignore
  test('no glob, one twice, and one that leaves nothing', () => {
    refuses(() => filtered({ include: [] }), 'filter.include', 'at least one glob');
    refuses(() => filtered({ exclude: 'kernel' }), 'filter.exclude "kernel"', 'at least one glob');
    refuses(() => filtered({ exclude: ['a', 'a'] }), 'filter.exclude[1]', 'each glob once');
    refuses(() => filtered({ exclude: ['*'] }), 'filter.exclude[0] "*"', 'all that there is');
    refuses(() => filtered({ include: ['a*', 'b'], exclude: ['c', 'a*'] }), 'filter.exclude[1] "a*"', 'what filter.include names');
  });
  test.each(['src', 'nosrc', 'X86_64', 'amd64', '', 'all', '*', null])('architecture %j', (architecture) => {
    refuses(() => filtered({ architectures: [architecture] }), 'r: filter.architectures[0]', 'x86_64');
  });
  test('sources are no architecture', () => {
    refuses(() => filtered({ architectures: ['x86_64', 'src'] }), 'filter.architectures[1] "src"', 'sources: true or false');
  });
  test.each([0, -1, 1.5, Number.NaN, Infinity, '1', 1001, null])('newest %p', (newest) => {
    refuses(() => filtered({ newest }), 'r: filter.newest', '1 to 1000');
  });
  test.each(['yes', 0, null])('a flag %j', (flag) => {
    refuses(() => filtered({ sources: flag }), 'r: filter.sources', 'true or false');
    refuses(() => filtered({ debuginfo: flag }), 'r: filter.debuginfo');
  });
  test.each([0, -1, 0.5, Number.NaN, Infinity, 3651, '14', null])('maxAgeDays %p', (maxAgeDays) => {
    refuses(() => accumulated({ maxAgeDays }), 'r: maxAgeDays', '1 to 3650');
  });

  test.each(REPOSITORY_WAIVERS)('the waiver %s without a reason', (name) => {
    const make = any<Record<string, (reason: unknown) => unknown>>(Waiver)[name] as (reason: unknown) => unknown;
    for (const reason of ['', 'short', 'x'.repeat(301), 'two\nlines of reason', 'hidden \u202e reason here', undefined, { reason: REASON }])
      refuses(() => make(reason), `Waiver.${name}: reason`, '10 to 300 printable characters');
  });
  test.each<[string, unknown, string[]]>([
    ['no list', 'weakChecksums', ['waivers "weakChecksums"', 'a list of waivers', 'Waiver.<name>(reason)']],
    ['no waiver', [{ allow: 'shrunk', reason: REASON }], ['waivers[0]', 'made by Waiver']],
    [
      "a server's",
      [Waiver.shrunk(REASON), Waiver.takeOver({ from: 'a/b', reason: REASON })],
      ['waivers[1] Waiver.takeOver', 'for a MirrorServer, and this is an RpmRepository', 'waivers of the server'],
    ],
    ['one twice', [Waiver.shrunk(REASON), Waiver.shrunk('another reason')], ['waivers[1] Waiver.shrunk', 'waivers[0] is the same']],
    ['a maximum age that is not declared', [Waiver.staleMetadata(REASON)], ['Waiver.staleMetadata', 'maxAgeDays', 'Remove the waiver']],
  ])('waivers: %s', (_, waivers, parts) => refuses(() => accumulated({ waivers }), 'mirror/server/r: waivers', ...parts));

  test.each([...HOSTILE, 'ftp://host/x', 'rsync://host/module/', 'file:///etc/passwd', 'http://host', 'http://user:secret@host/list', 'http://host/list#x', 'http://host/?a b', 'http://host/?a"',
    'http://host/?a?b', 'http://host/?', 'http://host/../list', 'http://host/?arch=$basearch', 'http://host/?a\nb', `http://host/?${'x'.repeat(2000)}`, 7, null])('a list at %j', (url) => {
    refuses(() => Upstream.mirrorlist(any(url)), 'Upstream.mirrorlist: url', 'the address of a mirror list');
    refuses(() => Upstream.metalink(any(url)), 'Upstream.metalink: url');
  }); // prettier-ignore
  test.each([[{ metalink: 'https://host/x' }], [null], [7], [['https://host/x/']]])('a place %j', (place) => {
    refuses(() => accumulated({ fetchFrom: [place] }), 'r: fetchFrom[0]', 'a source is');
  });
  test('a list twice; a mirror list and a metalink of one address are two', () => {
    const list = (): Upstream => Upstream.mirrorlist('https://host.example/list');
    refuses(() => accumulated({ fetchFrom: [list(), 'https://host.example/x/', list()] }), 'fetchFrom[2]', 'each place once');
    expect(() => accumulated({ fetchFrom: [list(), Upstream.metalink('https://host.example/list')] })).not.toThrow();
  });
});

describe('what a server may not declare', () => {
  const limited = (sync: unknown): unknown => bareServer({ sync: any(sync) });
  test.each(['fast', null, 3, []])('limits %j', (sync) => refuses(() => limited(sync), 'mirror/server: sync', 'an object with slots'));
  test('a misspelt limit', () => {
    refuses(() => limited({ slot: 2 }), 'sync, prop "slot"', 'Did you mean slots?');
    refuses(() => limited({ proxy: { uri: 'x' } }), 'sync.proxy, prop "uri"', 'Did you mean url?');
  });
  test.each([0, -1, 1.5, Number.NaN, Infinity, 65, '2', null])('a number of %p', (value) => {
    for (const name of ['slots', 'slotsPerUpstream', 'connections'])
      refuses(() => limited({ [name]: value }), `mirror/server: sync.${name}`, '1 to 64');
  });
  test('more slots for one upstream than there are', () => {
    refuses(() => limited({ slots: 2, slotsPerUpstream: 3 }), 'sync.slotsPerUpstream 3', 'no more than sync.slots, which is 2');
    expect(() => limited({ slots: 2, slotsPerUpstream: 2 })).not.toThrow();
  });
  test.each([1_000_000, '10M', { bytesPerSecond: 1 }, null])('a bandwidth of %j', (bandwidth) => {
    refuses(() => limited({ bandwidth }), 'sync.bandwidth', 'Bandwidth.megabitsPerSecond(100)');
  });
  test.each([0, -1, Number.NaN, Infinity, 0.1, 1e9, '100', null])('%p of a bandwidth', (value) => {
    refuses(() => Bandwidth.megabitsPerSecond(any(value)), 'Bandwidth.megabitsPerSecond: megabits', 'from 1 to 100000');
    refuses(() => Bandwidth.megabytesPerSecond(any(value)), 'Bandwidth.megabytesPerSecond: megabytes', 'from 0.125 to 12500');
  });
  test.each(['', 'proxy', 'proxy:3128', 'socks5://proxy:1080', 'ftp://proxy/', 'file:///x', 'http://', 'http://proxy:0', 'http://proxy:65536', 'http://proxy/path', 'http://proxy?x', 'http://pro xy', 'http://proxy\n',
    'http://[fe80::1%25eth0]:3128', 'http://${x}', 7, null, undefined])('a proxy at %j', (url) => {
    refuses(() => limited({ proxy: { url } }), 'mirror/server: sync.proxy.url', 'a proxy is http:// or https://');
  }); // prettier-ignore
  test.each([
    'http://user:hunter2@proxy:3128',
    'https://hunter2@proxy',
    'http://user:hunter2@',
    'HTTP://user:hunter2@proxy',
    'http://a@hunter2@proxy',
  ])('a proxy with credentials: refused, and not shown (%#)', (url) => {
    refuses(() => limited({ proxy: { url } }), 'sync.proxy.url', 'without credentials', 'admit the mirror by its address');
    expect(() => limited({ proxy: { url } })).not.toThrow(/hunter2/);
  });
  test.each([...HOSTILE.filter((text) => text !== 'x'.repeat(256)), '*.example.org', 'host:80', 'http://host/', '10.0.0.0/8', null])('asked directly: %j', (host) => {
    refuses(() => limited({ proxy: { url: 'http://proxy:3128', except: [host] } }), 'mirror/server: sync.proxy.except[0]');
  }); // prettier-ignore
  test('nothing that is asked directly, and one twice', () => {
    refuses(() => limited({ proxy: { url: 'http://proxy:3128', except: [] } }), 'at least one host');
    refuses(() => limited({ proxy: { url: 'http://proxy:3128', except: ['a', 'a'] } }), 'each host once');
  });
  test("a repository's waiver", () => {
    refuses(
      () => bareServer({ waivers: any([Waiver.weakChecksums(REASON)]) }),
      'mirror/server: waivers[0] Waiver.weakChecksums',
      'for an RpmRepository, and this is a MirrorServer',
      'waivers of the repository',
    );
  });
});

test('a filter, an age and waivers belong to every kind of trust', () => {
  for (const trust of [Trust.signedMetadata([key('RPM-GPG-KEY-Ceph')]), Trust.digestsOnly('upstream signs nothing at all')])
    expect(definition({ trust, view: View.ACCUMULATE, filter: { newest: 2 }, waivers: [Waiver.incomplete(REASON)] })).toMatchObject({
      filter: { newest: 2 },
      waivers: [{ allow: 'incomplete', reason: REASON }],
    });
});

describe('how often content is read again', () => {
  const scrub = (props: Parameters<typeof mirror>[0]): unknown => {
    const text = synth(mirror(props).app).element('server/services').triggers['definition'] ?? '';
    return ServerDefinitionSchema.parse(parse(text)).scrubEveryDays;
  };
  test('as declared, or by the default of mirrorctl', () => {
    expect(scrub({})).toBeUndefined();
    expect(scrub({ scrubEveryDays: 7 })).toBe(7);
  });
  test.each([0, -1, 366, 1.5, Number.NaN, any<number>('7')])('%p is refused', (scrubEveryDays) => {
    refuses(() => bareServer({ scrubEveryDays }), 'scrubEveryDays', 'a whole number from 1 to 365');
  });
  test('a service and a timer', () => {
    const { files } = synth(mirror().app).desiredState.elements.find(({ id }) => id === 'server/services') ?? { files: {} };
    expect(Object.keys(files)).toEqual(expect.arrayContaining(['systemd/mirror-scrub.service', 'systemd/mirror-scrub.timer']));
  });
});
