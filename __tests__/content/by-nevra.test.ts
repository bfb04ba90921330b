import fc from 'fast-check';
import { ByNevra } from '../../content/by-nevra';
import { type Nevra, nevra } from '../../rpm-metadata/nevra';

const item: fc.Arbitrary<Nevra> = fc.record({
  name: fc.constantFrom('a', 'a-1'),
  epoch: fc.constantFrom('0', '1'),
  version: fc.constantFrom('1', '2'),
  release: fc.constantFrom('1', '2'),
  arch: fc.constantFrom('noarch', 'x86_64'),
});

test('is a map from NEVRA to package, for one of a name and for many', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), item)), item, (steps, asked) => {
      const packages = new ByNevra<Nevra>();
      const model = new Map<string, Nevra>();
      for (const [set, one] of steps) {
        if (set) {
          packages.set(one);
          model.set(nevra(one), one);
        } else {
          packages.delete(one);
          model.delete(nevra(one));
        }
        expect(packages.get(one)).toBe(model.get(nevra(one)));
        expect(packages.get(asked)).toBe(model.get(nevra(asked)));
      }
    }),
  );
});

test('of two with one NEVRA it has the later', () => {
  const first: Nevra = { name: 'a', epoch: '0', version: '1', release: '1', arch: 'noarch' };
  const second = { ...first };
  expect(new ByNevra([first, second]).get(first)).toBe(second);
});
