import fc from 'fast-check';
import { packageLineText, packagesOf, parsePackageList, splitRpmFileName, writePackageList } from '../../starlingx/package-list';
import { caught } from '../support/caught';

const parse = (text: string | Buffer) => parsePackageList(Buffer.from(text), 'rpms_centos.lst');

describe('the name of the file is the pin', () => {
  test.each([
    ['bash-4.2.46-34.el7.x86_64.rpm', 'bash', '4.2.46', '34.el7', 'x86_64'],
    ['libstdc++-devel-4.8.5-39.el7.x86_64.rpm', 'libstdc++-devel', '4.8.5', '39.el7', 'x86_64'],
    ['java-1.8.0-openjdk-1.8.0.222.b10-0.el7_6.x86_64.rpm', 'java-1.8.0-openjdk', '1.8.0.222.b10', '0.el7_6', 'x86_64'],
    ['puppet-ceph-4.1.0+git.9e06029aea-1.el7.src.rpm', 'puppet-ceph', '4.1.0+git.9e06029aea', '1.el7', 'src'],
    ['fuel-9.0.0-1.el7~mos1.noarch.rpm', 'fuel', '9.0.0', '1.el7~mos1', 'noarch'],
    ['podman-4.0.0^dev.1-1.fc36.x86_64.rpm', 'podman', '4.0.0^dev.1', '1.fc36', 'x86_64'],
    ['pps-tools-devel-0-0.9.20120407git0deb9c.el7.x86_64.rpm', 'pps-tools-devel', '0', '0.9.20120407git0deb9c.el7', 'x86_64'],
    ['0ad-0.0.22-1.el7.nosrc.rpm', '0ad', '0.0.22', '1.el7', 'nosrc'],
  ])('%s', (file, name, version, release, arch) => {
    expect(packagesOf(parse(`${file}\n`))).toEqual([{ kind: 'package', line: 1, file, name, version, release, arch }]);
  });
  test('with a URL', () => {
    const url = 'http://cbs.centos.org/kojifiles/packages/novnc/0.6.2/1.el7/noarch/novnc-0.6.2-1.el7.noarch.rpm';
    expect(packagesOf(parse(`novnc-0.6.2-1.el7.noarch.rpm#${url}\n`))[0]).toMatchObject({ name: 'novnc', url });
  });
});

describe('what is no request', () => {
  test('comments and blank lines are kept', () => {
    const text = '# bash-4.2.46-34.el7.x86_64.rpm provided by mock\n\n#\nbash-4.2.46-34.el7.x86_64.rpm\n  \n';
    const list = parse(text);
    expect(list.lines.map(({ kind }) => kind)).toEqual(['comment', 'blank', 'comment', 'package', 'blank']);
    expect(packagesOf(list)).toMatchObject([{ line: 4 }]);
    expect(writePackageList(list)).toBe(text);
  });
  test.each(['', '\n', '\n\n', '# nothing', '# nothing\n', 'bash-4.2.46-34.el7.x86_64.rpm'])('%j comes back as it was', (text) => {
    expect(writePackageList(parse(text))).toBe(text);
  });
});

describe('the same package again', () => {
  const bash = 'bash-4.2.46-34.el7.x86_64.rpm';
  test('is one request, and the line stays', () => {
    const text = `${bash}\n${bash}\n`;
    expect(packagesOf(parse(text))).toMatchObject([{ line: 1 }]);
    expect(writePackageList(parse(text))).toBe(text);
  });
  test('a URL of one line holds for the other', () => {
    expect(packagesOf(parse(`${bash}\n${bash}#http://h.example/${bash}\n`))).toMatchObject([{ line: 2, url: `http://h.example/${bash}` }]);
  });
  test('two URLs are a conflict', () => {
    const error = caught(() => parse(`${bash}#http://h.example/a/${bash}\n\n${bash}#http://h.example/b/${bash}\n`));
    expect(error.message).toBe(`rpms_centos.lst line 3 "${bash}": line 1 asks for the same file in another way`);
  });
  test('other versions are other requests', () => {
    expect(packagesOf(parse(`${bash}\nbash-4.2.46-31.el7.x86_64.rpm\n`))).toHaveLength(2);
  });
});

/** The list section of the catalogue of bad inputs, for a list of packages. */
describe('what is refused: with file, line, value and remedy', () => {
  const long = `${'a'.repeat(250)}-1-1.noarch.rpm`;
  test.each<[string, string | Buffer, number, RegExp]>([
    ['a byte-order mark', '\ufeffbash-1-1.noarch.rpm\n', 1, /byte-order mark/],
    ['UTF-16, little-endian', Buffer.from('\ufeffbash-1-1.noarch.rpm\n', 'utf16le'), 0, /UTF-16/],
    ['UTF-16, big-endian', Buffer.from('\ufeffbash-1-1.noarch.rpm\n', 'utf16le').swap16(), 0, /UTF-16/],
    ['UTF-16 without a mark', Buffer.from('# x\nbash\n', 'utf16le'), 1, /NUL/],
    ['CRLF', 'a-1-1.noarch.rpm\r\nb-1-1.noarch.rpm\r\n', 1, /ends with CR/],
    ['NUL', 'a-1-1.noarch.rpm\nb-1-1.noarch\0.rpm\n', 2, /NUL/],
    ['an escape', '# a\u001b[31m\n', 1, /U\+001B/],
    ['right-to-left', '# a\u202e\n', 1, /U\+202E/],
    ['a zero-width joiner', 'a\u200d-1-1.noarch.rpm', 1, /U\+200D/],
    ['a line separator', '# a\u2028b', 1, /U\+2028/],
    ['not UTF-8', Buffer.from('# a\n# caf\xe9\n', 'latin1'), 2, /not UTF-8/],
    ['a 10 MB line', `# a\n${'x'.repeat(10 << 20)}`, 2, /10485760 bytes/],
    ['a million lines', 'a-1-1.noarch.rpm\n'.repeat(1_000_000), 0, /more than 200000 lines/],
    ['a name outside ASCII', 'café-1-1.noarch.rpm', 1, /character that no name/],
    ['a number sign inside the name', 'a#b-1-1.noarch.rpm', 1, /does not end with/],
    ['two number signs', 'a-1-1.noarch.rpm#http://h.example/a#b', 1, /more than one "#"/],
    ['a comment behind the name', 'a-1-1.noarch.rpm # why', 1, /a space/],
    ['a comment that is moved in', '  # why', 1, /a space/],
    ['a space at the end', 'a-1-1.noarch.rpm ', 1, /a space/],
    ['no release', 'bash-4.2.x86_64.rpm', 1, /part is missing/],
    ['no version', 'bash.x86_64.rpm', 1, /part is missing/],
    ['no architecture', 'bash-4.2-1.rpm', 1, /part is missing/],
    ['only a name', 'bash', 1, /does not end with/],
    ['only ".rpm"', '.rpm', 1, /part is missing/],
    ['another format', 'bash_4.2-1_amd64.deb', 1, /does not end with/],
    ['no URL', 'a-1-1.noarch.rpm#', 1, /nothing follows/],
    ['a path up', '../a-1-1.noarch.rpm', 1, /a path/],
    ['an absolute path', '/etc/a-1-1.noarch.rpm', 1, /a path/],
    ['an option', '-rf', 1, /begins with "-"/],
    ['an option that is a package', '-a-1-1.noarch.rpm', 1, /begins with "-"/],
    ['a URL with credentials', 'a-1-1.noarch.rpm#http://me:s3cr3t@h.example/a.rpm', 1, /user name or a password/],
    ['a URL with a user', 'a-1-1.noarch.rpm#http://me@h.example/a.rpm', 1, /user name or a password/],
    ['a URL without its scheme', 'a-1-1.noarch.rpm#h.example/a.rpm', 1, /no scheme/],
    ['a URL with ".."', 'a-1-1.noarch.rpm#http://h.example/../a.rpm', 1, /contains ".."/],
    ['a file URL', 'a-1-1.noarch.rpm#file:///etc/passwd', 1, /scheme is file/],
    ['a URL with a variable', 'a-1-1.noarch.rpm#http://h.example/$basearch/a.rpm', 1, /unexpanded variable/],
    ['an unknown architecture', 'a-1-1.x86-64.rpm', 1, /part is missing|no architecture/],
    ['a misspelt architecture', 'a-1-1.x86_46.rpm', 1, /x86_46 is no architecture/],
    ["Debian's architecture", 'a-1-1.amd64.rpm', 1, /amd64 is no architecture/],
    ['an epoch', 'bind-32:9.11.4-26.el7.x86_64.rpm', 1, /an epoch/],
    ['an epoch before the name', '32:bind-9.11.4-26.el7.x86_64.rpm', 1, /an epoch/],
    ['a glob', 'bash-4.2.*.x86_64.rpm', 1, /a pattern/],
    ['a glob of one', 'bash-4.2-?.el7.x86_64.rpm', 1, /a pattern/],
    ['a command', 'a-1-1.noarch.rpm;id', 1, /does not end with/],
    ['a substitution', 'a-$(id)-1.noarch.rpm', 1, /character that no name/],
    ['256 characters', long, 1, /file systems end at 255/],
    ['HTML', '<html><head>', 1, /does not end with/],
  ])('%s', (_what, text, line, reason) => {
    const error = caught(() => parse(text));
    expect(error).toMatchObject({ exitCode: 3, code: line === 0 || /byte-order/.test(error.message) ? 'LIST_TEXT' : 'LIST_LINE' });
    expect(error.message).toMatch(line === 0 ? /^rpms_centos.lst / : new RegExp(`^rpms_centos\\.lst line ${line} `));
    expect(error.message).toMatch(reason);
    expect(error.remedy).not.toBe('');
    expect(error.describe()).toMatch(/^[\u0020-\u007e\n…]*$/);
    expect(error.describe().length).toBeLessThan(600);
    expect(error.describe()).not.toContain('s3cr3t');
  });
});

describe('for any input', () => {
  const word = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._+]{0,12}$/);
  const version = fc.stringMatching(/^[A-Za-z0-9._+~^]{1,12}$/);
  const name = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('-'));
  const line = fc.oneof(
    fc
      .tuple(name, version, version, fc.constantFrom('noarch', 'x86_64', 'src'), fc.boolean())
      .map(([n, v, r, arch, url]) => `${n}-${v}-${r}.${arch}.rpm${url ? `#http://h.example/${n}.rpm` : ''}`),
    fc.constantFrom('', '# provided by mock', '#', ' '),
  );
  test('a generated list comes back as it was, and what was taken apart goes together again', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 30 }), fc.boolean(), (lines, newline) => {
        const text = lines.join('\n') + (newline && lines.length > 0 ? '\n' : '');
        const list = parse(text);
        expect(writePackageList(list)).toBe(text);
        for (const one of packagesOf(list)) {
          expect(`${one.name}-${one.version}-${one.release}.${one.arch}.rpm`).toBe(one.file);
          expect(splitRpmFileName(one.file)).toMatchObject({ name: one.name });
          expect(lines).toContain(packageLineText(one));
        }
      }),
      { numRuns: 500 },
    );
  });
  test('nothing but a MirrorError is thrown, and what is taken is safe as a file name', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array)),
      fc.string({ maxLength: 60, unit: 'binary' }).map((text) => Buffer.from(text)),
      fc
        .array(fc.constantFrom('a', '-1', '.x86_64', '.rpm', '#', '\n', 'http://h/', '..', '/', '!', ' ', ':', '*'), { maxLength: 12 })
        .map((p) => Buffer.from(p.join(''))),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        let list;
        try {
          list = parsePackageList(input, 'x.lst');
        } catch (error) {
          expect(
            caught(() => {
              throw error;
            }).message,
          ).toContain('x.lst');
          return;
        }
        expect(Buffer.from(writePackageList(list))).toEqual(input);
        for (const { file } of packagesOf(list)) expect(file).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._+~^-]*\.rpm$/);
      }),
      { numRuns: 5000 },
    );
  });
});
