/** Plans that the server was asked for: what it says it has counts, whatever the state thinks. */
import { summarize, summaryText, type TerraformPlan } from '../../../scripts/plan-summary';
import { trimPlan } from '../../../scripts/plan-summary/terraform-plan';
import { activation, answered, change, codename, plan, repository, timer } from './plans';

const none = { added: [], changed: [], removed: [] };
const applied = change(activation(), activation({ desired_state: 'b' }));
const fresh = change(null, activation({ last_drift: 'no generation on m (asked 2026-11-22T03:00:00Z)' }));

test.each<[string, TerraformPlan, string[], ReturnType<typeof summarize>['onServer'], Partial<ReturnType<typeof summarize>['server']>]>([
  [
    'a state that is new, a server that is intact: its first answer is recorded there for ever, and is no news',
    answered({ unchanged: true, generation: 12 }, change(null, repository('r')), change(null, timer('03:00')), fresh),
    ['takes the server into a new state; nothing changes on the server (generation 12 stays)'],
    [],
    { newGeneration: false },
  ],
  [
    'a state that is new, a server that differs',
    answered(
      { pending: { added: ['repository/r'], changed: ['timer/epel-7'], removed: ['codename/acme/old'] } },
      change(null, repository('r')),
      change(null, repository('same')),
      change(null, timer('03:00')),
      fresh,
    ),
    [
      'removes codename acme/old: unpublished at once, its content stays on the server',
      'adds repository r; its first sync starts in the background',
      'changes the schedule of epel-7 to daily at 03:00 UTC',
    ],
    [
      { element: 'repository/r', action: 'add' },
      { element: 'timer/epel-7', action: 'change' },
      { element: 'codename/acme/old', action: 'remove' },
    ],
    { newGeneration: true },
  ],
  [
    'after a failed apply: the state has it, the server does not',
    answered(
      { pending: { ...none, added: ['repository/r', 'customer/late'], changed: ['repository/s'] } },
      change(repository('r'), repository('r')),
      change(repository('s'), repository('s')),
      change({ element: 'customer/late', definition: 'access: public\n' }, { element: 'customer/late', definition: 'access: public\n' }),
      { ...change(activation(), activation(), ['delete', 'create']), action_reason: 'replace_because_tainted' },
    ),
    [
      'adds customer late, readable by everybody',
      'adds repository r; its first sync starts in the background',
      'changes repository s to what main.ts declares (this state does not tell what the server has)',
      'activates again, since the last apply did not finish',
    ],
    [
      { element: 'repository/r', action: 'add' },
      { element: 'repository/s', action: 'change' },
      { element: 'customer/late', action: 'add' },
    ],
    { newGeneration: true },
  ],
  [
    'the state thinks that a repository is new, and the server has it',
    answered({ unchanged: true }, change(null, repository('r')), applied),
    ['activates again; nothing changes on the server (generation 3 stays)'],
    [],
    { newGeneration: false },
  ],
  [
    'the programs are there already',
    answered({ unchanged: true, samePrograms: true }, change(activation(), activation({ programs: 'q' }))),
    ['activates again; nothing changes on the server (generation 3 stays)'],
    [],
    { programs: false, newGeneration: false },
  ],
  [
    'other programs',
    answered({ samePrograms: false }, change(activation(), activation({ programs: 'q' }))),
    ['upgrades the server programs'],
    [],
    { programs: true, newGeneration: true },
  ],
  [
    'a version without another content',
    answered({ secrets: { 'signing-key': 'same' } }, change(activation(), activation({ secrets: 'signing-key version 2' }))),
    ['calls the secret signing-key version 2 (was 1): its content is the deployed one'],
    [],
    { newGeneration: true },
  ],
  [
    'a former signing key that is not the one that signs now',
    answered(
      { previousKey: 'other' },
      change(activation(), activation({ secrets: 'signing-key version 2\nprevious-signing-key version 0', desired_state: 'b' })),
    ),
    [
      'rotates the secret signing-key (version 1 to 2): hosted repositories are signed anew, accumulated ones by their next sync; the declared previousSigningKey is NOT the key that signs now: clients that have only the former key REFUSE them until they import /RPM-GPG-KEY-mirror',
      'signs with the former key (previous-signing-key version 0) too',
    ],
    [
      { element: 'secret/signing-key', action: 'change' },
      { element: 'secret/previous-signing-key', action: 'add' },
    ],
    {},
  ],
  [
    'a waiver that is used although it is declared since long',
    answered(
      { owner: 'theirs/server', pending: { ...none, removed: ['repository/r'] } },
      change(
        activation({ waivers: 'takes over from theirs/server: it is gone for good' }),
        activation({ waivers: 'takes over from theirs/server: it is gone for good', desired_state: 'b' }),
      ),
    ),
    [
      'takes the server over from theirs/server',
      'removes repository r: unpublished at once, its content stays on the server',
      'waives: takes over from theirs/server: it is gone for good',
    ],
    [
      { element: 'owner', action: 'change' },
      { element: 'repository/r', action: 'remove' },
    ],
    {},
  ],
  [
    'repairs are named by file and unit',
    answered({ deviations: ['/srv/mirror/www/a missing', 'nginx.service stopped'] }, change(activation(), activation({ last_drift: 'x' }))),
    ['repairs drift: /srv/mirror/www/a missing; nginx.service stopped'],
    [
      { element: '/srv/mirror/www/a', action: 'repair' },
      { element: 'nginx.service', action: 'repair' },
    ],
    { newGeneration: true },
  ],
  [
    'a server that has our programs and no generation',
    answered({ generation: 0, owner: '' }, change(null, codename('mos/m')), change(null, activation())),
    ['sets up root@m:22 for the first time: 1 codename (5 repositories)'],
    [
      { element: 'owner', action: 'add' },
      { element: 'codename/mos/m', action: 'add' },
      { element: 'secret/signing-key', action: 'add' },
    ],
    { newGeneration: true, programs: true },
  ],
  [
    'the storage is not mounted',
    answered(
      { refused: { code: 'DATA_MOUNT_MISSING', message: 'data mount missing: /srv/mirror is not a mount point', remedy: 'Mount it.' } },
      applied,
    ),
    ['would be REFUSED, and change nothing: data mount missing: /srv/mirror is not a mount point. Mount it.'],
    [],
    { activates: false, newGeneration: false },
  ],
])('%s', (_name, input, sentences, onServer, server) => {
  const summary = summarize(input);
  expect(summary).toMatchObject({ changes: true, server });
  expect({ sentences: summary.sentences, onServer: summary.onServer }).toEqual({ sentences, onServer });
  // What the golden files keep is enough.
  expect(summarize(trimPlan(input))).toEqual(summary);
});

test('an answer that an older plan left in the state does not count without a question', () => {
  const old = { ...answered({ unchanged: true }, change(null, repository('r')), applied), configuration: {} };
  expect(summarize(old).sentences).toEqual(['adds repository r; its first sync starts in the background']);
});

test('an answer of another version is no answer', () => {
  const other = JSON.parse(
    JSON.stringify(answered({}, change(null, repository('r')), applied)).replace('samePrograms', 'programsAre'),
  ) as TerraformPlan;
  expect(summarize(other).sentences).toEqual(['adds repository r; its first sync starts in the background']);
});

test('as it is printed', () => {
  expect(summaryText(summarize(plan(change(activation(), activation()))))).toBe('Nothing to do: the server matches main.ts.\n');
  expect(summaryText(summarize(answered({ samePrograms: false }, applied)))).toBe(
    'Applying this plan:\n  - upgrades the server programs\nnginx reloads: no download and no sync is interrupted.\n',
  );
  expect(summaryText(summarize(answered({ unchanged: true }, fresh)))).toMatch(/Nothing is reloaded\.\n$/);
  const refused = { code: 'FOREIGN_OWNER', message: 'theirs: nothing was changed', remedy: 'Waive.' };
  expect(summaryText(summarize(answered({ refused }, applied)))).toBe(
    'Applying this plan:\n  - would be REFUSED, and change nothing: theirs. Waive.\n',
  );
});
