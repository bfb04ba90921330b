/** What an UploadAccount makes of its props, and what it refuses. */
import { parse } from 'yaml';
import {
  Access,
  BuildArchive,
  Customer,
  Distribution,
  MosCodename,
  UploadAccount,
  type UploadAccountProps,
  UploadProtocol,
} from '../../constructs';
import { type UploadDefinition, UploadDefinitionSchema } from '../../desired-state/definitions';
import { DesiredStateSchema } from '../../desired-state/model';
import { summarize } from '../../scripts/plan-summary';
import { activation, change, plan } from '../scripts/plan-summary/plans';
import { HOSTILE, mirror, refuses, synth, type Synthesized } from './support';

const any = <T>(value: unknown): T => value as T;
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const ALICE = `${KEY} alice@example.org`;
const BOB = `${KEY.replace(/A{8}$/, 'AAAAAAAB')} bob@example.org`;

interface Declared {
  readonly app: ReturnType<typeof mirror>['app'];
  readonly server: ReturnType<typeof mirror>['server'];
  readonly acme: Customer;
  readonly own: MosCodename;
  readonly product: MosCodename;
}
function declared(server: Parameters<typeof mirror>[0] = {}): Declared {
  const made = mirror(server);
  const acme = new Customer(made.server, 'acme', { access: Access.public() });
  const props = { release: '9.0', distribution: Distribution.CENTOS, version: '7', components: ['os', 'cr'] };
  return { ...made, acme, own: new MosCodename(acme, 'own', props), product: new MosCodename(made.server, 'product', props) };
}
const definition = (from: Synthesized, account: string): UploadDefinition =>
  UploadDefinitionSchema.parse(parse(from.element(`upload/${account}`).triggers['definition'] ?? ''));
const uploading = (props: Partial<UploadAccountProps> = {}): void => {
  const { acme, own } = declared();
  new UploadAccount(acme, 'build', { authorizedKeys: [ALICE], codenames: [own], ...props });
};

test('an account of a customer, and one of the product', () => {
  const { app, server, acme, own, product } = declared();
  expect(new UploadAccount(acme, 'build', { name: 'acme-build', authorizedKeys: [ALICE, BOB], codenames: [own] }).account).toBe(
    'acme-build',
  );
  new UploadAccount(server, 'mos-build', { authorizedKeys: [BOB], codenames: [product], components: ['cr'] });
  const result = synth(app);
  expect(definition(result, 'acme-build')).toEqual({
    kind: 'upload',
    id: 'acme-build',
    owner: 'acme',
    components: ['acme/mos9.0-centos7/os', 'acme/mos9.0-centos7/cr'],
  });
  expect(definition(result, 'mos-build')).toMatchObject({ owner: 'mos', components: ['mos/mos9.0-centos7/cr'] });
  const state = DesiredStateSchema.parse(result.desiredState);
  const element = state.elements.find(({ id }) => id === 'upload/acme-build');
  expect(element?.uploads).toEqual({ account: 'acme-build', directories: ['mos9.0-centos7/os', 'mos9.0-centos7/cr'] });
  expect(element?.files['ssh/uploads/acme-build']).toBe(`# Declared in main.ts: changes are overwritten.\n${ALICE}\n${BOB}\n`);
  expect(element?.files['systemd/mirror-uploads@acme-build.path']).toContain(
    'PathChanged=/var/lib/mirror-uploads/acme-build/mos9.0-centos7/os\nPathChanged=/var/lib/mirror-uploads/acme-build/mos9.0-centos7/cr\n',
  );
  expect(state.packages).toContain('openssh-server');
});

test('an account changes nothing of what is declared beside it', () => {
  const without = synth(declared().app);
  const { app, acme, own } = declared();
  new UploadAccount(acme, 'build', { authorizedKeys: [ALICE], codenames: [own] });
  const triggers = ({ json }: Synthesized): Record<string, Record<string, string>> =>
    Object.fromEntries(
      Object.values(json.resource.null_resource)
        .filter((one) => one.triggers['element'] !== 'activation')
        .map((one) => [one.triggers['element'] as string, one.triggers]),
    );
  const { 'upload/build': added, ...others } = triggers(synth(app));
  expect(others).toEqual(triggers(without));
  expect(added?.['authorized_keys']).toContain('alice@example.org');
});

test('an account for builds, by rsync', () => {
  const { app, server, product } = declared();
  const flock = new BuildArchive(server, 'stx-master', { branch: 'master', layers: ['compiler', 'flock'] });
  const old = new BuildArchive(server, 'stx-3', { branch: 'r/stx.3.0' });
  new UploadAccount(server, 'stx-build', { authorizedKeys: [ALICE], builds: [flock, old], protocol: UploadProtocol.RSYNC });
  new UploadAccount(server, 'both', { authorizedKeys: [BOB], builds: [old], codenames: [product], components: ['cr'], protocol: UploadProtocol.SFTP }); // prettier-ignore
  const result = synth(app);
  const builds = [
    { series: 'master/centos/compiler', directory: 'stx-master/compiler' },
    { series: 'master/centos/flock', directory: 'stx-master/flock' },
    { series: 'rc/3.0/centos', directory: 'stx-3/builds' },
  ];
  expect(definition(result, 'stx-build')).toEqual({
    kind: 'upload',
    id: 'stx-build',
    owner: 'mos',
    protocol: 'rsync',
    components: [],
    builds,
  });
  expect(definition(result, 'both')).toEqual({ kind: 'upload', id: 'both', owner: 'mos', components: ['mos/mos9.0-centos7/cr'], builds: builds.slice(2) }); // prettier-ignore
  const { elements } = DesiredStateSchema.parse(result.desiredState);
  const of = (account: string) => elements.find(({ id }) => id === `upload/${account}`);
  expect(of('stx-build')?.uploads).toEqual({
    account: 'stx-build',
    directories: builds.map(({ directory }) => directory),
    protocol: 'rsync',
  });
  expect(of('both')?.uploads).toEqual({ account: 'both', directories: ['mos9.0-centos7/cr', 'stx-3/builds'] });
  expect(of('stx-build')?.files['ssh/rsync/stx-build.conf']).toContain('\npath = /var/lib/mirror-uploads/stx-build\n');
  expect(of('both')?.files['ssh/rsync/both.conf']).toBeUndefined();
  expect(result.element('upload/stx-build').triggers['rsync']).toContain('refuse options = * ');
  expect(of('stx-build')?.files['systemd/mirror-uploads@stx-build.path']).toContain(
    'PathChanged=/var/lib/mirror-uploads/stx-build/stx-master/flock\n',
  );
});

describe('what cannot be', () => {
  test('an account for nothing, or with components of no codenames', () => {
    refuses(() => uploading({ codenames: any(undefined) }), 'codenames undefined', 'builds: [ … ]');
    const { server } = declared();
    const builds = [new BuildArchive(server, 'a', { branch: 'master' })];
    refuses(
      () => new UploadAccount(server, 'b', { authorizedKeys: [ALICE], builds, components: ['cr'] }),
      'components ["cr"]',
      'there are none',
    );
  });
  test('archives: none, twice, of another server, of a customer, or something else', () => {
    const { server, acme } = declared();
    const archive = new BuildArchive(server, 'stx', { branch: 'master' });
    const foreign = new BuildArchive(declared().server, 'stx', { branch: 'master' });
    let number = 0;
    const with_ = (builds: readonly BuildArchive[], scope: typeof server | Customer = server) =>
      new UploadAccount(scope, `build${++number}`, { authorizedKeys: [ALICE], builds });
    refuses(() => with_([]), 'builds', 'at least one archive');
    refuses(() => with_([archive, archive]), 'builds[1]', 'once');
    refuses(() => with_([any('stx')]), 'builds[0] "stx"', 'is a BuildArchive');
    refuses(() => with_([foreign]), 'builds[0] "stx"', 'another server');
    refuses(() => with_([archive], acme), 'builds', 'Declare the UploadAccount on the server');
  });
  test.each(['results', 'refused'])('an archive whose directory would be that of %s', (id) => {
    const { server } = declared();
    const builds = [new BuildArchive(server, id, { branch: 'master' })];
    refuses(() => new UploadAccount(server, 'b', { authorizedKeys: [ALICE], builds }), `builds "${id}/builds"`, 'another id');
  });
  test.each(['ftp', '', 1, null])('the protocol %j', (protocol) => {
    refuses(() => uploading({ protocol: any(protocol) }), 'protocol', 'UploadProtocol.RSYNC');
  });

  test.each([...HOSTILE.filter((one) => one !== 'a_b'), '0build', 'x'.repeat(33)])('the name %j', (name) => {
    refuses(() => uploading({ name }), 'name');
  });
  test('a name that is longer than useradd takes', () => {
    refuses(() => uploading({ name: 'x'.repeat(32) }), 'mirror/server/acme/build: name', '31 characters');
  });
  test.each(['root', 'mirror'])('the account %s', (name) => {
    refuses(() => uploading({ name }), `name "${name}"`, 'does anything else');
  });
  test('the account that deploys', () => {
    const { acme, own } = declared({ user: 'mirror-deploy', authorizedKeys: [ALICE] });
    refuses(
      () => new UploadAccount(acme, 'mirror-deploy', { authorizedKeys: [BOB], codenames: [own] }),
      'name "mirror-deploy"',
      'the one that deploys',
    );
  });
  test('an account that is declared already, by another owner', () => {
    const { server, acme, own, product } = declared();
    new UploadAccount(acme, 'build', { authorizedKeys: [ALICE], codenames: [own] });
    refuses(() => new UploadAccount(server, 'build', { authorizedKeys: [ALICE], codenames: [product] }), '"upload/build"', 'declared at');
  });
  test.each([
    [[], 'authorizedKeys'],
    [[ALICE, ALICE], 'authorizedKeys[1]'],
    [['-----BEGIN OPENSSH PRIVATE KEY-----'], 'private key'],
    [[`command="/bin/sh" ${ALICE}`], 'authorizedKeys[0]'],
    [[`${ALICE}\nssh-ed25519 AAAA`], 'authorizedKeys[0]'],
    [any<string[]>(undefined), 'authorizedKeys'],
  ])('the keys %j', (authorizedKeys, word) => {
    refuses(() => uploading({ authorizedKeys }), word);
  });
  test('codenames: none, twice, of another owner, or something else', () => {
    const { server, acme, own, product } = declared();
    let number = 0;
    const with_ = (codenames: readonly MosCodename[]) =>
      new UploadAccount(acme, `build${++number}`, { authorizedKeys: [ALICE], codenames });
    refuses(() => with_([]), 'mirror/server/acme/build1: codenames', 'at least one codename');
    refuses(() => with_([own, own]), 'codenames[1]', 'once');
    refuses(() => with_([own, product]), 'codenames[1] "mos9.0-centos7"', 'another owner (mirror/server/product)');
    refuses(() => with_([any('mos9.0-centos7')]), 'codenames[0] "mos9.0-centos7"', 'is a MosCodename');
    refuses(() => new UploadAccount(server, 'x', { authorizedKeys: [ALICE], codenames: [own] }), 'codenames[0]', 'mirror/server/acme/own');
  });
  test.each([
    [['updates'], 'components[0] "updates"', 'os, cr'],
    [['cr', 'cr'], 'components[1]', 'once'],
    [[], 'components', 'at least one component'],
    [['../os'], 'components[0]', ''],
  ])('the components %j', (components, prop, words) => {
    refuses(() => uploading({ components }), prop, words);
  });
  test('a prop that there is not', () => {
    refuses(() => uploading(any({ codename: [] })), '"codename"', 'Did you mean codenames?');
  });
});

test('what a plan says of it', () => {
  const text = (components: string[], ...keys: string[]): Record<string, string> => ({
    element: 'upload/acme-build',
    definition: `kind: upload\nid: acme-build\nowner: acme\ncomponents:\n${components.map((one) => `  - ${one}\n`).join('')}`,
    authorized_keys: `# Declared in main.ts\n${keys.map((key) => `${key}\n`).join('')}`,
    service: 's',
  });
  const said = (before: Record<string, string> | null, after: Record<string, string> | null): readonly string[] =>
    summarize(plan(change(before, after), change(activation(), activation({ desired_state: 'b' })))).sentences;
  expect(said(null, text(['acme/c/cr', 'acme/c/os'], ALICE))).toEqual([
    'makes the upload account acme-build: lets alice@example.org (ssh-ed25519 …AAAAAAAA) publish to acme/c/cr, acme/c/os',
  ]);
  expect(said(text(['acme/c/cr'], ALICE), null)).toEqual([
    'removes the upload account acme-build: what it uploaded and was not taken stays on the server',
  ]);
  expect(said(text(['acme/c/cr'], ALICE), text(['acme/c/os'], BOB))).toEqual([
    'lets bob@example.org (ssh-ed25519 …AAAAAAAB) upload as acme-build',
    'lets alice@example.org (ssh-ed25519 …AAAAAAAA) upload as acme-build no longer',
    'lets acme-build publish to acme/c/os',
    'lets acme-build publish to acme/c/cr no longer: what lies in its directory stays there',
  ]);
  expect(said(text(['acme/c/cr'], ALICE), { ...text(['acme/c/cr'], ALICE), service: 't' })).toEqual([
    'changes the upload account acme-build (service)',
  ]);
  const builds = (protocol: string, series: string): Record<string, string> => {
    const plain = text([], ALICE);
    return { ...plain, definition: `kind: upload\n${protocol}components: []\nbuilds:\n  - series: ${series}\n    directory: a/b\n` };
  };
  expect(said(null, builds('protocol: rsync\n', 'master/centos'))).toEqual([
    'makes the upload account acme-build by rsync: lets alice@example.org (ssh-ed25519 …AAAAAAAA) publish to builds of master/centos',
  ]);
  expect(said(builds('', 'master/centos'), builds('protocol: rsync\n', 'rc/3.0/centos'))).toEqual([
    'lets acme-build publish to builds of rc/3.0/centos',
    'lets acme-build publish to builds of master/centos no longer: what lies in its directory stays there',
    'lets acme-build upload by rsync, and no other way',
  ]);
  expect(said(builds('protocol: rsync\n', 'master/centos'), builds('', 'master/centos'))).toEqual([
    'lets acme-build upload by SFTP, and no other way',
  ]);
});
