import fc from 'fast-check';
import { type FileColumns, isCopied, planMembers } from '../../../rpm-metadata/accumulate/members';

/** A file with members of these fragment lengths. */
const file = (members: readonly (readonly number[])[]): FileColumns => {
  const lengths = Uint32Array.from(members.flat());
  return {
    rows: lengths.map((_, i) => i),
    lengths,
    prints: new Uint32Array(lengths.length),
    members: members.map((all) => ({ count: all.length, size: all.length * 7, open: all.reduce((a, b) => a + b, 0) })),
  };
};
const none = file([]);
const all = (): boolean => true;
/** `old 0+1` for two members in one; `*` after one that loses packages. */
const told = (old: FileColumns, alive: (p: number) => boolean, fresh: FileColumns, full: number): readonly string[] =>
  planMembers(old, alive, fresh, full).map((group) =>
    group
      .map(({ origin, first, kept, count }) => {
        const starts = (origin === 'old' ? old : fresh).members.map((_, i, m) => m.slice(0, i).reduce((sum, { count: n }) => sum + n, 0));
        return `${origin} ${starts.indexOf(first)}${kept < count ? '*' : ''}`;
      })
      .join('+'),
  );

test.each<[string, FileColumns, (p: number) => boolean, FileColumns, readonly string[]]>([
  ['nothing', none, all, none, []],
  ['a first publish', none, all, file([[60], [50]]), ['new 0', 'new 1']],
  ['full members are copied, a new one is appended', file([[60], [90]]), all, file([[10]]), ['old 0', 'old 1', 'new 0']],
  ['a small last member takes the new ones in', file([[60], [10]]), all, file([[10]]), ['old 0', 'old 1+new 0']],
  ['a member that loses a package is made anew', file([[60], [30, 60], [90]]), (p) => p !== 1, none, ['old 0', 'old 1*', 'old 2']],
  ['one that loses all is gone', file([[60], [30], [90]]), (p) => p !== 1, none, ['old 0', 'old 2']],
  [
    'shrunken neighbours are put together',
    file([[60, 30], [60, 30], [90]]),
    (p) => p % 2 === 1 || p === 4,
    none,
    ['old 0*+old 1*', 'old 2'],
  ],
  ['until half full', file([[40], [40], [40], [10]]), all, none, ['old 0+old 1', 'old 2+old 3']],
])('%s', (_title, old, alive, fresh, expected) => {
  expect(told(old, alive, fresh, 100)).toEqual(expected);
});

test('every package that stays is there once and in order, and members never get many', () => {
  const members = fc.array(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }), { maxLength: 30 });
  fc.assert(
    fc.property(members, members, fc.func(fc.boolean()), (oldMembers, freshMembers, alive) => {
      const [old, fresh] = [file(oldMembers), file(freshMembers)];
      const groups = planMembers(old, (p) => alive(p), fresh, 100);
      const positions = groups.flat().flatMap(({ origin, first, count }) =>
        Array.from({ length: count }, (_, i) => first + i)
          .filter((p) => origin === 'new' || alive(p))
          .map((p) => `${origin} ${p}`),
      );
      const expected = [...[...old.rows].filter((p) => alive(p)).map((p) => `old ${p}`), ...[...fresh.rows].map((p) => `new ${p}`)];
      expect(positions).toEqual(expected);
      const sizes = groups.map((group) => group.reduce((sum, part) => sum + part.keptOpen, 0));
      sizes.slice(1).forEach((size, i) => expect(Math.max(size, sizes[i] as number)).toBeGreaterThanOrEqual(50));
      for (const group of groups) expect(isCopied(group)).toBe(group.length === 1 && group[0]?.kept === group[0]?.count);
    }),
  );
});
