import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { type Catalogue, readCatalogue, writeCatalogue } from '../../../rpm-metadata/accumulate/catalogue';
import { idOf, indexOf, keyOf, nevraOf, type PackageEntry, pathOf, TableBuilder } from '../../../rpm-metadata/accumulate/table';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'catalogue-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const lengths = { sha1: 40, sha224: 56, sha256: 64, sha384: 96, sha512: 128 } as const;
const word = fc.string({ unit: fc.constantFrom('a', 'B', '7', '.', '+', '_', 'é', '~'), minLength: 1, maxLength: 12 });
const entry: fc.Arbitrary<PackageEntry> = fc
  .record({
    algorithm: fc.constantFrom(...(Object.keys(lengths) as (keyof typeof lengths)[])),
    seed: fc.bigInt({ min: 0n, max: (1n << 160n) - 1n }),
    name: word,
    epoch: fc.nat(12).map(String),
    version: word,
    release: word,
    arch: fc.constantFrom('x86_64', 'noarch', 'src'),
    folder: fc.constantFrom('', 'Packages/', 'a b/c/'),
    size: fc.nat(Number.MAX_SAFE_INTEGER),
  })
  .map(({ algorithm, seed, folder, ...rest }) => {
    const path = `${folder}${rest.name}.rpm`;
    const hex = seed.toString(16).padStart(lengths[algorithm], '0');
    return { ...rest, checksum: { algorithm, hex }, path, href: path.split('/').map(encodeURIComponent).join('/') };
  });

const catalogueOf = (entries: readonly PackageEntry[]): Catalogue => {
  const table = new TableBuilder();
  for (const one of entries) table.add(one);
  const column = Uint32Array.from(entries, (_, i) => i);
  const file = (name: string) => ({
    name,
    checksum: 'ab',
    openChecksum: 'cd',
    size: 1,
    openSize: 2,
    timestamp: 3,
    headSize: 4,
    rows: column,
    lengths: column.map((n) => n * 2),
    prints: column.map((n) => n * 3),
    members: entries.length === 0 ? [] : [{ count: entries.length, size: 5, open: 6 }],
  });
  return { revision: 77, packages: table.view(), files: { primary: file('p'), filelists: file('f'), other: file('o') } };
};

test('what is written is read', async () => {
  let n = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 30 }), async (entries) => {
      const path = join(directory, String(n++));
      const written = catalogueOf(entries);
      await writeCatalogue(path, written);
      const read = await readCatalogue(path);
      expect([...(read?.packages ?? [])]).toEqual(entries);
      expect(read?.files).toEqual(written.files);
      expect(read?.revision).toBe(77);
    }),
  );
});

test('a catalogue of which any byte is another one is not read; nor one that is missing, short or of another form', async () => {
  const path = join(directory, 'c');
  const entries = fc.sample(entry, 5);
  await writeCatalogue(path, catalogueOf(entries));
  const bytes = readFileSync(path);
  expect(await readCatalogue(path)).toBeDefined();
  for (let at = 0; at < bytes.length; at += 3) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] as number) ^ 0x20;
    writeFileSync(path, damaged);
    expect(await readCatalogue(path)).toBeUndefined();
  }
  for (const cut of [0, 10, 40, bytes.length - 1]) {
    writeFileSync(path, bytes.subarray(0, cut));
    expect(await readCatalogue(path)).toBeUndefined();
  }
  expect(await readCatalogue(join(directory, 'none'))).toBeUndefined();
});

test('rows are found by digest, identity and path', () => {
  fc.assert(
    fc.property(fc.uniqueArray(entry, { minLength: 1, maxLength: 60, selector: (e) => e.checksum.hex }), (entries) => {
      const { packages } = catalogueOf(entries);
      const first = (key: (e: PackageEntry) => string, row: number): number =>
        entries.findIndex((e) => key(e) === key(entries[row] as PackageEntry));
      const [ids, identities, paths] = [idOf, nevraOf, pathOf].map((part) => indexOf(packages, part)) as [never, never, never];
      const find = (index: ReturnType<typeof indexOf>, bytes: Buffer): number | undefined => index.find(keyOf(bytes));
      entries.forEach(({ checksum, name, epoch, version, release, arch, path }, row) => {
        expect(find(ids, Buffer.from(checksum.hex, 'hex'))).toBe(row);
        const identity = [name, epoch, version, release, arch].join('\0');
        expect(find(identities, Buffer.from(identity))).toBe(first((e) => [e.name, e.epoch, e.version, e.release, e.arch].join('\0'), row));
        expect(find(paths, Buffer.from(path))).toBe(first((e) => e.path, row));
      });
      expect(find(paths, Buffer.from('no such path'))).toBeUndefined();
    }),
  );
});

/** In a process of its own, since a test runner's memory says nothing. */
test('100,000 packages take less than 25 MB', async () => {
  const path = join(directory, 'big');
  const entries = Array.from({ length: 100_000 }, (_, i): PackageEntry => {
    const file = `Packages/package-with-a-name-${i}-1.2.3-4.el7.x86_64.rpm`;
    const hex = i.toString(16).padStart(64, '0');
    const identity = { name: `package-with-a-name-${i}`, epoch: '0', version: '1.2.3', release: '4.el7', arch: 'x86_64' };
    return { checksum: { algorithm: 'sha256', hex }, ...identity, path: file, href: file, size: i };
  });
  await writeCatalogue(path, catalogueOf(entries));
  const program = join(directory, 'read.cjs');
  buildSync({
    stdin: {
      contents: `import { readCatalogue } from './rpm-metadata/accumulate/catalogue';
        import { idOf, indexOf } from './rpm-metadata/accumulate/table';
        const used = () => (globalThis.gc(), process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers);
        const before = used();
        readCatalogue(process.argv[2]).then((c) => { const index = indexOf(c.packages, idOf); const after = used(); console.log(after - before, c.packages.length, typeof index); });`,
      resolveDir: join(__dirname, '../../..'),
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    outfile: program,
    logLevel: 'error',
  });
  const [bytes, count] = execFileSync(process.execPath, ['--expose-gc', program, path], { encoding: 'utf8' }).split(' ').map(Number);
  expect(count).toBe(100_000);
  expect(bytes).toBeLessThan(25e6);
});
