/**
 * Bad props, by the catalogue of hostile inputs: each is refused at synthesis, by an error that names the construct, the prop, the value and
 * what is allowed.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Lazy } from 'cdktf';
import {
  Access,
  Customer,
  Distribution,
  MirrorServer,
  MirrorStack,
  MosCodename,
  NginxVhost,
  PublicKey,
  RpmRepository,
  Secret,
  SigningKey,
  SyncSchedule,
  SyncTimer,
  Trust,
  Waiver,
  type View,
} from '../../constructs';
import { HOST_KEY, HOSTILE, bareServer, mirror, refuses, repository, repositoryProps, serverProps, synth } from './support';

describe('ids', () => {
  test.each([...HOSTILE, 'a/b', 'repodata', 'current', '.git', 'a--b', 'a.-b', 'x'.repeat(64)])('repository id %j', (id) => {
    refuses(() => repository(mirror().server, 'r', { id }), 'mirror/server/r: id');
  });
  test.each([...HOSTILE, 'a/b', 'r'])('former id %j of a repository', (formerId) => {
    refuses(() => repository(mirror().server, 'r', { formerId }), 'formerId');
  });
  test('a former id of two, and one that is still declared', () => {
    const { app, server } = mirror();
    repository(server, 'a', { formerId: 'old' });
    refuses(() => repository(server, 'b', { formerId: 'old' }), 'formerId "old"', 'mirror/server/a already');
    repository(server, 'old');
    expect(() => app.synth()).toThrow('a repository with this id is still declared');
    expect(() => new Customer(mirror().server, 'c', { access: Access.public(), formerId: '../x' })).toThrow('formerId');
  });
  test.each([...HOSTILE, 'a/b', 'mos', 'repodata', 'current', '.git'])('customer id %j', (id) => {
    refuses(() => new Customer(mirror().server, 'c', { id, access: Access.public() }), 'mirror/server/c: id');
  });
  test.each([...HOSTILE, 'mirror', 'keys', 'status', 'mos', 'mos-repos', '.well-known', 'repo-files', 'a/b/c/d', 'acme/', '/acme'])(
    'customer prefix %j',
    (prefix) => {
      refuses(() => new Customer(mirror().server, 'c', { prefix, access: Access.public() }), 'mirror/server/c: prefix');
    },
  );
});

describe('the server', () => {
  test.each([
    ...HOSTILE.filter((h) => h !== 'x'.repeat(256)),
    'UPPER.example.org',
    'a..b',
    'fe80::1%eth0',
    '[::1]',
    '1.2.3',
    '1.2.3.256',
    'host:22',
    'user@host',
  ])('address %j', (address) => {
    refuses(() => bareServer({ address }), 'mirror/server: address');
  });
  test.each([...HOSTILE.filter((h) => h !== 'a_b'), '0user', 'a b', 'user:group'])('user %j', (user) => {
    refuses(() => bareServer({ user }), 'mirror/server: user');
  });
  test.each([0, -1, 65536, Number.NaN, Infinity, 22.5, '22' as unknown as number])('port %p', (port) => {
    refuses(() => bareServer({ port }), 'mirror/server: port', 'whole number from 1 to 65535');
    refuses(() => new NginxVhost(bareServer().server, 'v', { serverName: 'a.example.org', port }), 'mirror/server/v: port');
  });
  test.each([
    '',
    'SHA256:short',
    `MD5:${'a'.repeat(47)}`,
    `SHA256:${'A'.repeat(44)}`,
    `SHA256:${'A'.repeat(42)}=`,
    undefined as unknown as string,
  ])('host key %j', (hostKey) => {
    refuses(() => bareServer({ hostKey }), 'mirror/server: hostKey', 'ssh-keygen -lf');
  });
  test.each([
    '',
    '/',
    'srv',
    '/etc',
    '/etc/mirror',
    '/usr/share/mirror',
    '/tmp/x',
    '/srv',
    '/srv/../etc',
    '/srv/mirror/',
    '/srv/a b',
    '/srv/$x',
    '/var/lib/mirror',
    '/srv/.hidden',
    '/proc/x',
    '/home/mirror',
    '/home/mirror/data',
    '/root/mirror',
    '/var/tmp/mirror',
    '/var/cache/mirror',
    '/var/spool/mirror',
    '/var/run/mirror',
    '/var/lock/mirror',
    '/var/www',
    '/var/log',
    '/var/lib',
  ])('storage root %j', (storageRoot) => {
    refuses(() => bareServer({ storageRoot }), 'mirror/server: storageRoot');
  });
  test.each(['/srv/mirror', '/data/mirror', '/var/www/mirror', '/var/mirror', '/homes/mirror', '/mnt/a/b'])(
    'storage root %j is fine',
    (storageRoot) => {
      expect(bareServer({ storageRoot }).server.storageRoot).toBe(storageRoot);
    },
  );
  test.each(['yes', 1])('flag %j', (value) => {
    refuses(() => bareServer({ storageOnOwnMount: value as unknown as boolean }), 'mirror/server: storageOnOwnMount', 'true or false');
    refuses(() => mirror({}, { ipv6: value as unknown as boolean }), 'mirror/server/vhost: ipv6', 'true or false');
  });
  test('a signing key that is no Secret is refused, and not shown', () => {
    const text = '-----BEGIN PGP PRIVATE KEY BLOCK-----';
    refuses(
      () => bareServer({ signingKey: text as unknown as Secret }),
      'mirror/server: signingKey',
      'type string',
      'Secret.fromEnvironment',
    );
    expect(() => bareServer({ signingKey: text as unknown as Secret })).not.toThrow(/PRIVATE/);
    refuses(() => bareServer({ signingKey: undefined as unknown as Secret }), 'mirror/server: signingKey', 'type undefined');
  });
  test('a former signing key is checked like the other one, and is another', () => {
    refuses(() => bareServer({ previousSigningKey: 'key' as unknown as Secret }), 'mirror/server: previousSigningKey', 'type string');
    const secret = (version: string): Secret => Secret.fromEnvironment('KEY', { version });
    refuses(() => bareServer({ signingKey: secret('2'), previousSigningKey: secret('1') }), 'previousSigningKey', 'another place');
    const generated = SigningKey.generated();
    refuses(() => bareServer({ signingKey: generated, previousSigningKey: SigningKey.generated({ version: '1' }) }), 'previousSigningKey');
    expect(() => bareServer({ signingKey: generated, previousSigningKey: SigningKey.generated({ version: '0' }) })).not.toThrow();
    expect(() => bareServer({ signingKey: generated, previousSigningKey: secret('1') })).not.toThrow();
  });
  test.each(['', '../x', 'a/b', 'x'.repeat(41), 1 as unknown as string])('version of a generated key %j', (version) => {
    refuses(() => SigningKey.generated({ version }), 'SigningKey.generated: version');
    refuses(() => SigningKey.generated({ versions: version } as never), 'versions');
  });
  test('a jump host is checked like the server', () => {
    refuses(() => bareServer({ jumpHost: { address: 'jump', user: 'root', hostKey: 'none' } }), 'jumpHost.hostKey');
    refuses(() => bareServer({ jumpHost: { address: '-oProxyCommand=x', user: 'root', hostKey: HOST_KEY } }), 'jumpHost.address');
  });
  test.each(['', 'key.asc', './key', '../key', '~', '~root/key', '/dir/', '/a\nb', '/a\u0000b'])('secret file %j', (path) => {
    refuses(() => Secret.fromFile(path), 'path');
  });
  test.each(['', ' ', 'a b', '-1', '1\n2', 'x'.repeat(41), '${x}', 2 as unknown as string])('secret version %j', (version) => {
    refuses(() => Secret.fromEnvironment('KEY', { version }), 'version');
    refuses(() => Secret.fromFile('/key', { version }), 'version');
  });
  test.each([4, 0, -1, 601, 60.5, Number.NaN, '60' as unknown as number])('confirmWithinSeconds %p', (confirmWithinSeconds) => {
    refuses(() => bareServer({ confirmWithinSeconds }), 'confirmWithinSeconds');
  });
  const ED25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHKm8lzZdKDUvd9Z/CqzEwdz1fvIMemFct8hrnuyfpg alice@example.org';
  test.each([
    '',
    'ssh-ed25519',
    'ssh-ed25519 AAAA',
    ED25519.replace('ssh-ed25519 ', 'ssh-rsa '),
    ED25519.replace('ssh-ed25519 ', 'ssh-dss '),
    `command="x" ${ED25519}`,
    `${ED25519}\nssh-ed25519 AAAA`,
    ED25519.replace('AAAAC3', 'AAAAC4'),
    '-----BEGIN OPENSSH PRIVATE KEY-----',
    42 as unknown as string,
  ])('authorized key %j', (line) => {
    refuses(() => bareServer({ user: 'mirror-deploy', authorizedKeys: [line] }), 'authorizedKeys');
  });
  test('no authorized key at all, or one twice', () => {
    refuses(() => bareServer({ user: 'mirror-deploy', authorizedKeys: [] }), 'authorizedKeys');
    refuses(() => bareServer({ user: 'mirror-deploy', authorizedKeys: [ED25519, ED25519] }), 'authorizedKeys[1]');
  });
  test.each([undefined, 'root', 'mirror', 'admin'])('authorized keys for %j', (user) => {
    refuses(() => bareServer({ ...(user ? { user } : {}), authorizedKeys: [ED25519], bootstrapUser: 'admin' }), 'user');
  });
  test('an account of 32 characters: one that is there may have them, one that the server makes may not', () => {
    const user = 'x'.repeat(32);
    expect(() => bareServer({ user })).not.toThrow();
    refuses(() => bareServer({ user, authorizedKeys: [ED25519] }), 'mirror/server: user', '31 characters');
    expect(() => bareServer({ user: user.slice(1), authorizedKeys: [ED25519] })).not.toThrow();
  });
  test('a bootstrap user without authorized keys', () => refuses(() => bareServer({ bootstrapUser: 'admin' }), 'bootstrapUser'));
  test('a bootstrap user that is none', () => {
    refuses(() => bareServer({ user: 'mirror-deploy', authorizedKeys: [ED25519], bootstrapUser: 'a b' }), 'bootstrapUser');
  });
  test('whatever is public can be unpublished by a waiver', () => {
    for (const element of [
      'repository/a',
      'tree/a',
      'downloads/a',
      'lists/a',
      'release/3.0',
      'builds/a',
      'packages/starlingx/a',
      'codename/mos/a',
    ])
      expect(() => Waiver.unpublish({ elements: [element], reason: 'the product ended' })).not.toThrow();
  });
  test.each<[string, () => unknown, string]>([
    ['a take-over without an owner', () => Waiver.takeOver({ from: '', reason: 'their deployment is gone' }), 'from'],
    ['a take-over without a reason', () => Waiver.takeOver({ from: 'old/server', reason: '' }), 'reason'],
    ['nothing to unpublish', () => Waiver.unpublish({ elements: [], reason: 'the product ended' }), 'elements'],
    ['what is no element', () => Waiver.unpublish({ elements: ['epel-7'], reason: 'the product ended' }), 'elements[0]'],
    [
      'an element twice',
      () => Waiver.unpublish({ elements: ['repository/a', 'repository/a'], reason: 'the product ended' }),
      'elements[1]',
    ],
    ['a prop that is none', () => Waiver.takeOver({ form: 'x', from: 'x', reason: 'their deployment is gone' } as never), 'form'],
    ['no list', () => bareServer({ waivers: 'all' as never }), 'waivers'],
    ['what is no waiver', () => bareServer({ waivers: [{ owner: 'x' } as never] }), 'waivers[0]'],
    [
      'two take-overs',
      () =>
        bareServer({
          waivers: ['a', 'b'].map((from) => Waiver.takeOver({ from, reason: 'their deployment is gone' })),
        }),
      'waivers',
    ],
  ])('a waiver: %s', (_, make, prop) => refuses(make, prop));
  test.each(['', 'lower', 'A B', '1X', 'X=Y', '$X'])('secret variable %j', (name) => {
    refuses(() => Secret.fromEnvironment(name), 'Secret.fromEnvironment: name');
  });
  test('an unresolved token', () => {
    refuses(() => bareServer({ address: Lazy.stringValue({ produce: () => 'late.example.org' }) }), 'unresolved cdktf token');
  });
  test('a second server in a stack, and one outside a MirrorStack', () => {
    const { server } = mirror();
    refuses(() => new MirrorServer(MirrorStack.of(server), 'second', serverProps), 'a stack has one MirrorServer');
  });
  test('no vhost', () => {
    const { app } = bareServer();
    expect(() => synth(app)).toThrow(/mirror\/server: no NginxVhost was declared/);
  });
  test('a repository before the vhost, and two vhosts', () => {
    refuses(() => repository(bareServer().server, 'r'), 'declared before what it serves');
    refuses(() => new NginxVhost(mirror().server, 'again', { serverName: 'b.example.org' }), 'one NginxVhost');
  });
  test.each(['', 'a b', 'a;b', '1.2.3.4', '*.example.org', 'a{}', 'under_score.example.org'])('server name %j', (serverName) => {
    refuses(() => new NginxVhost(bareServer().server, 'v', { serverName }), 'mirror/server/v: serverName');
  });
});

/** As main.ts passes them: synthesis checks no types. */
const any = <T>(value: unknown): T => value as T;
const codenameProps = { release: '7.0', distribution: Distribution.CENTOS, version: '6' };

describe('misspelt props', () => {
  test.each<[string, () => unknown, string, string]>([
    ['server', () => bareServer(any({ storage: '/srv/x' })), 'mirror/server: prop "storage"', 'there are address, port, user,'],
    ['server, near', () => bareServer(any({ adress: 'x' })), 'mirror/server: prop "adress"', 'Did you mean address?'],
    [
      'jump host',
      () => bareServer(any({ jumpHost: { address: 'jump', user: 'root', hostKey: HOST_KEY, prot: 2222 } })),
      'mirror/server: jumpHost, prop "prot"',
      'Did you mean port?',
    ],
    ['jump host, no object', () => bareServer(any({ jumpHost: 'jump' })), 'mirror/server: jumpHost "jump"', 'an object with address'],
    ['vhost', () => mirror({}, any({ ipV6: false })), 'mirror/server/vhost: prop "ipV6"', 'Did you mean ipv6?'],
    [
      'repository',
      () => repository(mirror().server, 'r', any({ schedul: 1 })),
      'mirror/server/r: prop "schedul"',
      'Did you mean schedule?',
    ],
    [
      'customer',
      () => new Customer(mirror().server, 'c', any({ access: Access.public(), key: [] })),
      'mirror/server/c: prop "key"',
      'keys?',
    ],
    [
      'codename',
      () => new MosCodename(mirror().server, 'c', any({ ...codenameProps, arch: [] })),
      'mirror/server/c: prop "arch"',
      'Remove it.',
    ],
    ['timer', () => new SyncTimer(mirror().server, 't', any({ repository: 'r' })), 'mirror/server/t: prop "repository"', 'repositoryId'],
    ['daily', () => SyncSchedule.daily(any({ hour: 3, minutes: 30 })), 'SyncSchedule.daily: at, prop "minutes"', 'Did you mean minute?'],
    ['hourly', () => SyncSchedule.hourly(any({ hour: 3, minute: 1 })), 'SyncSchedule.hourly: at, prop "hour"', 'there are minute'],
    ['weekly', () => SyncSchedule.weekly(any({ days: 'Mon', hour: 3 })), 'SyncSchedule.weekly: at, prop "days"', 'Did you mean day?'],
  ])('%s', (_name, act, ...parts) => {
    refuses(act, ...parts);
  });
  test.each<[string, (props: never) => unknown]>([
    ['other/server', (props) => new MirrorServer(new MirrorStack(bareServer().app, 'other'), 'server', props)],
    ['mirror/server/x', (props) => new NginxVhost(bareServer().server, 'x', props)],
    ['mirror/server/x', (props) => new RpmRepository(mirror().server, 'x', props)],
    ['mirror/server/x', (props) => new Customer(mirror().server, 'x', props)],
    ['mirror/server/x', (props) => new MosCodename(mirror().server, 'x', props)],
    ['mirror/server/x', (props) => new SyncTimer(mirror().server, 'x', props)],
    ['SyncSchedule.daily', (props) => SyncSchedule.daily(props)],
    ['SyncSchedule.hourly', (props) => SyncSchedule.hourly(props)],
    ['SyncSchedule.weekly', (props) => SyncSchedule.weekly(props)],
  ])('%s without props, or with another thing', (where, make) => {
    for (const props of [undefined, null, 'text', 3, []])
      refuses(() => make(any(props)), where.replace('mirror/server/x', '/x'), 'an object with');
  });
});

describe('values that our classes make', () => {
  const epel = PublicKey.fromFile('keys/RPM-GPG-KEY-EPEL-7');
  const customer = (keys: unknown): Customer => new Customer(mirror().server, 'c', { access: Access.public(), keys: any(keys) });
  test('keys', () => {
    refuses(() => Trust.signedMetadata(any(['RPM-GPG-KEY-EPEL-7'])), 'Trust.signedMetadata: keys[0]', 'PublicKey');
    refuses(() => Trust.signedPackages(any([epel, undefined])), 'Trust.signedPackages: keys[1]');
    refuses(() => customer(['RPM-GPG-KEY-EPEL-7']), 'mirror/server/c: keys[0] "RPM-GPG-KEY-EPEL-7"', 'key("<file>")');
    refuses(() => customer(epel), 'mirror/server/c: keys', 'a list of keys');
  });
  test('a key twice, read once or twice', () => {
    const again = PublicKey.fromFile('keys/RPM-GPG-KEY-EPEL-7');
    refuses(() => customer([epel, again]), 'mirror/server/c: keys[1] "RPM-GPG-KEY-EPEL-7"', 'keys[0] is the same');
    refuses(() => Trust.signedPackages([epel, epel]), 'keys[1]', 'once');
    refuses(() => Trust.signedPackages([epel, again]), 'keys[1]', 'keys[0] is the same');
  });
  test.each(['daily', { hour: 3 }, null, mirror().server])('schedule', (schedule) => {
    const { server } = mirror();
    refuses(() => repository(server, 'r', { schedule: any(schedule) }), 'mirror/server/r: schedule', 'SyncSchedule.daily({ hour: 3 })');
    repository(server, 's');
    refuses(() => new SyncTimer(server, 't', { repositoryId: 's', schedule: any(schedule) }), 'mirror/server/t: schedule');
  });
});

describe('upstreams', () => {
  test.each([
    '', 'vault.centos.org/7', 'ftp://host/x/', 'file:///etc/passwd', 'gopher://host/x/', 'rsync://host/', 'rsync://user@host/module/', 'http://user:secret@host/x/', 'http://host', 'http:///x', 'http://host/a/../b/',
    'http://host/%2e%2e/b/', 'http://host/a%2Fb/', 'http://host/$basearch/', 'http://host/${x}/', 'http://host/x?y=z', 'http://host/x#y', 'http://host:0/x/', 'http://host:65536/x/', 'http://[fe80::1%25eth0]/x/',
    'http://host/a b/', 'http://host/a\nb/', 'http://ho st/x/', 'http://host/\u202e/', 'http://host/%zz/', 'javascript:alert(1)', 'http://host/"/', "http://host/'/", 'http://host/%00/', `http://host/${'x'.repeat(2000)}/`,
  ])('%j', (url) => {
    refuses(() => repository(mirror().server, 'r', { fetchFrom: [url] }), 'mirror/server/r: fetchFrom[0]');
    refuses(() => repository(mirror().server, 'r', { publishedAs: url }), 'mirror/server/r: publishedAs');
  }); // prettier-ignore
  test('none, and the same one twice', () => {
    refuses(() => repository(mirror().server, 'r', { fetchFrom: [] }), 'fetchFrom', 'at least one URL');
    refuses(() => repository(mirror().server, 'r', { fetchFrom: ['http://a.example/x/', 'http://a.example/x/'] }), 'fetchFrom[1]', 'once');
  });
  test('no trust, an unknown view, an unknown distribution', () => {
    refuses(
      () => new RpmRepository(mirror().server, 'r', { ...repositoryProps, trust: undefined as unknown as Trust }),
      'every repository declares its trust',
      'Trust.digestsOnly(reason)',
    );
    refuses(() => repository(mirror().server, 'r', { view: 'filtered' as View }), 'a view is one of verbatim');
    refuses(() => repository(mirror().server, 'r', { distribution: 'windows' as Distribution }), 'known distributions: centos');
  });
  test.each(['', 'short', 'x'.repeat(301), 'two\nlines of reason', 'hidden \u202e reason here'])('reason %j', (why) => {
    refuses(() => Trust.digestsOnly(why), 'Trust.digestsOnly: why');
  });
  test('trust without a key', () => {
    refuses(() => Trust.signedMetadata([]), 'Trust.signedMetadata: keys', 'at least one key');
    refuses(() => Trust.signedPackages([]), 'Trust.signedPackages: keys');
  });
});

describe('paths and ids that collide', () => {
  test('two repositories on one path, and one under another', () => {
    const { server } = mirror();
    repository(server, 'one', { publishedAs: 'https://up.example.org/a/' });
    refuses(() => repository(server, 'two', { publishedAs: 'http://up.example.org/a' }), 'is the same as', 'mirror/server/one');
    refuses(() => repository(server, 'four', { publishedAs: 'https://up.example.org/' }), 'it has no path');
    repository(server, 'deep', { publishedAs: 'https://up.example.org/x/y/z/' });
    refuses(() => repository(server, 'above', { publishedAs: 'https://up.example.org/x/' }), 'lies above', 'mirror/server/deep');
    repository(server, 'five', { publishedAs: 'https://up.example.org/ab/' });
  });
  test('one id twice', () => {
    const { server } = mirror();
    repository(server, 'a', { id: 'same' });
    refuses(
      () => repository(server, 'b', { id: 'same', publishedAs: 'https://other.example.org/x/' }),
      'mirror/server/b',
      'declared at mirror/server/a already',
    );
  });
  test('a repository and a customer, or the product, of one id', () => {
    const { server } = mirror();
    repository(server, 'acme');
    refuses(
      () => new Customer(server, 'c', { id: 'acme', access: Access.public() }),
      'mirror/server/c: id "acme"',
      'mirror/server/acme has this id',
    );
    new Customer(server, 'other', { access: Access.public() });
    refuses(() => repository(server, 'r', { id: 'other' }), 'mirror/server/r: id "other"', 'mirror/server/other has this id');
    refuses(() => repository(server, 'm', { id: 'mos' }), 'mirror/server/m: id "mos"', 'the product itself');
  });
  test('/cust and /cust2 are apart, /cust and /cust/x are not', () => {
    const { server } = mirror();
    new Customer(server, 'cust', { access: Access.public() });
    new Customer(server, 'cust2', { access: Access.public() });
    refuses(() => new Customer(server, 'x', { prefix: 'cust/x', access: Access.public() }), 'lies under', 'mirror/server/cust');
  });
  test('the same codename twice', () => {
    const { server } = mirror();
    const props = { release: '7.0', distribution: Distribution.CENTOS, version: '6' };
    new MosCodename(server, 'a', props);
    refuses(() => new MosCodename(server, 'b', props), 'mirror/server/b');
  });
});

describe('codenames', () => {
  const codename = (props: object): MosCodename =>
    new MosCodename(mirror().server, 'c', { release: '7.0', distribution: Distribution.CENTOS, version: '6', ...props });
  test.each(['', '7', '7.x', 'v7.0', '7.0-beta', '7.0/..', '7.0.0.0', 7 as unknown as string])('release %j', (release) => {
    refuses(() => codename({ release }), 'mirror/server/c: release');
  });
  test.each(['', '06', '6.5', 'six', '-6', '1000'])('version %j', (version) => {
    refuses(() => codename({ version }), 'mirror/server/c: version');
  });
  test.each(['', 'debian', 'CentOS', '../centos'])('distribution %j', (distribution) => {
    refuses(() => codename({ distribution }), 'mirror/server/c: distribution', 'centos');
  });
  test('variant and architectures', () => {
    refuses(() => codename({ variant: 'gold' }), 'a variant is one of fuel');
    refuses(() => codename({ architectures: [] }), 'at least one architecture');
    refuses(() => codename({ architectures: ['x86_64', 'x86_64'] }), 'each architecture once');
    refuses(() => codename({ architectures: ['src'] }), 'known architectures');
    refuses(() => codename({ components: [] }), 'at least one component');
    refuses(() => codename({ components: ['os', 'os'] }), 'each component once');
    refuses(() => codename({ components: ['snapshots'] }), 'are reserved');
    refuses(() => codename({ components: ['../os'] }), 'an id is');
    refuses(() => codename({ keys: ['RPM-GPG-KEY-mos7.0' as never] }), 'a key is made by PublicKey');
    refuses(() => codename({ holdbackKeys: ['RPM-GPG-KEY-CentOS-7' as never] }), 'holdbackKeys[0]', 'a key is made by PublicKey');
    refuses(
      () => codename({ components: ['os'], holdbackKeys: [PublicKey.fromFile('keys/RPM-GPG-KEY-Ceph')] }),
      'this codename does not have',
      'Name holdback among its components',
    );
  });
});

describe('access', () => {
  test.each([
    '',
    '10.0.0.0/33',
    '10.0.0.1/8',
    '300.1.1.1',
    'example.org',
    '2001:db8::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    'all',
    '10.0.0.0/08',
    'fe80::1%eth0',
    '10.0.0.0; allow all',
    '2001:db8::1/32',
    '2001:db8:0:1::/48',
    '::1/0',
    'ffff::/15',
    '::ffff:10.0.0.1/104',
    '2001:db8::1/127',
  ])('network %j', (network) => {
    refuses(() => Access.networks([network]), 'Access.networks: networks[0]');
  });
  test.each([
    '2001:db8::/32',
    '2001:db8::1',
    '2001:db8::1/128',
    '::/0',
    '2001:db8:0:1::/64',
    'fe00::/7',
    '2001:db8::2/127',
    '1:2:3:4:5:6:7:8/125',
    '10.0.0.0/8',
    '0.0.0.0/0',
  ])('network %j is fine', (network) => {
    expect(Access.networks([network]).readers).toEqual([network]);
  });
  test('no network, one twice, and no access at all', () => {
    refuses(() => Access.networks([]), 'at least one network');
    refuses(() => Access.networks(['10.0.0.0/8', '10.0.0.0/8']), 'once');
    refuses(() => new Customer(mirror().server, 'c', { access: undefined as unknown as Access }), 'every customer declares who may read');
  });
});

describe('schedules', () => {
  test.each([24, -1, 25, Number.NaN, 3.5, '03' as unknown as number])('hour %p', (hour) => {
    refuses(() => SyncSchedule.daily({ hour }), 'SyncSchedule.daily: hour', '0 to 23');
  });
  test.each([60, -1, Number.NaN, 0.5])('minute %p', (minute) => {
    refuses(() => SyncSchedule.hourly({ minute }), 'SyncSchedule.hourly: minute', '0 to 59');
  });
  test.each(['Monday', 'mon', '', 1])('day %p', (day) => {
    refuses(() => SyncSchedule.weekly({ day: day as 'Mon', hour: 1 }), 'SyncSchedule.weekly: day');
  });
});

describe('timers', () => {
  test.each([...HOSTILE, 'not-declared'])('of repository %j', (repositoryId) => {
    refuses(() => new SyncTimer(mirror().server, 't', { repositoryId }), 'mirror/server/t: repositoryId');
  });
  test('a second one', () => {
    const { server } = mirror();
    repository(server, 'r');
    refuses(() => new SyncTimer(server, 't', { repositoryId: 'r' }), 'declared at mirror/server/r/Timer already');
  });
});

describe('key files', () => {
  const good = readFileSync('keys/RPM-GPG-KEY-EPEL-7', 'utf8');
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'mirror-keys-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };

  test.each([
    ['empty', ''],
    ['utf16', Buffer.from(`\ufeff${good}`, 'utf16le')],
    ['nul', good.replace('\n\n', '\n\0\n')],
    ['truncated', good.slice(0, good.length / 2)],
    ['html', '<html>404 Not Found</html>'],
    ['bit-flip', good.replace(/\n([A-Za-z])(\w{20})/, (_m, a: string, b: string) => `\n${a === 'B' ? 'C' : 'B'}${b}`)],
    ['long-line', 'A'.repeat(10_000_000)],
    ['two-keys', `${good}\n${readFileSync('keys/RPM-GPG-KEY-Ceph', 'utf8')}`],
  ])('%s', (name, content) => {
    refuses(() => PublicKey.fromFile(file(name, content)), name);
  });
  test('a directory, a FIFO, a missing file, a dangling link', () => {
    mkdirSync(join(directory, 'dir'));
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    symlinkSync('nowhere', join(directory, 'dangling'));
    for (const name of ['dir', 'fifo', 'missing', 'dangling'])
      refuses(() => PublicKey.fromFile(join(directory, name)), name, 'regular file');
  });
  test('a byte order mark, CRLF and a missing final newline do no harm', () => {
    const fingerprint = PublicKey.fromFile('keys/RPM-GPG-KEY-EPEL-7').fingerprint;
    expect(PublicKey.fromFile(file('bom', `\ufeff${good}`)).fingerprint).toBe(fingerprint);
    expect(PublicKey.fromFile(file('crlf', good.replaceAll('\n', '\r\n'))).fingerprint).toBe(fingerprint);
    expect(PublicKey.fromFile(file('no-newline', good.trimEnd())).fingerprint).toBe(fingerprint);
  });
  test.each(['-rf', 'a b', '.hidden', 'ünï'])('name %j', (name) => {
    refuses(() => PublicKey.fromFile(join(directory, name)), 'PublicKey.fromFile');
  });
  test('two files of one name with different content', () => {
    const other = mkdtempSync(join(tmpdir(), 'mirror-keys-'));
    writeFileSync(join(other, 'RPM-GPG-KEY-EPEL-7'), readFileSync('keys/RPM-GPG-KEY-Ceph'));
    const { server } = mirror();
    repository(server, 'a');
    refuses(
      () => repository(server, 'b', { trust: Trust.signedPackages([PublicKey.fromFile(join(other, 'RPM-GPG-KEY-EPEL-7'))]) }),
      'another content',
    );
    rmSync(other, { recursive: true });
  });
});
