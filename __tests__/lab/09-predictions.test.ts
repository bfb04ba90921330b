/**
 * Twelve changes, and one too many: what `npm run plan` says of each, and that the server then differs in just that. The plans are kept as
 * golden files in `__tests__/scripts/plans/`; `scripts/record-plans` makes them anew.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { awaitFirstSyncs, changed, fingerprint, golden, normalized, predicted } from './prediction-support';
import { adding, asItIs, Deployment, lab, must, onMirror, run, withDeployment } from './support';

jest.setTimeout(300_000);

type Edit = (main: string) => string;
/** Replaces text that must be there. */
const replacing =
  (from: string, to: string): Edit =>
  (main) => {
    if (!main.includes(from)) throw new Error(`main.ts has no ${from}`);
    return main.replace(from, to);
  };
const all =
  (...edits: Edit[]): Edit =>
  (main) =>
    edits.reduce((text, edit) => edit(text), main);

const customer = (id: string, access: string): Edit =>
  adding(`const ${id} = new Customer(server, '${id}', { access: ${access} });
new MosCodename(${id}, 'mos9.0-centos7', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });`);
const schedule = replacing('SyncSchedule.daily({ hour: 3 })', 'SyncSchedule.daily({ hour: 4, minute: 30 })');
const withoutDocker: Edit = (main) => main.replace(/new RpmRepository\(server, 'docker-ce-7', \{[^]*?\}\);\n/, '');
const renamed = replacing(
  "new RpmRepository(server, 'epel-7-source', {",
  "new RpmRepository(server, 'epel-7-srpms', {\n  formerId: 'epel-7-source',",
);
const rotated = replacing("fromEnvironment('MIRROR_SIGNING_KEY')", "fromEnvironment('MIRROR_SIGNING_KEY', { version: '2' })");
const other = replacing("new MirrorServer(stack, 'server', {", "new MirrorServer(stack, 'other', {");
const takingOver: Edit = (main) =>
  main
    .replace(
      "hostKey: env('MIRROR_HOST_KEY'",
      "waivers: [Waiver.takeOver({ from: 'mirror/server', reason: 'the old deployment is given up' })],\n  $&",
    )
    .replace('  View,\n', '  View,\n  Waiver,\n');
/** More than half of what is copied: EPEL and DPDK go, too. */
const withoutCentos: Edit = (main) =>
  main
    .replaceAll(/new (?:RpmRepository|FileTree)\(server, '(?:epel-7(?:-\w+)?|dpdk)', \{[^]*?\n\}\);/g, '')
    .replace("['os', 'updates', 'extras']", '[] as string[]')
    .replace(
      /const interestGroups = \[[^]*?\n\];/,
      'const interestGroups: { id: string; group: string; path: string; key: string }[] = [];',
    );

let directory: string;
let signingKey: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mirror-predictions-'));
  const home = join(directory, 'gnupg');
  must('mkdir', ['-m', '700', home]);
  const parameters = ['--quick-generate-key', 'other <other@example.org>', 'rsa2048', 'sign', '0'];
  must('gpg', ['--homedir', home, '--batch', '--passphrase', '', ...parameters]);
  signingKey = join(directory, 'key');
  writeFileSync(signingKey, must('gpg', ['--homedir', home, '--batch', '--armor', '--export-secret-keys']), { mode: 0o600 });
  run('gpgconf', ['--homedir', home, '--kill', 'all']);
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  awaitFirstSyncs();
  const before = fingerprint();
  await withDeployment(schedule, (deployment) => deployment.plan());
  expect(changed(before, fingerprint())).toEqual({ things: [], newGeneration: false, programs: false });
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Plans, compares with the golden sentences, applies that plan, and compares what changed with what was predicted. */
function prove(name: string, deployment: Deployment): void {
  const before = fingerprint();
  const plan = deployment.plan();
  expect(plan.sentences.map(normalized)).toEqual(golden(name, plan.json, plan.sentences));
  const applied = deployment.applyPlanned();
  awaitFirstSyncs();
  const after = fingerprint();
  if (plan.server.refused === undefined) expect({ status: applied.status, said: applied.text }).toMatchObject({ status: 0 });
  else expect(applied.status).not.toBe(0);
  expect(changed(before, after)).toEqual(predicted(plan, before, after));
  // Nothing is left to do, and nobody says so.
  if (plan.server.refused === undefined) expect(deployment.plan().sentences).toEqual([]);
}

// Each starts from what the one before left.
const added = customer('acme', "Access.networks(['127.0.0.1'])");
const changedMain = all(customer('acme', 'Access.public()'), schedule);
const removed = all(changedMain, withoutDocker);
const moved = all(removed, renamed);
const rekeyed = all(moved, rotated);
const failed = all(rekeyed, customer('late', 'Access.public()'));

test.each<[string, Edit]>([
  ['add', added],
  ['change', changedMain],
  ['remove', removed],
  ['rename', moved],
])('%s', async (name, main) => {
  await withDeployment(main, (deployment) => prove(name, deployment));
});

describe('with another signing key', () => {
  const key = (): NodeJS.ProcessEnv => ({ MIRROR_SIGNING_KEY_FILE: signingKey });

  test('secret', async () => {
    await withDeployment(rekeyed, (deployment) => prove('secret', deployment), key());
  });

  test('failed', async () => {
    await withDeployment(
      failed,
      (deployment) => {
        deployment.inject((state) => {
          const vhost = state.elements.find((element) => element.id.startsWith('vhost/'));
          const text = vhost?.files['nginx/vhost.conf']?.replace('include /etc/mirror/current/nginx/generation.conf;', '');
          if (vhost) vhost.files['nginx/vhost.conf'] = text ?? '';
        });
        expect(deployment.apply().status).not.toBe(0);
      },
      key(),
    );
    await withDeployment(failed, (deployment) => prove('failed', deployment), key());
  });

  test('fresh', async () => {
    await withDeployment(failed, (deployment) => prove('fresh', deployment), { ...key(), MIRROR_STATE: join(directory, 'fresh.tfstate') });
  });

  test('drift', async () => {
    onMirror(`systemctl disable --now mirror-sync@epel-7.timer
      sed -i --follow-symlinks 's/server_tokens off/server_tokens on/' /etc/nginx/sites-enabled/mirror.conf
      rm /srv/mirror/www/mos-repos/centos/mos7.0-centos6/os`);
    await withDeployment(failed, (deployment) => prove('drift', deployment), key());
  });

  test('unpublish', async () => {
    await withDeployment(all(failed, withoutCentos), (deployment) => prove('unpublish', deployment), key());
    await withDeployment(failed, (deployment) => deployment.deploy(), key());
  });

  test('foreign, waiver and upgrade', async () => {
    const over = (state: string): NodeJS.ProcessEnv => ({ ...key(), MIRROR_STATE: join(directory, state) });
    await withDeployment(all(failed, other), (deployment) => prove('foreign', deployment), over('foreign.tfstate'));
    await withDeployment(
      all(failed, other, takingOver),
      (deployment) => {
        prove('waiver', deployment);
        // The waiver is still declared, and of no use any more.
        deployment.upgradePrograms();
        prove('upgrade', deployment);
      },
      over('waiver.tfstate'),
    );
  });
});

test('wiped', async () => {
  lab('reset', 'mirror');
  await withDeployment(asItIs, (deployment) => prove('wiped', deployment));
});
