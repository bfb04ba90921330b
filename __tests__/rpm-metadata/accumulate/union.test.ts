import fc from 'fast-check';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readAccumulated } from '../../../rpm-metadata/accumulate/published';
import { filesOf, type Item, pkgid, previousOf, Publisher, type Read, readRepositories } from './support/repository';

let publisher: Publisher;
beforeEach(() => (publisher = new Publisher()));
afterEach(() => publisher.remove());

/** What an upstream has at one time, and what happens at that publish. */
interface Step {
  readonly items: readonly Item[];
  /** Files whose packages are listed in another order. */
  readonly reversed: readonly ('primary' | 'filelists' | 'other')[];
  /** Names that are not accepted, and names that are not kept. */
  readonly refused: readonly string[];
  readonly forgotten: readonly string[];
  /** What happens to the catalogue before. */
  readonly catalogue: 'intact' | 'missing' | 'damaged';
  /** The packages arrive in this many sources. */
  readonly sources: number;
}

const names = ['bash', 'glibc', 'vim', 'zlib', 'gcc-c++'];
const item: fc.Arbitrary<Item> = fc
  .record({
    name: fc.constantFrom(...names),
    version: fc.constantFrom('1', '2', '10'),
    content: fc.integer({ min: 1, max: 3 }),
    folder: fc.constantFrom('Packages/', 'Packages/x/', '', 'latest'),
    summary: fc.constantFrom('one', 'two', 'a &amp; b'),
  })
  .map(({ folder, ...rest }) => ({
    ...rest,
    // In `latest` each version takes the place of the one before.
    href: folder === 'latest' ? `latest/${rest.name}.rpm` : `${folder}${rest.name}-${rest.version}.noarch.rpm`,
  }));
const some = fc.subarray(names, { maxLength: 2 });
const step: fc.Arbitrary<Step> = fc.record({
  // No upstream has two packages at one place, or one package twice.
  items: fc
    .uniqueArray(item, { maxLength: 16, selector: (i) => i.href })
    .map((list) => [...new Map(list.map((i) => [pkgid(i), i])).values()]),
  reversed: fc.subarray(['primary', 'filelists', 'other'] as const),
  refused: fc.oneof({ weight: 3, arbitrary: fc.constant<string[]>([]) }, some),
  forgotten: fc.oneof({ weight: 3, arbitrary: fc.constant<string[]>([]) }, some),
  catalogue: fc.oneof(
    { weight: 5, arbitrary: fc.constant('intact' as const) },
    fc.constant('missing' as const),
    fc.constant('damaged' as const),
  ),
  sources: fc.integer({ min: 1, max: 3 }),
});

/** The union, computed plainly: by pkgid, what is published. */
type Model = ReadonlyMap<string, Item>;

function modelStep(before: Model, { items, refused, forgotten }: Step): Model {
  const taken = items.filter((i) => !refused.includes(i.name));
  const after = new Map(taken.map((i): [string, Item] => [pkgid(i), i]));
  const places = new Set(taken.map((i) => i.href));
  const identities = new Set(taken.map((i) => `${i.name}-${i.version}`));
  for (const [id, old] of before) {
    if (after.has(id) || identities.has(`${old.name}-${old.version}`) || forgotten.includes(old.name)) continue;
    const name = old.href.slice(old.href.lastIndexOf('/') + 1);
    after.set(id, places.has(old.href) ? { ...old, href: `superseded/${id}/${name}` } : old);
  }
  return after;
}

function expectSame(read: Read, model: Model): void {
  expect(read.wrong).toEqual([]);
  const unescaped = (text: string): string => text.replace('&amp;', '&');
  const all = [...model].map(([id, i]) => ({ id, i, nevra: [i.name, '0', i.version, '1', 'noarch'] }));
  const by = <T>(of: (entry: (typeof all)[number]) => T): Record<string, T> =>
    Object.fromEntries(all.map((entry) => [entry.id, of(entry)]));
  expect(read.primary).toEqual(by(({ i, nevra }) => [...nevra, href(i.href), { href: href(i.href) }, unescaped(i.summary)]));
  expect(read.filelists).toEqual(by(({ i, nevra }) => [...nevra, filesOf(i).map(unescaped)]));
  expect(read.other).toEqual(by(({ i, nevra }) => [...nevra, [`- ${unescaped(i.summary)}`]]));
}
/** What had to move is written encoded; the rest as upstream has it. */
function href(path: string): string {
  return path.startsWith('superseded/') ? path.split('/').map(encodeURIComponent).join('/') : path;
}

test('after any sequence of updates the union is what a plain model says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), fc.constantFrom(200, 1500, 1 << 19), async (steps, memberBytes) => {
      let model: Model = new Map();
      const models: Model[] = [];
      const paths: string[] = [];
      for (const one of steps) {
        const before = paths.at(-1);
        if (before !== undefined && one.catalogue === 'missing') rmSync(join(before, 'catalogue'));
        if (before !== undefined && one.catalogue === 'damaged')
          writeFileSync(join(before, 'catalogue'), 'package mirror catalogue 1\nx'.repeat(9));
        const orders = Object.fromEntries(one.reversed.map((kind) => [kind, (list: readonly Item[]) => [...list].reverse()]));
        const sources = Array.from({ length: one.sources }, (_, s) =>
          publisher.upstream(
            one.items.filter((_item, i) => i % one.sources === s),
            orders,
          ),
        );
        const published = await publisher.publish(before, sources, {
          accept: ({ name }) => !one.refused.includes(name),
          keep: ({ name }, replaced) => !replaced && !one.forgotten.includes(name),
          memberBytes,
        });
        const next = modelStep(model, one);
        expect(published.rebuilt).toBe(before !== undefined && one.catalogue !== 'intact');
        const { added, stayed, kept, dropped, replaced } = published.counts;
        expect([added + stayed + kept, stayed + kept + dropped + replaced]).toEqual([next.size, model.size]);
        const entries = [...(await readAccumulated(previousOf(published.path)))];
        expect(new Map(entries.map((e) => [e.checksum.hex, e.path]))).toEqual(new Map([...next].map(([id, i]) => [id, i.href])));
        model = next;
        models.push(model);
        paths.push(published.path);
      }
      const reads = readRepositories(paths);
      reads.forEach((read, i) => expectSame(read, models[i] as Model));
      expect(reads.map(({ revision }) => revision)).toEqual(reads.map((_, i) => 1_700_000_000 + i));
    }),
    { numRuns: 25 },
  );
}, 120_000);
