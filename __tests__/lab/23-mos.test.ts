/** The product's and customers' repositories as the MOS document asks for them: filled by publishing, read by real dnf, each apart from the others. */
import { execFileSync, spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { builtPackages } from '../../lab/rpm-build';
import { type SigningKey, signingKeys } from '../../lab/signing-keys';
import { adding, asItIs, dnf, fetchPath, lab, NAME, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(600_000);

const CACHE = process.env['MIRROR_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'package-mirror-as-code');
const PRODUCT_KEY = 'RPM-GPG-KEY-mos-lab';
const CUSTOMER_KEY = 'RPM-GPG-KEY-acme-lab';
const INBOX = '/var/tmp/packages';
const UNITS = ['os', 'updates', 'security', 'holdback', 'cr'] as const;

let keys: Map<string, SigningKey>;

/** main.ts with keys for the product's codenames, and two more distributions beside the first. */
const product = (main: string): string => {
  const directory = dirname(keys.get(PRODUCT_KEY)?.publicFile as string);
  const own = `keys: [PublicKey.fromFile('${directory}/${PRODUCT_KEY}')]`;
  const signed = main.replaceAll(/(new MosCodename\(server, [^}]+?),?(\s*\}\))/g, `$1, ${own}$2`);
  return adding(
    ['7', '8']
      .map(
        (version) =>
          `new MosCodename(server, 'mos7.0-centos${version}', { release: '7.0', distribution: Distribution.CENTOS, version: '${version}', ${own} });`,
      )
      .join('\n'),
  )(signed);
};

/** What an operator adds for a customer: five lines. */
const acme = (): string => `const acme = new Customer(server, 'acme', {
  access: Access.public(),
  keys: [PublicKey.fromFile('${keys.get(CUSTOMER_KEY)?.publicFile}')],
});
new MosCodename(acme, 'acme-mos7.0-centos6', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });`;

/** Builds signed packages and brings them to the server. Returns their paths there, by architecture. */
async function packages(name: string, version: string, key: string): Promise<{ readonly binary: string; readonly source: string }> {
  const built = await builtPackages(CACHE, [{ name, version, release: '1.el6~mos1', arch: 'x86_64' }], keys.get(key) as SigningKey);
  const directory = dirname(built[0]?.path as string);
  const tar = execFileSync('tar', ['-C', directory, '-cf', '-', '.']);
  const sent = spawnSync(
    process.execPath,
    ['dist/lab.cjs', 'ssh', 'mirror', `mkdir -p ${INBOX} && tar -C ${INBOX} --no-same-owner -xf -`],
    {
      input: tar,
      encoding: 'utf8',
    },
  );
  if (sent.status !== 0) throw new Error(sent.stderr);
  const of = (source: boolean): string => join(INBOX, basename(built.find((item) => item.source === source)?.path as string));
  return { binary: of(false), source: of(true) };
}

/** What dnf finds in each component of a `.repo` file, `<section> <name>-<version>`; all with one priority, which would hide some of it. */
function found(repoFile: string): string[] {
  const listed = dnf(
    [`http://${NAME}/${repoFile}`],
    ...['-q', '--enablerepo=*', '--setopt=*.priority=50', 'repoquery', '--qf', '%{repoid} %{name}-%{version}'],
  );
  expect(`${listed.status} ${listed.status === 0 ? '' : listed.stderr}`).toBe('0 ');
  return listed.stdout.trim().split('\n').sort();
}

beforeAll(async () => {
  lab('up');
  keys = await signingKeys(CACHE, [PRODUCT_KEY, CUSTOMER_KEY]);
  await withDeployment(product, (deployment) => void deployment.deploy());
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  for (const id of onMirror('ls -d /srv/mirror/repositories/acme/*/* /srv/mirror/repositories/mos/mos7.0-centos[78]/* 2>/dev/null || true')
    .split('\n')
    .filter(Boolean))
    tryOnMirror(`mirrorctl retention forget ${id.replace('/srv/mirror/repositories/', '')}`);
  // What other tests look at is empty again: no command takes published packages away.
  onMirror(
    `rm -rf ${INBOX} /srv/mirror/repositories/mos/mos7.0-centos6 /srv/mirror/repositories/mos/mos7.0-centos6-fuel; mirrorctl prepare`,
  );
});

test('each component of each codename takes packages, and dnf finds in it what was published there and nothing else', async () => {
  const codenames = ['mos7.0-centos6', 'mos7.0-centos6-fuel', 'mos7.0-centos7', 'mos7.0-centos8'];
  let version = 1;
  const published: { readonly codename: string; readonly component: string; readonly name: string }[] = [];
  for (const codename of codenames) {
    for (const component of UNITS.filter((name) => name !== 'holdback')) {
      const { binary, source } = await packages('nova', `2015.1.${version}`, PRODUCT_KEY);
      onMirror(`mirrorctl publish ${codename}/${component} ${binary} ${source}`);
      published.push({ codename, component, name: `nova-2015.1.${version}` });
      version++;
    }
  }
  for (const codename of codenames) {
    const own = published.filter((one) => one.codename === codename);
    expect(found(`repo-files/${codename}.repo`)).toEqual(own.map(({ component, name }) => `mos-${codename}-${component} ${name}`).sort());
    for (const { component, name } of own) {
      const source = await fetchPath(`/mos-repos/centos/${codename}/${component}/Source/SPackages/${name}-1.el6~mos1.src.rpm`);
      expect(source.status).toBe(200);
    }
  }
});

test('a package is installed with its signature and that of the metadata checked, by the key that its component hands out', () => {
  const installed = dnf([`http://${NAME}/repo-files/mos7.0-centos6.repo`], 'install', 'nova');
  expect(installed.text).toContain('Complete!');
  // Of security, although updates has a newer one: its priority is higher.
  expect(installed.text).toMatch(/nova +x86_64 +2015\.1\.3-1\.el6~mos1 +mos-mos7\.0-centos6-security/);
});

test('adding a customer shows that customer only, in at most six lines', async () => {
  expect(acme().split('\n').length).toBeLessThanOrEqual(6);
  const { binary } = await packages('acme-agent', '1.0', CUSTOMER_KEY);
  await withDeployment(
    (main) => adding(acme())(product(main)),
    async (deployment) => {
      const plan = deployment.plan();
      expect(Object.keys(plan.elements).sort()).toEqual(['activation', 'codename/acme/mos7.0-centos6', 'customer/acme']);
      expect(plan.sentences).toEqual(['adds customer acme (1 codename, 5 repositories), readable by everybody']);
      deployment.deploy();
      for (const component of UNITS)
        expect((await fetchPath(`/acme/centos/mos7.0-centos6/${component}/x86_64/repodata/repomd.xml`)).status).toBe(200);
      onMirror(`mirrorctl publish acme/mos7.0-centos6/updates ${binary}`);
      expect(dnf([`http://${NAME}/acme/mos7.0-centos6.repo`], 'install', 'acme-agent').text).toContain('Complete!');
    },
  );
});

test("packages of one owner are not another's: neither taken nor seen", async () => {
  const { binary: customers } = await packages('acme-agent', '1.0', CUSTOMER_KEY);
  const { binary: products } = await packages('nova', '2015.1.99', PRODUCT_KEY);
  for (const [component, file] of [
    ['mos7.0-centos6/updates', customers],
    ['acme/mos7.0-centos6/updates', products],
  ] as const) {
    const before = onMirror(`readlink /srv/mirror/repositories/${component.startsWith('acme') ? '' : 'mos/'}${component}/current`);
    const refused = tryOnMirror(`mirrorctl publish ${component} ${file}`);
    expect(refused.status).not.toBe(0);
    expect(refused.text).toMatch(/signed by|key/);
    expect(onMirror(`readlink /srv/mirror/repositories/${component.startsWith('acme') ? '' : 'mos/'}${component}/current`)).toBe(before);
  }
  expect(found('acme/mos7.0-centos6.repo')).toEqual(['acme-mos7.0-centos6-updates acme-agent-1.0']);
  expect(found('repo-files/mos7.0-centos6.repo')).not.toContainEqual(expect.stringContaining('acme'));
  expect((await fetchPath('/repo-files/')).body).not.toContain('acme');
});

test('a customer that leaves is unpublished at once, keeps its content, and has everything back when it is declared again', async () => {
  const path = '/acme/centos/mos7.0-centos6/updates/x86_64/repodata/repomd.xml';
  await withDeployment(product, async (deployment) => {
    expect(deployment.plan().sentences).toEqual([
      'removes customer acme (1 codename, 5 repositories): unpublished at once, its content stays on the server',
    ]);
    deployment.deploy();
    for (const gone of [path, '/acme/mos7.0-centos6.repo', '/acme/', '/acme/centos/mos7.0-centos6/snapshots/'])
      expect((await fetchPath(gone)).status).toBe(404);
    expect(onMirror('find /srv/mirror/repositories/acme -name "acme-agent-*.rpm" | head -n 1')).toContain('acme-agent-1.0');
  });
  await withDeployment(
    (main) => adding(acme())(product(main)),
    async (deployment) => {
      deployment.deploy();
      expect((await fetchPath(path)).status).toBe(200);
      expect(dnf([`http://${NAME}/acme/mos7.0-centos6.repo`], 'install', 'acme-agent').text).toContain('Complete!');
    },
  );
});
