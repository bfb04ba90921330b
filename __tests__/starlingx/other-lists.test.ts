import fc from 'fast-check';
import { parseDigests, uncompressedName, writeDigests } from '../../starlingx/digests';
import { parseInstallList, writeInstallList } from '../../starlingx/install-list';
import { layersOf, parseLayerConfig, writeLayerConfig } from '../../starlingx/layer-config';
import { caught } from '../support/caught';

describe('other_downloads.lst', () => {
  const parse = (text: string) => parseInstallList(Buffer.from(text), 'other_downloads.lst');
  test('folders and files, in their order, each once', () => {
    const text = 'folder:EFI/BOOT\n#file:EFI/BOOT/mmx64.efi\nfile:EFI/BOOT/grub.cfg\n\nfile:EFI/BOOT/grub.cfg\n';
    const list = parse(text);
    expect(list).toMatchObject({ folders: ['EFI/BOOT'], files: ['EFI/BOOT/grub.cfg'] });
    expect(writeInstallList(list)).toBe(text);
  });
  test.each<[string, RegExp]>([
    ['EFI/BOOT', /neither "folder:" nor "file:"/],
    ['dir:EFI', /neither/],
    ['file:', /path is missing/],
    ['file:/etc/passwd', /is absolute/],
    ['file:../x', /contains ".."/],
    ['file:a//b', /empty name/],
    ['folder:a/', /empty name/],
    ['file:-rf', /for an option/],
    ['file:images/*.img', /a pattern/],
    ['file:a b', /a character other/],
    ['file:EFI', /it is a file by another line|nothing can be below/],
    [`file:${'a'.repeat(256)}`, /too long/],
  ])('%s is refused', (line, reason) => {
    const error = caught(() => parse(`folder:EFI\n${line}\n`));
    expect(error).toMatchObject({ code: 'LIST_LINE', exitCode: 3 });
    expect(error.message).toMatch(reason);
    expect(error.message).toMatch(/^other_downloads\.lst line [12] /);
  });
  test('nothing is below a file', () => {
    expect(caught(() => parse('file:a\nfile:a/b\n')).message).toMatch(/line 2 "a\/b": "a" is a file by another line/);
  });
});

describe('the configuration of a layer', () => {
  const parse = (text: string) => parseLayerConfig(Buffer.from(text), 'required_layer_pkgs.cfg');
  test('what it takes from lower layers', () => {
    const text = '# c\ncompiler,std,http://h.example/rpm.lst\ndistro,rt,https://h.example/a,b\n';
    expect(layersOf(parse(text))).toMatchObject([
      { line: 2, layer: 'compiler', type: 'std', url: 'http://h.example/rpm.lst' },
      { line: 3, layer: 'distro', type: 'rt', url: 'https://h.example/a,b' },
    ]);
    expect(writeLayerConfig(parse(text))).toBe(text);
  });
  test.each<[string, RegExp]>([
    ['compiler', /fewer than three/],
    ['compiler,std', /fewer than three/],
    ['../x,std,http://h.example/a', /"\.\.\/x" is not the name/],
    ['compiler,,http://h.example/a', /"" is not the name/],
    ['compiler,std,h.example/a', /no scheme/],
    ['compiler,std,http://u:p@h.example/a', /password/],
  ])('%s is refused', (line, reason) => {
    expect(caught(() => parse(line)).message).toMatch(reason);
  });
});

describe('recorded digests', () => {
  const a = 'a'.repeat(64);
  const b = 'b'.repeat(64);
  const parse = (text: string) => parseDigests(Buffer.from(text), 'digests.sha256');
  test('as sha256sum prints them, with comments', () => {
    expect([...parse(`# first sight 2026-11-23\n${b}  b.tar.gz\n\n${a} *originals/a.tgz\n`)]).toEqual([
      ['b.tar.gz', b],
      ['originals/a.tgz', a],
    ]);
  });
  test('are written sorted by name', () => {
    expect(
      writeDigests(
        new Map([
          ['b', b],
          ['a', a],
          ['B', b],
        ]),
      ),
    ).toBe(`${b}  B\n${a}  a\n${b}  b\n`);
  });
  test.each<[string, RegExp]>([
    [`${a} a`, /no line of sha256sum/],
    [`${a.slice(1)}  a`, /no line of sha256sum/],
    [`${'A'.repeat(64)}  a`, /no line of sha256sum/],
    [`${a}  `, /no line of sha256sum/],
    [`\\${a}  a\\nb`, /no line of sha256sum/],
    [`${a}  ../a`, /contains ".."/],
    [`${a}  /a`, /absolute/],
    [`${a}  x`, /an earlier line has another digest/],
  ])('%s is refused', (line, reason) => {
    const error = caught(() => parse(`${b}  x\n${line}\n`));
    expect(error).toMatchObject({ code: 'LIST_LINE', exitCode: 3 });
    expect(error.message).toMatch(/^digests\.sha256 line 2 /);
    expect(error.message).toMatch(reason);
  });
  test('a round trip', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9+.~]{0,10}$/));
    fc.assert(
      fc.property(names, (list) => {
        const digests = new Map(list.sort().map((name) => [name, a]));
        expect(parse(writeDigests(digests))).toEqual(digests);
      }),
    );
  });
  test.each([
    ['tss2-930.tar.gz', 'tss2-930.tar'],
    ['a.tgz', 'a.tar'],
    ['a.tar.bz2', 'a.tar'],
    ['a.txz', 'a.tar'],
    ['a.tar', 'a.tar'],
    ['a.zip', 'a.zip'],
  ])('an archive that the mirror makes: %s is recorded as %s', (file, name) => {
    expect(uncompressedName(file)).toBe(name);
  });
});

test('nothing but a MirrorError is thrown for any bytes', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array().map((array) => Buffer.from(array)),
        fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        for (const parse of [parseInstallList, parseLayerConfig, parseDigests])
          try {
            parse(bytes, 'x');
          } catch (error) {
            caught(() => {
              throw error;
            });
          }
      },
    ),
    { numRuns: 3000 },
  );
});
