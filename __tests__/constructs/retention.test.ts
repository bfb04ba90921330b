/** What main.ts may say about retention and pins, and what mirrorctl reads of it. */
import { parse } from 'yaml';
import { FileTree, RpmRepository, TreeTrust, Trust, View } from '../../constructs';
import { RepositoryDefinitionSchema, ServerDefinitionSchema, TreeDefinitionSchema } from '../../desired-state/definitions';
import { bareServer, mirror, refuses, synth } from './support';

const URL = 'https://upstream.example.org/el7/x86_64/';
/** What JavaScript lets through. */
const any = <T>(value: unknown): T => value as T;
type Props = Partial<ConstructorParameters<typeof RpmRepository>[2]>;

function repository(props: Props): RpmRepository {
  const { server } = mirror();
  return new RpmRepository(server, 'r', {
    publishedAs: URL,
    trust: Trust.digestsOnly('upstream signs nothing'),
    view: View.ACCUMULATE,
    ...props,
  });
}

function definition(props: Props): ReturnType<typeof RepositoryDefinitionSchema.parse> {
  const { app, server } = mirror();
  new RpmRepository(server, 'r', { publishedAs: URL, trust: Trust.digestsOnly('upstream signs nothing'), view: View.ACCUMULATE, ...props });
  return RepositoryDefinitionSchema.parse(parse(synth(app).element('repository/r').triggers['definition'] ?? ''));
}

test('a copy declares its rules and pins; without them the rules of the server hold', () => {
  expect(definition({})).not.toHaveProperty('retention');
  expect(definition({})).not.toHaveProperty('pins');
  const retention = { newestVersions: 3, droppedDays: 180, snapshotDays: 30 };
  expect(definition({ retention }).retention).toEqual(retention);
  // Packages for ever, whatever the server says.
  expect(definition({ retention: {} }).retention).toEqual({});
  expect(definition({ pins: ['zsh-5.0.2-34.el7', 'bind-32:9.11.4-26.P2.el7.x86_64'] }).pins).toEqual([
    'bind-32:9.11.4-26.P2.el7.x86_64',
    'zsh-5.0.2-34.el7',
  ]);
});

test('a server declares rules for all, and how what they do not keep goes', () => {
  const retention = { newestVersions: 2, droppedDays: 90, snapshotDays: 60, graceDays: 7, quarantineDays: 21, sharePercent: 100 };
  const text = synth(mirror({ retention }).app).element('server/services').triggers['definition'] ?? '';
  expect(ServerDefinitionSchema.parse(parse(text)).retention).toEqual(retention);
  const element = synth(mirror().app).desiredState.elements.find(({ id }) => id === 'server/services');
  const files = element?.files ?? {};
  expect(files['systemd/mirror-retention.service']).toContain('ExecStart=/usr/local/bin/mirrorctl retention apply --wait 3600\n');
  expect(files['systemd/mirror-retention.timer']).toContain('OnCalendar=*-*-* 07:15:00 UTC\n');
});

test('a verbatim copy and a file tree have a rule for snapshots alone', () => {
  expect(definition({ view: View.VERBATIM, retention: { snapshotDays: 10 } }).retention).toEqual({ snapshotDays: 10 });
  const verbatim = { view: View.VERBATIM } as const;
  refuses(
    () => repository({ ...verbatim, retention: { droppedDays: 10 } }),
    'retention.droppedDays',
    'a verbatim copy shows what its upstream has',
  );
  refuses(() => repository({ ...verbatim, pins: ['a-1-1'] }), 'pins', 'a verbatim copy has what its upstream has');
  const tree = (retention: object): { app: Parameters<typeof synth>[0] } => {
    const { app, server } = mirror();
    const props = { publishedAs: URL, trust: TreeTrust.treeinfo('upstream signs nothing'), retention };
    new FileTree(server, 't', props);
    return { app };
  };
  const text = synth(tree({ snapshotDays: 5 }).app).element('tree/t').triggers['definition'] ?? '';
  expect(TreeDefinitionSchema.parse(parse(text)).retention).toEqual({ snapshotDays: 5 });
  refuses(() => tree({ newestVersions: 1 }), 'retention.newestVersions', 'a file tree shows what its upstream has');
});

test.each([
  [{ newestVersions: 0 }, 'retention.newestVersions', 'a whole number from 1 to 1000'],
  [{ droppedDays: -1 }, 'retention.droppedDays', 'a whole number from 1 to 36500'],
  [{ snapshotDays: 1.5 }, 'retention.snapshotDays', 'a whole number from 1 to 36500'],
  [{ snapshotDays: any<number>('90') }, 'retention.snapshotDays', 'a whole number from 1 to 36500'],
  [any<object>({ newest: 3 }), 'retention, prop', 'there is no such prop'],
  [any<object>({ graceDays: 3 }), 'retention, prop', 'there is no such prop'],
  [any<object>(90), 'retention', 'an object with'],
])('rules %j are refused', (retention, prop, allowed) => {
  refuses(() => repository({ retention }), prop, allowed);
});

test.each([
  [{ graceDays: 0 }, 'retention.graceDays', 'a whole number from 1 to 365'],
  [{ quarantineDays: 366 }, 'retention.quarantineDays', 'a whole number from 1 to 365'],
  [{ sharePercent: 101 }, 'retention.sharePercent', 'a whole number from 1 to 100'],
])('rules %j of a server are refused', (retention, prop, allowed) => {
  refuses(() => bareServer({ retention }), prop, allowed);
});

test.each([
  [['bash']],
  [['bash-4.2']],
  [['bash-4.2-1.rpm ']],
  [['-bash-4.2-1']],
  [['bash-x:4.2-1']],
  [['bash-4.2-1', 'bash-4.2-1']],
  [[]],
  [any<string[]>('bash-4.2-1')],
])('pins %j are refused', (pins) => {
  refuses(() => repository({ pins }), 'pins', '');
});
