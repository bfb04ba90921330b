import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { compareEvr, compareVersions } from '../../rpm-metadata/version';

test.each<[string, string, number]>([
  ['1.0', '1.0', 0],
  ['1.0', '2.0', -1],
  ['2.0.1a', '2.0.1', 1],
  ['5.5p10', '5.5p1', 1],
  ['10xyz', '10.1xyz', -1],
  ['xyz10', 'xyz10.1', -1],
  ['xyz.4', '8', -1],
  ['2_0', '2.0', 0],
  ['1.0010', '1.9', 1],
  ['1.05', '1.5', 0],
  ['1.0~rc1', '1.0', -1],
  ['1.0~rc1', '1.0~rc2', -1],
  ['1.0^', '1.0', 1],
  ['1.0^git1', '1.0.1', -1],
  ['1.0^git1~pre', '1.0^git1', -1],
  ['1.0~rc1^git1', '1.0~rc1', 1],
  ['99999999999999999999', '100000000000000000000', -1],
  ['', '1', -1],
  ['.', '', 0],
  ['1.', '1', 0],
])('%s against %s is %d', (a, b, expected) => {
  expect(compareVersions(a, b)).toBe(expected);
  expect(compareVersions(b, a)).toBe(-expected + 0);
});

test.each<[string | undefined, string, string, string | undefined, string, string, number]>([
  ['1', '1', '1', '0', '9', '9', 1],
  ['10', '1', '1', '9', '9', '9', 1],
  [undefined, '1', '1', '0', '1', '1', 0],
  ['', '1', '1', '00', '1', '1', 0],
  ['0', '1', '2.el7', '0', '1', '10.el7', -1],
  ['0', '1.1', '1', '0', '1', '9', 1],
])('%s:%s-%s against %s:%s-%s', (epoch, version, release, e, v, r, expected) => {
  expect(Math.sign(compareEvr({ epoch, version, release }, { epoch: e, version: v, release: r }))).toBe(expected);
});

/** Asks rpm itself, some hundred pairs in a call. */
function rpmSays(pairs: readonly (readonly [string, string])[]): readonly number[] {
  if (pairs.length > 500) return [...rpmSays(pairs.slice(0, 500)), ...rpmSays(pairs.slice(500))];
  const lua = pairs.map(([a, b]) => `print(rpm.vercmp([[${a}]], [[${b}]]).."\\n")`).join(' ');
  return execFileSync('rpm', ['--eval', `%{lua: ${lua}}`], { encoding: 'utf8', maxBuffer: 1e8 })
    .trim()
    .split(/\s+/)
    .map(Number);
}

test('rpm agrees about any two versions', () => {
  const piece = fc.oneof(fc.constantFrom('~', '^', '.', '_', '+', '0', '00', 'rc', 'el7', 'a', 'B'), fc.nat(120).map(String));
  const some = fc.array(piece, { maxLength: 7 }).map((pieces) => pieces.join(''));
  // The same beginning, or nearly all pairs would differ in their first piece. rpm takes no empty version.
  const near = fc
    .tuple(fc.constantFrom('1', 'a', '~', '^'), some, some, some)
    .map(([x, a, b, c]): [string, string] => [x + a + b, x + a + c]);
  const pairs = fc.sample(near, 3000);
  const said = rpmSays(pairs);
  const disagreements = pairs.flatMap(([a, b], i) => (compareVersions(a, b) === said[i] ? [] : [[a, b, compareVersions(a, b), said[i]]]));
  expect(disagreements).toEqual([]);
  expect(new Set(said)).toEqual(new Set([-1, 0, 1]));
});
