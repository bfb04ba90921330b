/** Plans that were made without the server's word: by Terraform's state and the trigger alone. */
import { summarize } from '../../../scripts/plan-summary';
import { activation, change, codename, plan, repository, timer, type Resource } from './plans';

const customer = (fields: string): Record<string, string> => ({
  element: 'customer/acme',
  definition: `kind: customer\n${fields}`,
  nginx: fields,
});
const PUBLIC = 'prefix: acme\naccess: public\n';
const closedFor = (...networks: string[]): string => `prefix: acme\naccess:\n${networks.map((network) => `  - ${network}\n`).join('')}`;
/** Keeps the rule about unpublishing out of a test. */
const KEPT = [1, 2, 3].map((number) => change(codename(`mos/kept${number}`), codename(`mos/kept${number}`)));
const changed = (over: Record<string, string> = {}): Resource => change(activation(), activation({ desired_state: 'b', ...over }));
const signed = (mode: string, ...keys: string[]): string =>
  `trust:\n  mode: ${mode}\n  keys:\n${keys.map((key) => `    - file: keys/${key}\n`).join('')}`;
const digests = 'trust:\n  mode: digestsOnly\n  reason: nothing is signed there\n';
const keysOf = (...lines: string[]): Record<string, string> => ({
  element: 'account/mirror-deploy',
  authorized_keys: `# Declared in main.ts\n${lines.map((line) => `${line}\n`).join('')}`,
});
const ALICE = 'ssh-ed25519 AAAAC3NzaAliceKey alice@example.org';
const BOB = 'ssh-ed25519 AAAAC3NzaBobsKeys bob@example.org';
const NAMELESS = 'ssh-rsa AAAAB3NzaNobodys';
const site = (nginx: string, name = 'm'): Record<string, string> => ({ element: `vhost/${name}`, nginx, serving: 's' });
const alias = (...components: string[]): Record<string, string> => ({
  element: 'alias/old',
  definition: `kind: alias\npath: mos/centos-6\ncodename: mos/mos7.0-centos6\narchitecture: x86_64\ncomponents:\n${components.map((one) => `  ${one}\n`).join('')}`,
  nginx: components.join(),
  log: 'l',
});
const defaultSet = (codenames: string[], base: string[] = []): Record<string, string> => ({
  element: 'set/mos/7.0-centos6-openstack',
  definition: `kind: set\ncodenames: [${codenames.join(', ')}]\nbase: [${base.join(', ')}]\n`,
  repo_file: 'r',
});
const tlsSite = (kind: string, certificate = '', plain = '  listen 80;\n'): Record<string, string> => ({
  ...site(`${plain}  listen 443 ssl http2;\n`),
  definition: `kind: site\ncertificate: ${kind}\n`,
  ...(certificate === '' ? {} : { certificate }),
});
const services = (packages: string): Record<string, string> => ({
  element: 'server/services',
  packages,
  definition: 'kind: server\nstorageRoot: /srv/mirror\n',
});

test.each<[string, Resource[], string[]]>([
  ['nothing', [change(activation(), activation())], []],
  [
    'a new customer with two codenames',
    [
      change(null, customer(PUBLIC)),
      change(null, codename('acme/mos7.0-centos6')),
      change(null, codename('acme/mos9.0-centos7')),
      changed({ last_drift: 'generation 3: pending: + codename/acme/mos7.0-centos6, + customer/acme' }),
    ],
    ['adds customer acme (2 codenames, 10 repositories), readable by everybody'],
  ],
  [
    'a codename for a customer that exists',
    [change(null, codename('acme/mos9.0-centos7')), changed()],
    ['adds codename acme/mos9.0-centos7 (5 repositories)'],
  ],
  [
    'a customer leaves',
    [...KEPT, change(customer(PUBLIC), null), change(codename('acme/mos7.0-centos6'), null), changed()],
    ['removes customer acme (1 codename, 5 repositories): unpublished at once, its content stays on the server'],
  ],
  [
    'a customer moves',
    [change(customer(PUBLIC), customer(PUBLIC.replace('acme', 'a'))), changed()],
    ['moves customer acme from /acme/ to /a/: the old paths stop answering'],
  ],
  [
    'a customer with other ways in than a network',
    [change(null, customer(closedFor('10.0.0.0/8', 'with a password', 'with a certificate of CN=acme'))), changed()],
    ['adds customer acme, readable from 10.0.0.0/8, with a password, with a certificate of CN=acme only'],
  ],
  [
    'a password instead of a network',
    [change(customer(closedFor('10.0.0.0/8')), customer(closedFor('with a password'))), changed()],
    ['lets clients with a password read customer acme', 'lets 10.0.0.0/8 read customer acme no longer'],
  ],
  [
    'TLS, with plain HTTP redirected',
    [
      change(site('  listen 80;\n'), tlsSite('declared', 'CN=m, by CN=ca', '  listen 80;\n return 301 https://m$request_uri;\n')),
      changed(),
    ],
    [
      'serves m by TLS on port 443, with a certificate of the project',
      'redirects plain HTTP to https://m: clients that do not follow are turned away',
    ],
  ],
  [
    'another certificate, and plain HTTP closed',
    [change(tlsSite('declared', 'CN=m, one'), tlsSite('declared', 'CN=m, two\nCN=ca', '  listen 80;\n return 444;\n')), changed()],
    ['replaces the certificate of m: CN=m, two', 'closes plain HTTP of m: clients without TLS are turned away'],
  ],
  [
    'certificates by ACME',
    [change(tlsSite('made'), tlsSite('acme')), changed()],
    ['serves m by TLS on port 443, with certificates by ACME'],
  ],
  [
    'no TLS any more',
    [change(tlsSite('made'), site('  listen 80;\n')), changed()],
    ['serves m by TLS no longer: addresses with https:// stop answering'],
  ],
  [
    'a customer is opened',
    [change(customer(closedFor('10.0.0.0/8')), customer(PUBLIC)), changed()],
    ['opens customer acme to everybody (was from 10.0.0.0/8 only)'],
  ],
  [
    'a customer is closed',
    [change(customer(PUBLIC), customer(closedFor('10.0.0.0/8', '::1'))), changed()],
    ['closes customer acme: readable from 10.0.0.0/8, ::1 only (was by everybody)'],
  ],
  [
    'an access list',
    [change(customer(closedFor('10.0.0.1', '10.0.0.2')), customer(closedFor('10.0.0.2', '10.0.0.3'))), changed()],
    ['lets 10.0.0.3 read customer acme', 'lets 10.0.0.1 read customer acme no longer'],
  ],
  [
    "a customer's keys",
    [change(customer(`${PUBLIC}keys: []\n`), customer(`${PUBLIC}keys:\n  - file: K\n`)), changed()],
    ['hands out other keys for customer acme: its clients import them once'],
  ],
  [
    'a customer is served otherwise by a new version of this software',
    [change({ ...customer(PUBLIC), nginx: 'a' }, { ...customer(PUBLIC), nginx: 'b' }), changed()],
    ['changes how customer acme is served (nginx)'],
  ],
  [
    'a renamed customer',
    [
      ...KEPT,
      change(null, { ...customer(`formerId: acme\n${PUBLIC}`), element: 'customer/apex' }),
      change(null, codename('apex/mos7.0-centos6', 'formerId: acme/mos7.0-centos6\n')),
      change(customer(PUBLIC), null),
      change(codename('acme/mos7.0-centos6'), null),
      changed(),
    ],
    ['renames customer acme to apex: its content stays, and stays public'],
  ],
  [
    'a former id that has done its work',
    [change(customer(`formerId: a\n${PUBLIC}`), customer(PUBLIC)), changed()],
    ['forgets that customer acme was called a: nothing changes for clients'],
  ],
  [
    'architectures of a codename',
    [change(codename('mos/m'), codename('mos/m', '', ['aarch64'])), changed()],
    ['adds aarch64 to codename mos/m', 'removes x86_64 from codename mos/m: its packages stay on the server'],
  ],
  [
    'a codename moves',
    [...KEPT, change(codename('mos/m'), codename('mos/m', '', ['x86_64'], 'mos/n')), changed()],
    ['moves codename mos/m from /mos/m/ to /mos/n/: the old paths stop answering'],
  ],
  [
    'a schedule',
    [change(timer('03:00'), timer('04:30')), changed()],
    ['changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:30 UTC'],
  ],
  [
    'schedules of other kinds',
    [
      change(
        { element: 'timer/r', timer: 'OnCalendar=*-*-* *:07:00 UTC\n' },
        { element: 'timer/r', timer: 'OnCalendar=Sat *-*-* 23:59:00 UTC\n' },
      ),
      changed(),
    ],
    ['changes the schedule of r from hourly at minute 7 to every Sat at 23:59 UTC'],
  ],
  [
    'a new repository with its timer',
    [change(null, repository('epel-7')), change(null, timer('03:00')), changed()],
    ['adds repository epel-7, synced daily at 03:00 UTC; its first sync starts in the background'],
  ],
  [
    'a repository leaves with its timer',
    [...KEPT, change(repository('epel-7'), null), change(timer('03:00'), null), changed()],
    ['removes repository epel-7: unpublished at once, its content stays on the server'],
  ],
  [
    'a renamed repository',
    [
      ...KEPT,
      change(null, repository('epel', 'formerId: epel-7\n', 'epel-7')),
      change(null, { ...timer('04:00'), element: 'timer/epel' }),
      change(repository('epel-7'), null),
      change(timer('03:00'), null),
      changed(),
    ],
    ['renames repository epel-7 to epel: its content stays, and stays public; it is synced daily at 04:00 UTC (was daily at 03:00 UTC)'],
  ],
  [
    'a renamed repository that moves too',
    [...KEPT, change(null, repository('epel', 'formerId: epel-7\n')), change(repository('epel-7'), null), changed()],
    ['renames repository epel-7 to epel: its content stays, and is public at /mirror/epel/; /mirror/epel-7/ stops answering'],
  ],
  [
    'a repository that goes on with what was left long ago',
    [change(null, repository('epel', 'formerId: epel-6\n')), changed()],
    ['adds repository epel; it goes on with the content of epel-6'],
  ],
  [
    'a former id that has done its work, of a repository',
    [change(repository('r', 'formerId: old\n'), repository('r')), changed()],
    ['forgets that repository r was called old: nothing changes for clients'],
  ],
  [
    'an upstream moved',
    [change(repository('r', 'fetchFrom:\n  - http://a/\n'), repository('r', 'fetchFrom:\n  - http://b/\n')), changed()],
    ['fetches r from http://b/ (was http://a/): nothing changes for clients'],
  ],
  [
    'a public path',
    [
      ...KEPT,
      change(repository('r', 'publishedAs: http://a/\n', 'a'), { ...repository('r', 'publishedAs: http://b/\n', 'b'), repo_file: 'b' }),
      changed(),
    ],
    ['moves repository r from /mirror/a/ to /mirror/b/: the old path stops answering'],
  ],
  [
    'weaker trust',
    [change(repository('r', signed('signedPackages', 'K')), repository('r', digests)), changed()],
    [
      'trusts r by digests only, weaker than by signed packages (nothing is signed there): clients that fetch its .repo file again check no signatures',
    ],
  ],
  [
    'stronger trust',
    [change(repository('r', digests), repository('r', signed('signedMetadata', 'K'))), changed()],
    [
      'trusts r by signed metadata, stronger than by digests only: what does not verify is not published from its next sync on, and clients that fetch its .repo file again check as much',
    ],
  ],
  [
    'other trust',
    [change(repository('r', signed('signedMetadata', 'K')), repository('r', signed('signedPackages', 'K'))), changed()],
    [
      'trusts r by signed packages, not by signed metadata: what does not verify is not published from its next sync on, and clients that fetch its .repo file again check as much',
    ],
  ],
  [
    'keys of an upstream',
    [change(repository('r', signed('signedPackages', 'A', 'B')), repository('r', signed('signedPackages', 'B', 'C'))), changed()],
    [
      'accepts the key C for r: clients that fetch its .repo file again ask for it',
      'accepts the key A for r no longer: what it alone signed is not published from the next sync on',
    ],
  ],
  [
    'another reason',
    [change(repository('r', digests), repository('r', digests.replace('there', 'here'))), changed()],
    ['gives another reason to trust r by digests only: nothing is signed here'],
  ],
  [
    'another name of the site',
    [
      change({ ...site('listen 80;', 'm') }, null),
      change(null, site('    listen 8080;', 'n')),
      change({ ...repository('a'), repo_file: 'm' }, { ...repository('a'), repo_file: 'n' }),
      change({ ...codename('mos/b'), repo_file: 'm' }, { ...codename('mos/b'), repo_file: 'n' }),
      changed(),
    ],
    [
      'serves the site as n, and as m no longer',
      'serves n on port 8080: port 80 stops answering',
      'changes the .repo files of 2 repositories and codenames: clients fetch them again',
    ],
  ],
  ['IPv6', [change(site('listen 80;\nlisten [::]:80;'), site('listen 80;')), changed()], ['serves m on IPv6 no longer']],
  ['the vhost, otherwise', [change(site('a'), site('b')), changed()], ['changes how m is served (nginx)']],
  [
    'packages',
    [change(services('nginx\nrpm'), services('nginx\nsudo')), changed()],
    ['installs the packages sudo', 'needs the packages rpm no longer: they stay installed'],
  ],
  [
    'a deploy account',
    [change(null, keysOf(ALICE, NAMELESS)), changed()],
    ['makes the deploy account mirror-deploy: lets alice@example.org (ssh-ed25519 …AliceKey), the key ssh-rsa …aNobodys deploy'],
  ],
  [
    'who may deploy',
    [change(keysOf(ALICE), keysOf(BOB)), changed()],
    ['lets bob@example.org (ssh-ed25519 …BobsKeys) deploy', 'lets alice@example.org (ssh-ed25519 …AliceKey) deploy no longer'],
  ],
  ['a deploy account goes', [change(keysOf(ALICE), null), changed()], ['removes the deploy account mirror-deploy']],
  ['new server programs', [change(activation(), activation({ programs: 'q' }))], ['upgrades the server programs']],
  [
    'a rotated secret',
    [change(activation(), activation({ secrets: 'signing-key version 2', desired_state: 'b' }))],
    [
      'rotates the secret signing-key (version 1 to 2): hosted repositories are signed anew, accumulated ones by their next sync; clients that have only the former key REFUSE them until they import /RPM-GPG-KEY-mirror',
    ],
  ],
  [
    'a rotated signing key, and the former one signs beside it',
    [
      change(
        activation(),
        activation({ secrets: 'signing-key version 1, generated on the server\nprevious-signing-key version 1', desired_state: 'b' }),
      ),
    ],
    [
      'rotates the secret signing-key (version 1 to 1, generated on the server): hosted repositories are signed anew, accumulated ones by their next sync, and the former key goes on signing beside it',
      'signs with the former key (previous-signing-key version 1) too',
    ],
  ],
  [
    'the end of an overlap',
    [
      change(
        activation({ secrets: 'signing-key version 2\nprevious-signing-key version 1' }),
        activation({ secrets: 'signing-key version 2', desired_state: 'b' }),
      ),
    ],
    ['ends the overlap of signing keys (previous-signing-key version 1): clients that have only that one REFUSE what the mirror signs'],
  ],
  [
    'a secret that differs under the same version',
    [change(activation(), activation({ last_drift: 'generation 3: the secret signing-key is another than the deployed one' }))],
    [
      'replaces the secret signing-key, which differs from the deployed one, and its version is 1 as before: hosted repositories are signed anew, accumulated ones by their next sync; clients that have only the former key REFUSE them until they import /RPM-GPG-KEY-mirror',
    ],
  ],
  [
    'drift',
    [
      change(
        activation(),
        activation({ last_drift: 'generation 3: /etc/mirror/current/nginx/vhost.conf modified; mirror-sync@epel-7.timer disabled' }),
      ),
    ],
    ['repairs drift: /etc/mirror/current/nginx/vhost.conf modified; mirror-sync@epel-7.timer disabled'],
  ],
  [
    'what was not left by a deploy',
    [
      change(
        activation(),
        activation({
          last_drift:
            'generation 3: an activation is running or was interrupted; generation 4 waits for its confirmation; generation 5 was taken back: nobody confirmed it; rolled back from generation 6',
        }),
      ),
    ],
    [
      'recovers first: an activation is running or was interrupted',
      'waits for another deploy: generation 4 waits for its confirmation',
      'deploys again: generation 5 was taken back: nobody confirmed it',
      'ends the rollback from generation 6',
    ],
  ],
  [
    'after a failed activation, the state being ahead of the server',
    [
      change(customer(PUBLIC), customer(PUBLIC)),
      change(activation(), activation({ last_drift: 'generation 3: pending: + customer/acme, ~ timer/epel-7' })),
      change(timer('03:00'), timer('03:00')),
    ],
    ['adds customer acme, readable by everybody', 'changes the schedule of epel-7 to daily at 03:00 UTC'],
  ],
  [
    'a tainted activation',
    [{ ...change(activation(), activation(), ['delete', 'create']), action_reason: 'replace_because_tainted' }],
    ['activates again, since the last apply did not finish; nothing changes on the server'],
  ],
  ['-replace', [change(activation(), activation(), ['delete', 'create'])], ['activates again; nothing changes on the server']],
  [
    'a wiped server',
    [
      change(repository('r'), repository('r')),
      change(activation(), activation({ last_drift: 'no generation on m (asked 2026-11-22T03:00:00Z)' })),
    ],
    ['sets up root@m:22 again, since it has no generation: 1 copied repository, whose first sync starts in the background'],
  ],
  [
    'a first deploy',
    [change(null, codename('mos/m')), change(null, activation({ last_drift: 'no generation on m (asked 2026-11-22T03:00:00Z)' }))],
    ['sets up root@m:22 for the first time: 1 codename (5 repositories)'],
  ],
  [
    'another server',
    [change(activation(), activation({ server: 'root@n:22 K' }))],
    ['deploys to another server: root@n:22 (was root@m:22)'],
  ],
  [
    'another login and another host key of the same server',
    [change(activation(), activation({ server: 'mirror-deploy@m:22 L' }))],
    ['logs in as mirror-deploy@m:22 (was root@m:22)', 'expects the host key L', 'expects the host key K no longer'],
  ],
  [
    'the time for a confirmation',
    [change(activation(), activation({ confirm: 'within 90 s' }))],
    ['lets the server wait for confirmations within 90 s (was within 60 s)'],
  ],
  [
    'a waiver that comes',
    [change(activation(), activation({ waivers: 'takes over from old/server: it is gone for good' }))],
    ['waives: takes over from old/server: it is gone for good'],
  ],
  [
    'a waiver that goes',
    [change(activation({ waivers: 'takes over from old/server: it is gone for good' }), activation())],
    ['waives no longer: takes over from old/server: it is gone for good'],
  ],
  [
    'a state that knows nothing, without the server',
    [change(null, activation({ last_drift: '' }))],
    ['deploys to root@m:22 for the first time from this state'],
  ],
  ['forgotten', [change(activation(), null)], ['forgets the server: nothing is dismantled there']],
  [
    'a source without an activation',
    [change(timer('03:00'), timer('04:30'))],
    ['changes the schedule of epel-7 from daily at 03:00 UTC to daily at 04:30 UTC'],
  ],
  [
    '-target without the activation',
    [change(null, repository('r')), change(activation(), activation())],
    ['changes nothing on the server: the activation is not part of this plan'],
  ],
  [
    'old URLs come',
    [change(null, alias('updates: updates')), changed()],
    ['answers old URLs (old): /mos/centos-6/updates/ lead to updates of mos/mos7.0-centos6, x86_64 where they name no architecture'],
  ],
  [
    'old URLs go',
    [change(alias('updates: updates', 'proposed: cr'), null), changed()],
    ['answers the old URLs of old no longer: /mos/centos-6/updates/, /mos/centos-6/proposed/'],
  ],
  [
    'old URLs lead elsewhere',
    [change(alias('updates: updates'), alias('updates: cr')), changed()],
    [
      'changes the old URLs of old: /mos/centos-6/updates/ lead to cr of mos/mos7.0-centos6, x86_64 where they name no architecture (was /mos/centos-6/updates/ lead to updates of mos/mos7.0-centos6, x86_64 where they name no architecture)',
    ],
  ],
  [
    'old URLs are served otherwise, and logged otherwise',
    [change(alias('updates: updates'), { ...alias('updates: updates'), nginx: 'other', log: 'other' }), changed()],
    ['changes how the old URLs of old are served (nginx)', 'changes how uses of old URLs are logged (old)'],
  ],
  [
    'a default set comes',
    [change(null, defaultSet(['acme/mos7.0-centos6', 'mos/mos7.0-centos6'], ['centos-6-os'])), changed()],
    ['adds default set mos/7.0-centos6-openstack: acme/mos7.0-centos6 before mos/mos7.0-centos6, with centos-6-os as the base'],
  ],
  [
    'a default set goes',
    [change(defaultSet(['mos/mos7.0-centos6']), null), changed()],
    ['removes default set mos/7.0-centos6-openstack: its .repo file can be fetched no longer'],
  ],
  [
    'a default set has a base',
    [change(defaultSet(['mos/mos7.0-centos6']), defaultSet(['mos/mos7.0-centos6'], ['centos-6-os'])), changed()],
    [
      'changes default set mos/7.0-centos6-openstack: mos/mos7.0-centos6, with centos-6-os as the base (was mos/mos7.0-centos6); clients fetch its .repo file again',
    ],
  ],
  [
    'a default set says something else of the same repositories',
    [change(defaultSet(['mos/mos7.0-centos6']), { ...defaultSet(['mos/mos7.0-centos6']), repo_file: 'other' }), changed()],
    ['changes the .repo file of default set mos/7.0-centos6-openstack: clients fetch its .repo file again'],
  ],
])('%s', (_name, resources, sentences) => {
  const summary = summarize(plan(...resources));
  expect({ changes: summary.changes, sentences: summary.sentences }).toEqual({ changes: sentences.length > 0, sentences });
});

describe('refused', () => {
  const leaving = ['a', 'b'].map((id) => change(repository(id), null));
  const stays = change(repository('c'), repository('c'));

  test('more than half would be unpublished', () => {
    const { server, onServer, sentences } = summarize(plan(...leaving, stays, changed()));
    expect(sentences).toEqual([
      "would be REFUSED, and change nothing: unpublishes 2 of 3 repositories and codenames (repository/a, repository/b). If that is meant, say so in main.ts: waivers: [Waiver.unpublish({ elements: ['repository/a', 'repository/b'], reason: '…' })] of the MirrorServer.",
    ]);
    expect({ ...server, refused: 'refused' in server }).toEqual({ activates: false, newGeneration: false, programs: false, refused: true });
    expect(onServer).toEqual([]);
  });
  test('a waiver for each lets it pass, and shows', () => {
    const waived = 'unpublishes repository/a, repository/b: these upstreams are gone';
    expect(summarize(plan(...leaving, stays, changed({ waivers: waived }))).sentences).toEqual([
      'removes repository a: unpublished at once, its content stays on the server',
      'removes repository b: unpublished at once, its content stays on the server',
      `waives: ${waived}`,
    ]);
  });
  test('a waiver for one does not', () => {
    const waived = 'unpublishes repository/a: this upstream is gone';
    expect(summarize(plan(...leaving, stays, changed({ waivers: waived }))).server.refused).toContain('unpublishes 2 of 3');
  });
  test('exactly half passes', () => {
    expect(summarize(plan(change(repository('a'), null), stays, changed())).server.refused).toBeUndefined();
  });
  test("another's server; a waiver names who is taken over", () => {
    const theirs = { last_drift: 'generation 3: deployed by theirs/server, not by ours/server' };
    expect(summarize(plan(changed(theirs))).sentences).toEqual([
      'would be REFUSED, and change nothing: this server belongs to theirs/server, not to ours/server',
    ]);
    const waived = (owner: string): Resource => changed({ ...theirs, waivers: `takes over from ${owner}: it is gone for good` });
    expect(summarize(plan(waived('third/server'))).server.refused).toContain('theirs/server');
    const summary = summarize(plan(waived('theirs/server')));
    expect(summary.sentences).toEqual([
      'takes the server over from theirs/server',
      'waives: takes over from theirs/server: it is gone for good',
    ]);
    expect(summary.onServer).toEqual([{ element: 'owner', action: 'change' }]);
  });
});
