/** The commands of docs/how-to/publish-packages.md do what it says, and its table of refusals is complete. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { HostedMirror, signedRpm } from './support/hosted';
import { dropKey, makeKey, type TestKey } from './support/keys';

jest.setTimeout(120_000);

const ROOT = join(__dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'docs/how-to/publish-packages.md'), 'utf8');
const work = mkdtempSync(join(tmpdir(), 'publish-docs-'));
let keys: { readonly own: TestKey; readonly owner: TestKey };

beforeAll(() => {
  keys = { own: makeKey(join(work, 'own'), 'mirror'), owner: makeKey(join(work, 'owner'), 'acme') };
});
afterAll(() => {
  for (const key of Object.values(keys)) dropKey(key);
  rmSync(work, { recursive: true });
});

test('the commands', async () => {
  const mirror = new HostedMirror(keys.own, keys.owner);
  try {
    mirror.codename('acme/mos7.0-centos6');
    await mirror.prepare();
    const built = signedRpm(work, keys.owner, { name: 'nailgun', version: '7.0.1', release: '2' });
    mkdirSync(join(work, 'build/RPMS/noarch'), { recursive: true });
    const more = signedRpm(join(work, 'build/RPMS/noarch'), keys.owner, { name: 'fuel' });
    rmSync(join(work, 'build/RPMS/noarch/.build'), { recursive: true });
    writeFileSync(join(work, 'comps.xml'), '<comps><group><id>a</id><name>A</name></group></comps>');
    copyFileSync(more, join(work, basename(more)));
    const commands = [...PAGE.matchAll(/^\$ mirrorctl (publish .*)$/gm)].map(([, text]) => (text as string).split(' '));
    expect(commands).toHaveLength(3);
    const outputs: string[] = [];
    for (const [command = '', component = '', ...rest] of commands) {
      const argv = rest.map((word) => (word.startsWith('--') ? word : join(work, word)));
      const ran = await mirror.run(command, component, ...argv);
      expect(ran).toMatchObject({ code: 0, stderr: '' });
      outputs.push(ran.stdout);
    }
    // What the page shows, but for times and sizes.
    const shown = /\$ mirrorctl publish .*\n([^$]+)\$/.exec(PAGE)?.[1] as string;
    const plain = (text: string): string => text.replace(/[\d.]+ (s|KiB)\b/g, 'N').replace(/\d{8}T\d{6}Z-[0-9a-f]{12}/, 'S');
    expect(plain(outputs[0] as string)).toBe(plain(shown));
    expect(outputs[1]).toContain('published  fuel-1-1.noarch');
    expect(readdirSync(mirror.published('acme/mos7.0-centos6/updates', 'x86_64/Packages'))).toContain(basename(built));
  } finally {
    mirror.remove();
  }
});

test('every refusal of a file is in the table, and nothing else', () => {
  const codes = new Set<string>();
  for (const name of ['offered', 'offer-signatures', 'publish-rules', 'publish']) {
    const text = readFileSync(join(ROOT, `content/${name}.ts`), 'utf8');
    for (const [, code] of text.matchAll(/(?:invalid|untrusted)\(\s*'([A-Z_]+)'/g)) codes.add(code as string);
  }
  codes.add('KEY_EXPIRED').add('KEY_REVOKED').delete('NO_SUCH_FILE');
  const table = PAGE.slice(PAGE.indexOf('## What is refused'), PAGE.indexOf('What concerns the whole call'));
  const listed = [...table.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell]) =>
    [...(cell as string).matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code as string),
  );
  expect(listed.sort()).toEqual([...codes].sort());
});
