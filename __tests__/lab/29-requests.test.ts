/** Requests by package lists on a real server: a line in a list, a plan that says so, a deploy, a sync, and dnf installs what was asked for. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { adding, asItIs, dnf, fetchPath, importing, lab, NAME, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(300_000);

const UPDATES = 'centos-7-updates';
const UPSTREAM = 'https://vault.centos.org/7.9.2009/updates/x86_64/';
const ID = 'requests-lab';
const LISTS_FILE = `http://${NAME}/repo-files/${ID}.repo`;
const UPDATES_FILE = `http://${NAME}/repo-files/${UPDATES}.repo`;
/** A version that no run before this one has left in the accumulated repository. */
const LATER = `1.3.${Math.floor(Date.now() / 1000)}`;
const TOOL = `requested-${Math.floor(Date.now() / 1000)}`;
const work = mkdtempSync(join(tmpdir(), 'mirror-requests-'));
const list = join(work, 'rpms_centos.lst');

const declaring = (main: string): string =>
  adding(`new PackageLists(server, '${ID}', { release: '${ID}', lists: ['${list}'], retention: { droppedDays: 30 } });`)(
    importing('PackageLists')(main),
  );

interface Told {
  readonly item: string;
  readonly standing: string;
  readonly why: string;
  readonly from?: readonly string[];
}
const explained = (what: string): readonly Told[] =>
  (JSON.parse(onMirror(`mirrorctl explain ${what} --json`)) as { explanations: readonly Told[] }).explanations;

/** File names of what a copy has under a name. */
const filesOf = (id: string, name: string): readonly string[] =>
  explained(`${id}:${name}`).map(({ item }) => `${item.slice(id.length + 1).replace(/-\d+:(?=[^-]+-[^-]+$)/, '-')}.rpm`);

const ask = (...lines: string[]): void => writeFileSync(list, ['# what the test asks for', ...lines, ''].join('\n'));

/** Deploys the list as it is now. Returns what the plan says, and which elements it changes. */
async function deploy(): Promise<{ readonly sentences: readonly string[]; readonly elements: readonly string[] }> {
  return withDeployment(declaring, (deployment) => {
    const { sentences, elements } = deployment.plan();
    expect(deployment.applyPlanned().status).toBe(0);
    return { sentences, elements: Object.keys(elements).sort() };
  });
}

let old: string;

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror(`mirrorctl sync --wait 300 ${UPDATES}`);
  old = filesOf(UPDATES, 'openssl-libs').at(-1) as string;
  ask(old);
  await deploy();
  onMirror(`mirrorctl sync --wait 300 ${ID}`);
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror(
    `rm -rf /srv/mirror/repositories/${ID} /var/lib/mirror/repositories/${ID}.json /var/lib/mirror/changes/${ID}; systemctl reset-failed`,
  );
  lab('upstream', 'restore');
  rmSync(work, { recursive: true });
});

test('what a list asks for is a repository of its own, with the list beside it', async () => {
  expect(dnf([LISTS_FILE], 'repoquery', '--qf', '%{name}').stdout.trim()).toBe('openssl-libs');
  expect((await fetchPath(`/mirror/starlingx/lists/${ID}/centos/lists/rpms_centos.lst`)).body).toContain(old);
  expect((await fetchPath(`/mirror/starlingx/lists/${ID}/centos/lists/SHA256SUMS.asc`)).body).toContain('BEGIN PGP SIGNATURE');
});

test('a line that asks for another version: plan, deploy, sync, and both versions install', async () => {
  lab('upstream', 'update', UPSTREAM, 'openssl-libs', LATER);
  onMirror(`mirrorctl sync --wait 300 ${UPDATES}`);
  const [found] = filesOf(UPDATES, 'openssl-libs').filter((file) => file.includes(LATER));
  expect(found).toBeDefined();
  ask(found as string);

  const { sentences, elements } = await deploy();

  const name = (file: string): string => file.replace(/\.rpm$/, '');
  expect(sentences).toEqual([`lists ${ID}: asks for ${name(found as string)} instead of ${name(old)}, which stays beside it`]);
  expect(elements).toEqual(['activation', `lists/${ID}`]);
  expect(onMirror(`mirrorctl sync --wait 300 ${ID}`)).toContain('(2 packages');
  for (const repoFile of [LISTS_FILE, UPDATES_FILE]) {
    expect(dnf([repoFile], 'install', '-y', name(old)).text).toContain('Complete!');
    expect(dnf([repoFile], 'install', '-y', name(found as string)).text).toContain('Complete!');
  }
});

test('a package by its URL, and one that nobody has: the rest is served, and explain says the truth', async () => {
  // The repository is not synced: only the URL has it.
  lab('upstream', 'add', UPSTREAM, TOOL, '1.0');
  const href = `Packages/${TOOL}-1.0-1.el7.x86_64.rpm`;
  const file = basename(href);
  ask(old, `${file}#${UPSTREAM}${href}`, 'nobody-has-1.0-1.el7.x86_64.rpm');
  const { sentences } = await deploy();
  expect(sentences).toContain(`lists ${ID}: asks for ${file.replace(/\.rpm$/, '')} from ${UPSTREAM}${href}`);

  const synced = tryOnMirror(`mirrorctl sync --wait 300 ${ID}`);

  expect(synced.status).toBe(5);
  expect(synced.text).toContain('rpms_centos.lst line 4: no copied repository has nobody-has-1.0-1.el7.x86_64.rpm');
  expect(synced.text).toContain('Correct the line to a version that there is');
  expect(dnf([LISTS_FILE], 'install', '-y', TOOL).text).toContain('Complete!');
  expect(explained(TOOL)).toMatchObject([
    { standing: 'kept', why: `line 3 of rpms_centos.lst (${ID}) asks for it`, from: [`${UPSTREAM}${href}`] },
  ]);
  expect(explained('nobody-has')).toMatchObject([{ item: `${ID}:nobody-has-1.0-1.el7.x86_64`, standing: 'asked' }]);
  expect(tryOnMirror(`mirrorctl status ${ID}`).text).toContain('degraded');
});

test('a line less: what was asked for stays for its term, and is still served', async () => {
  ask(old);
  const { sentences } = await deploy();
  expect(sentences).toContain(
    `lists ${ID}: asks for nobody-has-1.0-1.el7.x86_64 no more: what is published stays by the rules of retention`,
  );

  expect(onMirror(`mirrorctl sync --wait 300 ${ID}`)).toContain('(3 packages');

  const told = onMirror(`mirrorctl explain ${ID}:${TOOL}`);
  expect(told).toMatch(/kept: the lists dropped it on \d{4}-\d\d-\d\d, 0 days ago, and it stays for 30 days/);
  expect(told).toMatch(/gone for good on \d{4}-\d\d-\d\d at the earliest/);
  expect(dnf([LISTS_FILE], 'repoquery', TOOL).stdout).toContain(TOOL);
  await withDeployment(declaring, (deployment) => expect(deployment.plan().sentences).toEqual([]));
});
