import { MirrorError } from '../../desired-state/errors';
import { addressesIn, candidatePrefixes, hostsFile, instanceOf, overlaps } from '../../lab/instance';

describe('instanceOf', () => {
  const of = (name: string, checkout = '/checkouts/one') => instanceOf(name, checkout, '/cache');

  test.each(['default', 'a', 'test-123456', 'a'.repeat(20)])('accepts %s, and its interface fits into 15 characters', (name) => {
    expect(of(name).gatewayInterface.length).toBeLessThanOrEqual(15);
    expect(of(name).state).toBe(`/var/tmp/package-mirror-lab/${of(name).key}`);
  });

  test.each(['', 'A', 'a_b', '-a', 'a/b', '../x', 'a b', 'a'.repeat(21), 'é'])('refuses %j', (name) => {
    expect(() => of(name)).toThrow(MirrorError);
    expect(() => of(name)).toThrow(JSON.stringify(name));
  });

  test('checkouts and names never share anything', () => {
    const [one, other, elsewhere] = [of('a'), of('b'), of('a', '/checkouts/other')];
    for (const pick of [
      (i: typeof one) => i.state,
      (i: typeof one) => i.gatewayInterface,
      (i: typeof one) => i.namespaces.mirror,
      (i: typeof one) => i.namespaces.switch,
    ]) {
      expect(new Set([one, other, elsewhere].map(pick)).size).toBe(3);
    }
  });
});

describe('overlaps', () => {
  test.each([
    ['10.200.1', ['10.200.1.0/24'], true],
    ['10.200.1', ['10.200.1.77'], true],
    ['10.200.1', ['10.200.0.0/16'], true],
    ['10.200.1', ['10.0.0.0/8'], true],
    ['10.200.1', ['10.200.1.128/25'], true],
    ['10.200.1', ['10.200.2.0/24', '10.200.0.0/24', '192.168.0.0/16'], false],
    ['10.200.1', ['default', 'fd00::/64', 'blackhole'], false],
    ['10.200.1', [], false],
  ])('%s and %j: %s', (prefix, networks, expected) => expect(overlaps(prefix, networks)).toBe(expected));
});

test('candidate subnets: each once, all in 10.200 to 10.249, not all starting at the same', () => {
  const all = [...candidatePrefixes('a-1')];
  expect(new Set(all).size).toBe(50 * 256);
  for (const prefix of all) expect(prefix).toMatch(/^10\.2[0-4]\d\.\d{1,3}$/);
  expect([...candidatePrefixes('b-2')][0]).not.toBe(all[0]);
});

test('the mirror host resolves every upstream to an address of its own', () => {
  const addresses = addressesIn('10.200.1');
  const upstreams = Object.values(addresses.upstreams);
  expect(Object.keys(addresses.upstreams)).toEqual(expect.arrayContaining(['vault.centos.org', 'download.docker.com']));
  expect(new Set([...upstreams, addresses.mirror, addresses.client, addresses.gateway]).size).toBe(upstreams.length + 3);
  expect(hostsFile('mirror', addresses, addresses.upstreams).split('\n')).toContain(
    `${addresses.upstreams['vault.centos.org']} vault.centos.org`,
  );
});
