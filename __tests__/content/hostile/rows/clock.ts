import { guard, type Row } from '../support/row';

const JUDGE = 'content/judge-index.ts';
const at = (text: string) => () => new Date(text);
const ahead = (days: number) => () => new Date(Date.now() + days * 24 * 3600 * 1000);

/** The server's clock, which may be the one that lies. */
export const CLOCK: readonly Row[] = [
  {
    name: 'the server boots in 1970',
    guard: guard(JUDGE, 'const AHEAD = 2 * DAY;', 'const AHEAD = 100 * 365 * DAY;'),
    hostile: () => undefined,
    now: at('1970-01-01T00:00:30Z'),
    says: [/was made at 20\d\d-.* UTC, and it is 1970-01-01 00:00:\d\d UTC/, /Check this server's clock \(timedatectl\)/],
    waiver: 'olderRevision',
  },
  {
    name: "the server's clock is a year late",
    guard: guard(JUDGE, "Check this server's clock (timedatectl). ", ''),
    hostile: () => undefined,
    now: ahead(-365),
    says: /Check this server's clock \(timedatectl\)/,
    waiver: 'olderRevision',
  },
  {
    name: 'the clock is an hour late',
    ends: 'survived',
    guard: guard(JUDGE, 'const AHEAD = 2 * DAY;', 'const AHEAD = 0;'),
    hostile: () => undefined,
    now: ahead(-2 / 24),
  },
  {
    name: '2038 and later',
    ends: 'survived',
    guard: guard(
      'content/snapshot.ts',
      'return at\n    .toISOString()',
      'return new Date((at.getTime() / 1000 | 0) * 1000)\n    .toISOString()',
    ),
    hostile: () => undefined,
    now: at('2038-01-19T03:14:09Z'),
    also: (field) => {
      const found = field.currentSnapshot();
      return found.startsWith('20380119T031409Z-') ? [] : [`the snapshot is ${found}`];
    },
  },
  {
    name: 'the clock went back, and the name of the snapshot is taken',
    ends: 'survived',
    guard: guard('content/snapshot.ts', 'for (let second = 0; ; second++) {', 'for (let second = 0; second < 1; second++) {'),
    hostile: (field) => field.occupy('20300101T000000Z'),
    now: at('2030-01-01T00:00:00Z'),
    also: (field) => (field.currentSnapshot().startsWith('20300101T000001Z-') ? [] : [`the snapshot is ${field.currentSnapshot()}`]),
  },
];
