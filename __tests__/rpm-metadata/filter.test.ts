import fc from 'fast-check';
import type { Filter } from '../../desired-state/definitions';
import { selectPackages } from '../../rpm-metadata/filter';
import type { Nevra } from '../../rpm-metadata/nevra';
import { compareEvr } from '../../rpm-metadata/version';

/** `name-version-release.arch`, or with an epoch before the version. */
const of = (text: string): Nevra => {
  const [, name, epoch = '0', version, release, arch] = /^(.+)-(?:(\d+):)?([^-]+)-([^-]+)\.([^.]+)$/.exec(text) as unknown as string[];
  return { name, epoch, version, release, arch } as Nevra;
};
const all = [
  'bash-4.2-1.x86_64',
  'bash-4.2-10.x86_64',
  'bash-4.2-9.x86_64',
  'bash-4.2-9.i686',
  'bash-4.2-9.src',
  'bash-debuginfo-4.2-9.x86_64',
  'bash-debugsource-4.2-9.x86_64',
  'bash-doc-4.2-9.noarch',
  'kernel-3.10-2.nosrc',
  'vim-1:8.0-1.x86_64',
  'vim-9.0-1.x86_64',
  'c++-1-1.x86_64',
];
const open: Filter = { sources: true, debuginfo: true };

test.each<[string, Filter | undefined, readonly string[]]>([
  ['no filter', undefined, all],
  ['an open filter', open, all],
  ['a name', { ...open, include: ['vim'] }, ['vim-1:8.0-1.x86_64', 'vim-9.0-1.x86_64']],
  ['two globs', { ...open, include: ['v?m', 'kern*'] }, ['kernel-3.10-2.nosrc', 'vim-1:8.0-1.x86_64', 'vim-9.0-1.x86_64']],
  ['a glob is no regular expression', { ...open, include: ['c++', '.*', 'v[i]m'] }, ['c++-1-1.x86_64']],
  ['a glob matches the whole name', { ...open, include: ['ash', 'ba'] }, []],
  ['many stars', { ...open, include: [`${'*'.repeat(60)}c++`] }, ['c++-1-1.x86_64']],
  ['exclude wins', { ...open, include: ['bash*'], exclude: ['bash', '*-debug*'] }, ['bash-doc-4.2-9.noarch']],
  [
    'an architecture; sources are another matter',
    { ...open, architectures: ['i686'] },
    ['bash-4.2-9.i686', 'bash-4.2-9.src', 'kernel-3.10-2.nosrc'],
  ],
  ['noarch counts', { sources: false, debuginfo: true, architectures: ['noarch'] }, ['bash-doc-4.2-9.noarch']],
  ['no sources', { ...open, sources: false, include: ['bash', 'kernel'], architectures: ['i686'] }, ['bash-4.2-9.i686']],
  ['no debuginfo', { ...open, debuginfo: false, include: ['bash-*'] }, ['bash-doc-4.2-9.noarch']],
  [
    'the newest of each name and architecture',
    { ...open, newest: 1 },
    all.filter((p) => !['bash-4.2-1.x86_64', 'bash-4.2-9.x86_64', 'vim-9.0-1.x86_64'].includes(p)),
  ],
  ['the two newest', { ...open, newest: 2 }, all.filter((p) => p !== 'bash-4.2-1.x86_64')],
  [
    'the newest of what is taken',
    { ...open, newest: 1, architectures: ['x86_64'], exclude: ['vim', 'c*'], sources: false, debuginfo: false },
    ['bash-4.2-10.x86_64'],
  ],
])('%s', (_title, filter, expected) => {
  expect(selectPackages(all.map(of), filter)).toEqual(expected.map(of));
});

test('two packages of one version are one version', () => {
  const list = ['a-1-1.x86_64', 'a-2-1.x86_64', 'a-2.0-1.x86_64', 'a-02-1.x86_64'].map(of);
  expect(selectPackages(list, { ...open, newest: 1 })).toEqual(
    [of('a-2-1.x86_64'), of('a-2.0-1.x86_64'), of('a-02-1.x86_64')].slice(0, 3).filter((p) => compareEvr(p, of('a-2.0-1.x86_64')) >= 0),
  );
});

test('newest: each one taken is newer than each one left of its name and architecture, and so many versions stay', () => {
  const item = fc.record({
    name: fc.constantFrom('a', 'b'),
    epoch: fc.constantFrom('0', '1'),
    version: fc.constantFrom('1', '1.0', '1.1', '1~rc', '2'),
    release: fc.constantFrom('1', '2', '10'),
    arch: fc.constantFrom('x86_64', 'noarch'),
  });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 40 }), fc.integer({ min: 1, max: 4 }), (list, newest) => {
      const taken = selectPackages(list, { ...open, newest });
      for (const name of ['a', 'b'])
        for (const arch of ['x86_64', 'noarch']) {
          const mine = list.filter((p) => p.name === name && p.arch === arch);
          const kept = taken.filter((p) => p.name === name && p.arch === arch);
          const left = mine.filter((p) => !kept.includes(p));
          for (const k of kept) for (const l of left) expect(compareEvr(k, l)).toBeGreaterThan(0);
          const versions = (of: readonly Nevra[]): number => of.filter((p, i) => of.findIndex((q) => compareEvr(p, q) === 0) === i).length;
          expect(versions(kept)).toBe(Math.min(newest, versions(mine)));
        }
    }),
  );
});
