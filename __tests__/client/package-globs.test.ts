import { takes } from '../../client/package-globs';

const kernel = { name: 'kernel-rt', version: '3.10', release: '1.el7', arch: 'x86_64' };

test.each<[string, readonly string[], readonly string[], boolean]>([
  ['nothing is said', [], [], true],
  ['its name', ['kernel-rt'], [], false],
  ['the beginning of its name', ['kernel'], [], true],
  ['a star', ['bash', 'kernel*'], [], false],
  ['name and architecture', ['kernel-rt.x86_64'], [], false],
  ['another architecture', ['kernel-rt.i686'], [], true],
  ['its version', ['kernel-rt-3.10'], [], false],
  ['all of it', ['kernel-rt-3.10-?.el7.x86_64'], [], false],
  ['a point is a point', ['kernel-rt-3x10'], [], true],
  ['a choice', ['kernel-r[st]'], [], false],
  ['none of a choice', ['kernel-r[!st]'], [], true],
  ['an open bracket, a range that runs backwards', ['kernel-r[', 'kernel-r[z-a]', '('], [], true],
  ['others alone are taken', [], ['bash*'], false],
  ['it alone is taken', [], ['kernel-rt'], true],
  ['taken, and excluded', ['kernel-rt'], ['kernel-rt'], false],
  ['many stars end soon', [`${'*k'.repeat(30)}*`], [], true],
])('%s', (_what, exclude, includepkgs, expected) => {
  expect(takes({ exclude, includepkgs }, kernel)).toBe(expected);
});
