/** The example of a pipeline, as far as it needs no mirror: its declaration, its release step, and what its scripts are. Lab test 35 runs all of it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

jest.setTimeout(120_000);

const ROOT = join(__dirname, '../..');
const EXAMPLE = join(ROOT, 'examples/build-pipeline');
const work = mkdtempSync(join(tmpdir(), 'build-pipeline-'));
afterAll(() => rmSync(work, { recursive: true }));

/** Elements that the declaration makes with these releases. */
function synthesized(releases: unknown): Record<string, Record<string, string>> {
  const [program, file, out] = [join(ROOT, 'dist/variants/build-pipeline.js'), join(work, 'releases.json'), join(work, 'out')];
  writeFileSync(file, JSON.stringify(releases));
  buildSync({ entryPoints: [join(EXAMPLE, 'deployment/main.ts')], outfile: program, bundle: true, platform: 'node', packages: 'external', logLevel: 'error' }); // prettier-ignore
  const env = { ...process.env, CDKTF_OUTDIR: out, RELEASES: file, MIRROR_SIGNING_KEY_FILE: '/nowhere' };
  execFileSync(process.execPath, [program], { cwd: ROOT, env, stdio: ['ignore', 'ignore', 'inherit'] });
  rmSync(program);
  const { resource } = JSON.parse(readFileSync(join(out, 'stacks/builds/cdk.tf.json'), 'utf8')) as {
    resource: { null_resource: Record<string, { triggers: Record<string, string> }> };
  };
  return Object.fromEntries(Object.values(resource.null_resource).map(({ triggers }) => [triggers['element'] ?? '', triggers]));
}

test('the declaration makes an archive, an account, packages, and a release for each entry of releases.json', () => {
  expect(Object.keys(synthesized({})).filter((id) => /build|packages|release/.test(id)).sort()).toEqual([
    'builds/stx-master',
    'packages/starlingx/stx-master-packages',
    'upload/stx-build',
  ]); // prettier-ignore
  const released = synthesized({ '3.0.1': [{ layer: 'flock', timestamp: '20261101T023000Z' }] })['release/3.0.1'];
  expect(released?.['definition']).toContain('20261101T023000Z');
  expect(released?.['definition']).toContain('mirror/starlingx/release/3.0.1/centos/flock');
});

test('releases.json of the repository releases nothing', () => {
  expect(JSON.parse(readFileSync(join(EXAMPLE, 'deployment/releases.json'), 'utf8'))).toEqual({});
});

describe('the release step', () => {
  const releases = join(work, 'declared.json');
  const release = (timestamp: string, ...argv: string[]): { status: number | null; stderr: string } => {
    mkdirSync(join(work, 'work'), { recursive: true });
    writeFileSync(join(work, 'work/timestamp'), `${timestamp}\n`);
    const env = { ...process.env, WORK: join(work, 'work'), RELEASES: releases, SERIES: 'master/centos/flock' };
    return spawnSync(join(EXAMPLE, 'release'), argv, { env, encoding: 'utf8' });
  };

  test('adds a build once, and refuses another one of the same release', () => {
    writeFileSync(releases, '{}\n');
    const expected = { '3.0.1': [{ layer: 'flock', timestamp: '20261101T023000Z' }] };
    for (let again = 0; again < 2; again++) {
      expect(release('20261101T023000Z', '3.0.1')).toMatchObject({ status: 0, stderr: '' });
      expect(JSON.parse(readFileSync(releases, 'utf8'))).toEqual(expected);
    }
    expect(release('20261102T023000Z', '3.0.1')).toMatchObject({
      status: 1,
      stderr: 'release: 3.0.1 is of another build already: a release never changes. Give it another number\n',
    });
    expect(JSON.parse(readFileSync(releases, 'utf8'))).toEqual(expected);
  });

  test.each([[[]], [['3.0']], [['latest']]])('refuses the name %j', (argv) => {
    writeFileSync(releases, '{}\n');
    expect(release('20261101T023000Z', ...argv)).toMatchObject({ status: 1, stderr: expect.stringContaining('release 3.0.1') as string });
    expect(readFileSync(releases, 'utf8')).toBe('{}\n');
  });
});

test('the jobs of the CI are the steps of the pipeline, in their order', () => {
  const steps = readdirSync(join(EXAMPLE, 'steps')).sort();
  const named = (file: string): string[] => [...readFileSync(join(EXAMPLE, file), 'utf8').matchAll(/steps\/([1-9]-[a-z]+)/g)].map(([, step]) => step as string); // prettier-ignore
  expect(named('pipeline')).toEqual(steps);
  expect(named('gitlab-ci.yml')).toEqual(steps);
});
