/** Both lines of cdktf synthesize the same: 0.21, which is archived, and its successor cdktn. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CDKTN, synthesize } from '../support/cdktn';

jest.setTimeout(300_000);

interface Difference {
  readonly at: string;
  readonly cdktf: unknown;
  readonly cdktn: unknown;
}

/** Where two parsed documents differ. The order of keys means nothing in JSON. */
function differences(cdktf: unknown, cdktn: unknown, at: string): Difference[] {
  const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
  if (!isObject(cdktf) || !isObject(cdktn) || Array.isArray(cdktf) !== Array.isArray(cdktn)) {
    return Object.is(cdktf, cdktn) ? [] : [{ at, cdktf, cdktn }];
  }
  return [...new Set([...Object.keys(cdktf), ...Object.keys(cdktn)])].flatMap((key) => differences(cdktf[key], cdktn[key], `${at} ${key}`));
}

/** Every file of a synthesized directory: JSON parsed, other files as text. */
function filesOf(directory: string): Record<string, unknown> {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
  return Object.fromEntries(
    names.map((name) => {
      const text = readFileSync(join(directory, name), 'utf8');
      return [name, /(^manifest|\.tf)\.json$/.test(name) ? (JSON.parse(text) as unknown) : text];
    }),
  );
}

function both(env: NodeJS.ProcessEnv): Record<'cdktf' | 'cdktn', Record<string, unknown>> {
  const bare = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MIRROR_') || name === 'MIRROR_CACHE'));
  const read = (line: 'cdktf' | 'cdktn'): Record<string, unknown> => {
    const outdir = mkdtempSync(join(tmpdir(), 'mirror-synth-'));
    try {
      synthesize(line, outdir, { ...bare, ...env });
      return filesOf(outdir);
    } finally {
      rmSync(outdir, { recursive: true });
    }
  };
  return { cdktf: read('cdktf'), cdktn: read('cdktn') };
}

/** The whole list of what may differ. */
const VERSIONS = [
  { at: 'cdktf.out manifest.json version', cdktf: '0.21.0', cdktn: CDKTN },
  { at: 'cdktf.out stacks/mirror/cdk.tf.json // metadata version', cdktf: '0.21.0', cdktn: CDKTN },
];

test.each<[string, NodeJS.ProcessEnv]>([
  ['as it is', {}],
  ['for the lab, planned without the server', { MIRROR_PROVIDERS: 'any', MIRROR_OBSERVE: '0', MIRROR_ADDRESS: '127.0.0.1' }],
  ['with a warning', { MIRROR_ADDRESS: '203.0.113.7' }],
  ['state by HTTP', { MIRROR_STATE: 'https://state.example.org/mirror' }],
  ['state in S3', { MIRROR_STATE: 's3://states/mirror?region=eu-west-1&endpoint=https://s3.example.org&encrypt=true' }],
  ['state in PostgreSQL', { MIRROR_STATE: 'postgres://db.example.org/terraform?schema_name=mirror&sslmode=verify-full' }],
])('main.ts, %s: two versions differ, and nothing else', (_name, env) => {
  const { cdktf, cdktn } = both(env);
  expect(Object.keys(cdktf)).toContain('stacks/mirror/mirror/desired-state.json');
  expect(Object.keys(cdktn).sort()).toEqual(Object.keys(cdktf).sort());
  expect(differences(cdktf, cdktn, 'cdktf.out').sort((a, b) => (a.at < b.at ? -1 : 1))).toEqual(VERSIONS);
});

test('the comparison sees what differs', () => {
  expect(differences({ a: [1, { b: 2 }], c: 1 }, { c: 1, a: [1, { b: 3 }, 4] }, 'x')).toEqual([
    { at: 'x a 1 b', cdktf: 2, cdktn: 3 },
    { at: 'x a 2', cdktf: undefined, cdktn: 4 },
  ]);
  expect(differences({ a: {} }, { a: [] }, 'x')).toHaveLength(1);
  expect(differences({ a: null }, {}, 'x')).toHaveLength(1);
});

test('the versions that the documentation names are the ones that are tried', () => {
  const page = readFileSync('docs/how-to/move-to-cdktn.md', 'utf8');
  expect(page).toContain(`"cdktf": "npm:cdktn@${CDKTN}"`);
  expect(page).toContain(`"cdktn-cli": "${CDKTN}"`);
  expect(readFileSync('scripts/lib/prerequisites.sh', 'utf8')).toContain(`\nMIRROR_CDKTN=${CDKTN}\n`);
});
