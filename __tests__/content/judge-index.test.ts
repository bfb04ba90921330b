import { frozen, replayed, shrunk } from '../../content/judge-index';

const now = new Date('2026-11-22T12:00:00Z');
const at = (iso: string): number => Date.parse(iso) / 1000;
const today = at('2026-11-22T08:00:00Z');
const week = 7 * 24 * 3600;

test.each<[string, { revision?: string; newest?: number }, { revision?: string; newest?: number } | undefined, string | undefined]>([
  ['a first one', { revision: String(today) }, undefined, undefined],
  ['a newer one', { revision: String(today) }, { revision: String(today - 1) }, undefined],
  ['the same revision', { revision: String(today), newest: today }, { revision: String(today), newest: today }, undefined],
  ['an older revision', { revision: String(today - 1) }, { revision: String(today) }, 'METADATA_OLDER'],
  ['an older counter', { revision: '7' }, { revision: '8' }, 'METADATA_OLDER'],
  ['a newer counter', { revision: '9' }, { revision: '8' }, undefined],
  ['a counter after a time: upstream changed its tool', { revision: '9' }, { revision: String(today) }, undefined],
  ['words', { revision: 'stable' }, { revision: 'testing' }, undefined],
  ['fractions of seconds, as old tools write', { revision: `${today}.25` }, { revision: `${today}.50` }, 'METADATA_OLDER'],
  ['the same revision with older records', { revision: '1', newest: today - 5 }, { revision: '1', newest: today }, 'METADATA_OLDER'],
  ['no revision, older records', { newest: today - 5 }, { newest: today }, 'METADATA_OLDER'],
  ['a newer revision with an older record', { revision: '2', newest: today - 5 }, { revision: '1', newest: today }, undefined],
  ['a revision of next week', { revision: String(today + week) }, undefined, 'METADATA_FROM_THE_FUTURE'],
  ['a record of next week', { revision: '5', newest: today + week }, { revision: '4' }, 'METADATA_FROM_THE_FUTURE'],
  ['a clock that is an hour ahead', { revision: String(today + 5 * 3600) }, { revision: String(today) }, undefined],
  ['a revision beyond any date', { revision: '99999999999' }, undefined, 'METADATA_FROM_THE_FUTURE'],
  ['a number that is no time', { revision: '20261122120000' }, { revision: '20261121120000' }, undefined],
])('replay: %s', (_name, index, published, code) => {
  const full = (time: { revision?: string; newest?: number }) => ({ revision: time.revision, newest: time.newest });
  const refusal = replayed(full(index), published === undefined ? undefined : full(published), now);
  expect(refusal?.code).toBe(code);
  if (refusal !== undefined) expect(refusal.remedy).toContain('Waiver.olderRevision(reason)');
});

test('the words of a replay', () => {
  expect(replayed({ revision: '7', newest: undefined }, { revision: '8', newest: undefined }, now)?.why).toBe(
    'has the revision 7, and 8 is published: an older state of the upstream, or one that somebody replays',
  );
  expect(replayed({ revision: undefined, newest: today - 60 }, { revision: undefined, newest: today }, now)?.why).toMatch(
    /^was made at 2026-11-22 07:59:\d\d UTC, and what was made at 2026-11-22 08:00:\d\d UTC is published/,
  );
  expect(replayed({ revision: undefined, newest: today }, undefined, new Date('1970-01-01T00:00:10Z'))).toMatchObject({
    why: 'was made at 2026-11-22 08:00:00 UTC, and it is 1970-01-01 00:00:10 UTC',
    remedy: expect.stringContaining('clock'),
  });
});

test.each<[string, { revision?: string; newest?: number }, number | undefined, string | undefined]>([
  ['no maximum', { revision: '1' }, undefined, undefined],
  ['made today', { revision: String(today) }, 1, undefined],
  ['a week old, a week allowed', { revision: String(today - week) }, 7, 'METADATA_STALE'],
  ['a week old, eight days allowed', { revision: String(today - week) }, 8, undefined],
  ['old revision, new records', { revision: String(today - week), newest: today }, 2, undefined],
  ['a counter: the records count', { revision: '12', newest: today - week }, 2, 'METADATA_STALE'],
  ['no time at all', { revision: '12' }, 30, 'METADATA_STALE'],
])('freeze: %s', (_name, time, maxAgeDays, code) => {
  const refusal = frozen({ revision: time.revision, newest: time.newest }, maxAgeDays, now);
  expect(refusal?.code).toBe(code);
  if (refusal !== undefined) expect(refusal.remedy).toContain('Waiver.staleMetadata(reason)');
});

test.each<[string, number, number | undefined, boolean]>([
  ['a first sync of nothing', 0, undefined, false],
  ['nothing after nothing', 0, 0, false],
  ['nothing after one', 0, 1, true],
  ['one of nineteen: small repositories change', 1, 19, false],
  ['nine of twenty', 9, 20, true],
  ['half', 10, 20, false],
  ['a tenth', 500, 5000, true],
  ['more', 6000, 5000, false],
])('shrink: %s', (_name, listed, before, refused) => {
  const refusal = shrunk(listed, before);
  expect(refusal !== undefined).toBe(refused);
  if (refusal !== undefined) expect(refusal).toMatchObject({ code: 'UPSTREAM_SHRUNK', remedy: expect.stringContaining('Waiver.shrunk') });
});
