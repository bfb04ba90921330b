/** Checksum files: what sha256sum and the BSD tools write is read as it was meant, and nothing leaves the tree. */
import fc from 'fast-check';
import { joinDigests, readChecksums } from '../../content/tree-checksums';
import { treeLocation } from '../../content/tree-paths';

const LENGTHS = { sha224: 56, sha256: 64, sha384: 96, sha512: 128 } as const;
const algorithm = fc.constantFrom(...(Object.keys(LENGTHS) as (keyof typeof LENGTHS)[]));
const hexOf = (length: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });
const segment = fc.string({ unit: fc.constantFrom(...'abcXYZ019 ._-+()=:#*äß'), minLength: 1, maxLength: 12 });
const path = fc
  .array(segment, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'))
  .filter((text) => 'path' in treeLocation(text) && text.trim() === text);
const entry = algorithm.chain((which) => fc.record({ algorithm: fc.constant(which), hex: hexOf(LENGTHS[which]), path }));
const entries = fc.uniqueArray(entry, { minLength: 1, maxLength: 15, selector: (one) => one.path });

test.each<['GNU' | 'binary' | 'BSD']>([['GNU'], ['binary'], ['BSD']])('every name and checksum in the %s form is read as it is', (form) => {
  fc.assert(
    fc.property(entries, fc.boolean(), (list, crlf) => {
      const lines = list.map((one) =>
        form === 'BSD'
          ? `${one.algorithm.toUpperCase()} (${one.path}) = ${one.hex}`
          : `${one.hex} ${form === 'GNU' ? ' ' : '*'}${one.path}`,
      );
      const read = readChecksums(lines.join(crlf ? '\r\n' : '\n'), 'sub/SUMS');
      if ('problem' in read) throw new Error(read.problem);
      expect(Object.fromEntries(read.checksums)).toEqual(
        Object.fromEntries(list.map((one) => [`sub/${one.path}`, { algorithm: one.algorithm, hex: one.hex }])),
      );
    }),
  );
});

test('whatever it says, no path leaves the tree', () => {
  const name = fc.array(fc.constantFrom('..', '.', '', 'a', '/', '%2e%2e', '\\', '\u0000', '~', ' ')).map((parts) => parts.join('/'));
  fc.assert(
    fc.property(fc.array(fc.tuple(hexOf(64), name), { minLength: 1 }), (list) => {
      const read = readChecksums(list.map(([hex, text]) => `${hex}  ${text}`).join('\n'), 'sub/SUMS');
      if ('problem' in read) return;
      for (const known of read.checksums.keys()) expect(known.split('/').some((part) => ['', '.', '..'].includes(part))).toBe(false);
    }),
  );
});

test('joined in any order they say the same, the strongest; a second one of the same kind that differs is an error', () => {
  fc.assert(
    fc.property(entries, entries, (a, b) => {
      const digests = (list: typeof a): ReturnType<typeof readChecksums> =>
        readChecksums(list.map((one) => `${one.hex}  ${one.path}`).join('\n'), 'SUMS');
      const [left, right] = [digests(a), digests(b)];
      if ('problem' in left || 'problem' in right) throw new Error('not read');
      const [one, other] = [joinDigests([left, right]), joinDigests([right, left])];
      expect('problem' in one).toBe('problem' in other);
      if ('problem' in one || 'problem' in other) return;
      expect(new Map([...one.checksums].sort())).toEqual(new Map([...other.checksums].sort()));
      expect(joinDigests([left, left])).toEqual(joinDigests([left]));
    }),
  );
});
