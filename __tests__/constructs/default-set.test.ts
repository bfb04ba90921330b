import {
  Access,
  Customer,
  DefaultSet,
  Distribution,
  MosCodename,
  Trust,
  Variant,
  View,
  type DefaultSetProps,
  type MosCodenameProps,
} from '../../constructs';
import { key, mirror, refuses, repository, synth } from './support';

/** As main.ts passes them: synthesis checks no types. */
const any = <T>(value: unknown): T => value as T;
const SEVEN: MosCodenameProps = { release: '9.0', distribution: Distribution.CENTOS, version: '7' };

function declared() {
  const { app, server } = mirror();
  const base = repository(server, 'centos-7-os', { trust: Trust.signedMetadata([key('RPM-GPG-KEY-CentOS-7')]), view: View.ACCUMULATE });
  const codename = new MosCodename(server, 'mos9.0-centos7', {
    ...SEVEN,
    components: ['os', 'updates', 'security', 'holdback', 'cr', 'hotfix'],
  });
  const customer = new Customer(server, 'acme', { access: Access.networks(['192.0.2.0/24']) });
  const own = new MosCodename(customer, 'mos9.0-centos7', SEVEN);
  return { app, server, base, codename, customer, own };
}

/** Priorities by section, in the order of the file. */
function priorities(text: string | undefined): Record<string, number> {
  const found = [...(text ?? '').matchAll(/^\[(.*)\]\n(?:[a-z_]+=.*\n)*?priority=(\d+)$/gm)];
  return Object.fromEntries(found.map(([, id, number]) => [id as string, Number(number)]));
}

test("a node's repositories: the codename's components by their priorities, then the base", () => {
  const { app, server, base, codename } = declared();
  new DefaultSet(server, 'nodes', { codename, base: [base] });
  const result = synth(app);
  const element = result.desiredState.elements.find(({ id }) => id === 'set/mos/9.0-centos7-openstack');
  const text = element?.files['repo-files/9.0-centos7-openstack.repo'];
  expect(priorities(text)).toEqual({
    'mos-mos9.0-centos7-os': 10,
    'mos-mos9.0-centos7-updates': 5,
    'mos-mos9.0-centos7-security': 2,
    'mos-mos9.0-centos7-holdback': 1,
    'mos-mos9.0-centos7-cr': 5,
    'mos-mos9.0-centos7-hotfix': 5,
    'centos-7-os': 99,
  });
  expect(text).toMatch(/^# yum minds priorities where the package yum-plugin-priorities is installed/);
  // The same sections as in the files of each: a node has one of them.
  const sections = (file: string | undefined): string[] => (file ?? '').split(/^(?=\[)/m).slice(file?.startsWith('#') ? 1 : 0).map((one) => one.trim()); // prettier-ignore
  const files = result.desiredState.elements.flatMap(
    ({ files }) => files['repo-files/mos9.0-centos7.repo'] ?? files['repo-files/centos-7-os.repo'] ?? [],
  );
  expect(sections(text).sort()).toEqual(files.flatMap(sections).sort());
  expect(result.element('set/mos/9.0-centos7-openstack').triggers['definition']).toBe(
    'kind: set\nid: mos/9.0-centos7-openstack\ncodenames:\n  - mos/mos9.0-centos7\nbase:\n  - centos-7-os\n',
  );
});

test("a customer's set: the customer's components before all of the product's, before the base; behind the customer's list", () => {
  const { app, server, base, codename, customer, own } = declared();
  const product = new DefaultSet(server, 'nodes', { codename, base: [base] });
  new DefaultSet(customer, 'nodes', { codename: own, on: product });
  const element = synth(app).desiredState.elements.find(({ id }) => id === 'set/acme/9.0-centos7-openstack');
  expect(Object.keys(element?.files ?? {})).toEqual(['owners/acme/9.0-centos7-openstack.repo']);
  const found = priorities(element?.files['owners/acme/9.0-centos7-openstack.repo']);
  const of = (owner: string): number[] => Object.entries(found).flatMap(([id, number]) => (id.startsWith(owner) ? [number] : []));
  expect(Math.max(...of('acme-'))).toBeLessThan(Math.min(...of('mos-')));
  expect(Math.max(...of('mos-'))).toBeLessThan(found['centos-7-os'] as number);
  expect(found).toMatchObject({ 'acme-mos9.0-centos7-updates': 5, 'mos-mos9.0-centos7-updates': 35, 'mos-mos9.0-centos7-holdback': 31 });
});

test("a customer's set changes nobody else's element", () => {
  const states = [false, true].map((withSet) => {
    const { app, server, base, codename, customer, own } = declared();
    const product = new DefaultSet(server, 'nodes', { codename, base: [base] });
    if (withSet) new DefaultSet(customer, 'nodes', { codename: own, on: product });
    return synth(app).desiredState.elements.filter(({ id }) => id !== 'set/acme/9.0-centos7-openstack');
  });
  expect(states[1]).toEqual(states[0]);
});

test('a fuel codename is for Fuel master nodes; dnf alone is on later distributions, so that nothing is said of a plugin', () => {
  const { app, server } = mirror();
  const codename = new MosCodename(server, 'c', {
    release: '10.0',
    distribution: Distribution.CENTOS,
    version: '8',
    variant: Variant.FUEL,
  });
  new DefaultSet(server, 'nodes', { codename });
  const element = synth(app).desiredState.elements.find(({ id }) => id.startsWith('set/'));
  expect(element?.id).toBe('set/mos/10.0-centos8-fuel-master');
  expect(element?.files['repo-files/10.0-centos8-fuel-master.repo']).toMatch(/^\[mos-mos10\.0-centos8-fuel-os\]/);
});

type Made = ReturnType<typeof declared> & { product: DefaultSet; fuel: MosCodename };
test.each<[string, (made: Made) => unknown, string[]]>([
  ["a customer's codename on the server", ({ server, own }) => new DefaultSet(server, 's', { codename: own }), ['codename', 'of the product']],
  ["the product's codename on a customer", ({ customer, codename, product }) => new DefaultSet(customer, 's', { codename, on: product }), ['codename', 'of the customer acme']],
  ['no codename', ({ server }) => new DefaultSet(server, 's', any({})), ['codename undefined']],
  ['a set on another on the server', ({ server, fuel, product }) => new DefaultSet(server, 's', { codename: fuel, on: product }), ['on ', "only a customer's set"]],
  ['a base that is no repository', ({ server, fuel, codename }) => new DefaultSet(server, 's', { codename: fuel, base: any([codename]) }), ['base[0]', 'an RpmRepository of the same server']],
  ['an empty base', ({ server, fuel }) => new DefaultSet(server, 's', { codename: fuel, base: [] }), ['base []', 'at least one']],
  ['a base twice', ({ server, fuel, base }) => new DefaultSet(server, 's', { codename: fuel, base: [base, base] }), ['base[1]', 'each RpmRepository once']],
  ['a base of another server', ({ server, fuel }) => new DefaultSet(server, 's', { codename: fuel, base: [declared().base] }), ['base[0]', 'of the same server']],
  ["a customer's own base", ({ customer, own, base, product }) => new DefaultSet(customer, 's', { codename: own, base: [base], on: product }), ['base', "the base of the product's set"]],
  ['a customer on nothing', ({ customer, own }) => new DefaultSet(customer, 's', { codename: own }), ['on undefined', "on top of the product's DefaultSet"]],
  ['a customer on a customer', ({ customer, own, product }) => new DefaultSet(customer, 's', { codename: own, on: new DefaultSet(customer, 't', { codename: own, on: product }) }), ['on ', "on top of the product's DefaultSet"]],
  ['a set for other nodes', ({ server, customer, own, fuel }) => new DefaultSet(customer, 's', { codename: own, on: new DefaultSet(server, 'f', { codename: fuel }) }), ['on "9.0-centos7-fuel-master"', 'is for 9.0-centos7-openstack']],
  ['the same set twice', ({ server, codename }) => new DefaultSet(server, 'again', { codename }), ['id "set/mos/9.0-centos7-openstack"', 'declared at']],
  ['an unknown prop', ({ server, codename }) => new DefaultSet(server, 's', any<DefaultSetProps>({ codename, bases: [] })), ['prop "bases"', 'Did you mean base?']],
])('%s is refused', (_what, act, parts) => {
  const made = declared();
  const product = new DefaultSet(made.server, 'nodes', { codename: made.codename, base: [made.base] });
  const fuel = new MosCodename(made.server, 'fuel', { ...SEVEN, variant: Variant.FUEL });
  refuses(() => act({ ...made, product, fuel }), ...parts);
}); // prettier-ignore
