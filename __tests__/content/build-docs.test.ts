/** The commands of docs/how-to/publish-builds.md do what it says, and its table of refusals is complete. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { dropKey, makeKey } from './support/keys';
import { BuildMirror, Packages } from './support/published-builds';

jest.setTimeout(120_000);

const ROOT = join(__dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'docs/how-to/publish-builds.md'), 'utf8');

test('the commands', async () => {
  const work = mkdtempSync(join(tmpdir(), 'build-docs-'));
  const key = makeKey(join(work, 'key'), 'mirror');
  const mirror = new BuildMirror(key);
  try {
    const [console_ = ''] = [...PAGE.matchAll(/```console\n([^]*?)```/g)].map(([, text]) => text as string);
    const shown = console_.split(/^\$ /m).slice(1);
    expect(shown).toHaveLength(2);
    const packages = new Packages(work).in({ 'outputs/RPMS/std': [{ name: 'alpha' }, { name: 'beta' }] });
    for (const text of shown) {
      const [command = '', ...output] = text.split('\n');
      const argv = command.split(' ').slice(1);
      const timestamp = basename(argv[3] as string);
      const directory = mirror.make(timestamp, {
        ...packages,
        'outputs/BUILD_INFO': 'OS="centos"\n',
        'logs/build.log': 'log\n',
        Success: '',
      });
      const ran = await mirror.run(...argv.map((word) => (word.startsWith('/') ? join(dirname(directory), basename(word)) : word)));
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      // But for times and sizes.
      const plain = (one: string): string => one.replace(/[\d.]+ (s|KiB)\b/g, 'N');
      expect(plain(ran.stdout)).toBe(plain(output.join('\n')));
    }
  } finally {
    dropKey(key);
    mirror.remove();
    rmSync(work, { recursive: true });
  }
});

test('every error of a build is in the table, and nothing else', () => {
  const files = readdirSync(join(ROOT, 'content')).filter((name) => /^build-(publish|same|tree|forms|repositories)\.ts$/.test(name));
  const texts = [...files.map((name) => join(ROOT, 'content', name)), join(ROOT, 'starlingx/build-layout.ts')].map((path) =>
    readFileSync(path, 'utf8'),
  );
  const codes = new Set(texts.flatMap((text) => [...text.matchAll(/'((?:BUILD|LINKS)_[A-Z]+)'/g)].map(([, code]) => code as string)));
  const listed = [...PAGE.matchAll(/^\| `([A-Z_]+)` \| [^|]* \| [^|]* \|$/gm)]
    .map(([, code]) => code as string)
    .filter((code) => /^(BUILD|LINKS)_/.test(code) && code !== 'BUILD_INFO');
  expect(listed.sort()).toEqual([...codes].sort());
});
