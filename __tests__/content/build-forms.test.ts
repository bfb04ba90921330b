import { createHash } from 'node:crypto';
import { formProblems, markersOf, sumsProblems } from '../../content/build-forms';
import { isReplaced, pathProblems, rpmDirectories } from '../../content/build-repositories';
import type { BuildFile } from '../../content/build-tree';

const file = (path: string, text = ''): BuildFile & { readonly text: string } => ({
  path,
  text,
  size: Buffer.byteLength(text),
  mtimeMs: 0,
  sha256: createHash('sha256').update(text).digest('hex'),
});
const problems = (path: string, bytes: string | Buffer): readonly string[] =>
  formProblems([{ ...file(path), size: bytes.length }], () => Buffer.from(bytes)).map(({ why }) => why);
const SHA = '0123456789abcdef0123456789abcdef01234567';

describe('CONTEXT.sh', () => {
  test.each([
    `(cd ./cgcs-root && git checkout -f ${SHA})\n`,
    `# made by the build\n\n(cd . && git checkout -f ${SHA})\n(cd ./a/b-c_d.e+f && git checkout -f ${SHA})`,
    '',
  ])('%j is one', (text) => {
    expect(problems('CONTEXT.sh', text)).toEqual([]);
    expect(problems('outputs/CONTEXT.sh', text)).toEqual([]);
  });

  test.each([
    `(cd ./a && git checkout -f ${SHA.slice(1)})`,
    `(cd ./a && git checkout -f ${SHA.toUpperCase()})`,
    `(cd /etc && git checkout -f ${SHA})`,
    `(cd ./../x && git checkout -f ${SHA})`,
    `(cd ./a/.. && git checkout -f ${SHA})`,
    `(cd ./$(id) && git checkout -f ${SHA})`,
    `(cd ./a b && git checkout -f ${SHA})`,
    `(cd ./a && git checkout -f ${SHA}); id`,
    `(cd ./a && git checkout ${SHA})`,
    `(cd ./a && git checkout -f ${SHA})\r`,
  ])('%j is none', (line) => {
    expect(problems('CONTEXT.sh', `# a comment\n${line}\n`)).toEqual([
      expect.stringMatching(/^has the line 2, ".*", which is not of the form \(cd/),
    ]);
  });

  test('what is no text is none, and elsewhere a file of that name is any file', () => {
    expect(problems('CONTEXT.sh', Buffer.from([0xff, 0x0a]))).toEqual(['is no UTF-8 text']);
    expect(problems('CONTEXT.sh', '\0')).toEqual(['is no UTF-8 text']);
    expect(problems('logs/CONTEXT.sh', 'anything')).toEqual([]);
  });
});

describe('BUILD_INFO', () => {
  test.each(['OS="centos"', 'SW_VERSION="20.06"', 'BUILD_BY=jenkins@host', 'EMPTY=', 'EMPTY=""', '###\n### StarlingX\n\nA=b c'])(
    '%j is one',
    (text) => {
      expect(problems('BUILD_INFO', text)).toEqual([]);
    },
  );

  test.each(['OS', 'OS centos', '1OS=x', 'OS="centos', 'OS="a"b"', 'OS=a"b', '=x', 'A="x"\r', 'A=\u0007'])('%j is none', (text) => {
    expect(problems('BUILD_INFO', text)).toEqual([expect.stringMatching(/^has the line 1, ".*", which is not of the form KEY="value"$/)]);
  });
});

test('CHANGELOG.txt is text in UTF-8', () => {
  expect(problems('CHANGELOG.txt', 'ä\n')).toEqual([]);
  expect(problems('outputs/CHANGELOG.txt', Buffer.from('\xe4', 'latin1'))).toEqual(['is no UTF-8 text']);
});

test('a form that is too large is not read', () => {
  const large = { ...file('CONTEXT.sh'), size: 2 ** 21 };
  const found = formProblems([large], () => {
    throw new Error('it was read');
  });
  expect(found).toEqual([{ path: 'CONTEXT.sh', why: 'has 2097152 bytes, more than 1048576' }]);
});

test('colours are empty; other markers say what they like', () => {
  for (const name of ['GREEN', 'YELLOW', 'RED']) {
    expect(problems(name, 'x')).toEqual(['must be empty, and has 1 bytes']);
    expect(problems(`logs/${name}`, 'x')).toEqual([]);
  }
  for (const name of ['Success', 'KEEP', 'No_New_Content']) expect(problems(name, 'x')).toEqual([]);
});

test.each([
  [['Success'], { succeeded: true, noNewContent: false, dockerImages: false }],
  [['outputs/Success', 'outputs/No_New_Content'], { succeeded: true, noNewContent: true, dockerImages: false }],
  [['logs/Success', 'outputs/docker-images/a'], { succeeded: false, noNewContent: false, dockerImages: true }],
  [['Success/file'], { succeeded: false, noNewContent: false, dockerImages: false }],
])('what %j says of a build', (paths, expected) => {
  expect(markersOf(paths.map((path) => ({ path })))).toEqual(expected);
});

describe('SHA256SUMS', () => {
  const files: BuildFile[] = [file('outputs/a', 'a'), file('logs/b c', 'b'), file('SHA256SUMS', 'itself')];
  const line = ({ path, sha256 }: BuildFile, how = '  '): string => `${sha256}${how}${path}\n`;
  const [a, b, itself] = files as [BuildFile, BuildFile, BuildFile];
  const found = (text: string): readonly string[] => sumsProblems(Buffer.from(text), files).map(({ path, why }) => `${path} ${why}`);

  test.each([line(a) + line(b), line(b, ' *') + line(a, '  ./'), `${line(a)}\n${line(b).trimEnd()}`])(
    '%j names every file once',
    (text) => {
      expect(found(text)).toEqual([]);
    },
  );

  test.each([
    [line(a), ['logs/b c is not named in SHA256SUMS']],
    [line(a) + line(a) + line(b), ['outputs/a is named twice in SHA256SUMS']],
    [line(a) + line(b) + line(itself), ['SHA256SUMS names itself']],
    [line(a) + line({ ...b, sha256: a.sha256 }), [`logs/b c has the digest ${b.sha256}, and SHA256SUMS says ${a.sha256}`]],
    [line(a) + line(b) + line(file('outputs/c', 'c')), ['outputs/c is named in SHA256SUMS, and is not there']],
    [`${line(a)}${line(b)}# hello\n`, ['SHA256SUMS has the line 3, "# hello", which is none of sha256sum']],
    [`${line(a)}${line(b)}\\${line(b)}`, [expect.stringContaining('which is none of sha256sum')]],
  ])('%j does not', (text, expected) => {
    expect(found(text)).toEqual(expected);
  });
});

describe('the repositories of a build', () => {
  const of = (...paths: string[]): readonly (readonly [string, boolean, readonly string[]])[] =>
    rpmDirectories(paths.map((path) => file(path))).map(({ path, isSource, packages }) => [
      path,
      isSource,
      packages.map((one) => one.path),
    ]);

  test('are the first folders with packages at any depth, and what lies directly in RPMS', () => {
    expect(
      of(
        'outputs/RPMS/std/a.rpm',
        'outputs/RPMS/std/x/y/b.rpm',
        'outputs/RPMS/c.rpm',
        'outputs/RPMS/empty/readme',
        'inputs/SRPMS/d.src.rpm',
      ),
    ).toEqual([
      ['inputs/SRPMS', true, ['inputs/SRPMS/d.src.rpm']],
      ['outputs/RPMS', false, ['outputs/RPMS/c.rpm']],
      ['outputs/RPMS/std', false, ['outputs/RPMS/std/a.rpm', 'outputs/RPMS/std/x/y/b.rpm']],
    ]);
  });

  test('packages elsewhere are files', () => {
    expect(of('logs/RPMS/a.rpm', 'outputs/iso/RPMS/b.rpm', 'RPMS/c.rpm', 'outputs/RPMS.rpm', 'outputs/RPMS/std/d.drpm')).toEqual([]);
  });

  test.each([
    ['outputs/RPMS/std/repodata/x', true],
    ['outputs/RPMS/std/repodata', true],
    ['outputs/RPMS/std/rpm.lst', true],
    ['outputs/RPMS/std/srpm.lst', true],
    ['build.repo', true],
    ['outputs/build.repo', false],
    ['outputs/RPMS/std/sub/repodata/x', false],
    ['outputs/RPMS/standard/rpm.lst', false],
    ['outputs/RPMS/std/repodata.old', false],
  ])('%s: the mirror makes its own: %j', (path, expected) => {
    expect(isReplaced(path, [{ path: 'outputs/RPMS/std' }])).toBe(expected);
  });

  test.each(['a%41.rpm', 'a b.rpm', 'x#y/a.rpm', '-a.rpm', '.hidden/a.rpm', 'repodata/a.rpm', 'ä.rpm'])(
    'a package at %j cannot be listed',
    (path) => {
      const [directory] = rpmDirectories([file(`outputs/RPMS/std/${path}`)]);
      expect(pathProblems(directory as NonNullable<typeof directory>)).toHaveLength(1);
    },
  );

  test('one of 4 GiB is refused, one with a tilde is not', () => {
    const [directory] = rpmDirectories([
      { ...file('outputs/RPMS/std/a-1~rc1+b^c.rpm'), size: 2 ** 32 },
      file('outputs/RPMS/std/a-1~rc1+b^c.x86_64.rpm'),
    ]);
    expect(pathProblems(directory as NonNullable<typeof directory>)).toEqual([
      expect.objectContaining({ why: expect.stringContaining('4 GiB') as string }),
    ]);
  });
});
