/** Who may read what, over TLS and without it, with real nginx, curl, dnf, certbot and an ACME server. */
import { readFileSync, writeFileSync } from 'node:fs';
import { curl, Workshop } from './access-support';
import { asItIs, deployEnvironment, dnf, lab, must, NAME, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(600_000);

const shop = new Workshop();
const { at } = shop;
const CODENAME = "{ release: '7.0', distribution: Distribution.CENTOS, version: '6' }";
const HTTP = `http://${NAME}`;
const HTTPS = `https://${NAME}`;

/** main.ts with another vhost, and lines at its end. */
const site =
  (tls: string, lines = '') =>
  (main: string): string =>
    main
      .replace('  Access,\n', '  Access,\n  Certificate,\n  Http,\n  Tls,\n')
      .replace("{ serverName: 'mirror.example.org' }", `{ serverName: 'mirror.example.org', ${tls} }`)
      .replace('\napp.synth();', `\nvoid [Certificate, Http, Tls];\n${lines}\napp.synth();`);

const customer = (name: string, access: string): string =>
  `const ${name} = new Customer(server, '${name}', { access: ${access} });\nnew MosCodename(${name}, '${name}-mos7.0', ${CODENAME});\n`;
const authority = (name: string): string => `Certificate.fromFile('${at(`${name}.pem`)}')`;
const CUSTOMERS = [
  customer('acme', `Access.passwords(Secret.fromFile('${at('acme.htpasswd')}'))`),
  customer('globex', `Access.clientCertificates({ authorities: [${authority('globex-ca')}] })`),
  customer('initech', `Access.clientCertificates({ authorities: [${authority('initech-ca')}], subjects: ['CN=build1,O=Initech'] })`),
  customer(
    'umbrella',
    `Access.anyOf(Access.networks(['192.0.2.0/24']), Access.passwords(Secret.fromFile('${at('umbrella.htpasswd')}')), Access.clientCertificates({ authorities: [${authority('umbrella-ca')}] }))`,
  ),
].join('');

const certificate = (name: string): string[] => ['--cert', at(`${name}.pem`), '--key', at(`${name}.key`)];
const TRUSTED = ['--cacert', at('site.pem')];

beforeAll(() => {
  lab('up');
  shop.authority('globex-ca', '/CN=globex clients');
  shop.authority('initech-ca', '/O=Initech, Inc./CN=initech clients');
  shop.authority('umbrella-ca', '/CN=umbrella clients');
  shop.authority('stranger-ca', '/CN=stranger');
  // The owner of one authority tries to look like another: a certificate between with its name, another root of its name.
  const between = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n';
  shop.issue('between', '/CN=globex clients', 'umbrella-ca', { extensions: between });
  shop.issue('forged-chain', '/CN=thief', 'between', { bundle: ['between'] });
  shop.authority('globex-forged-ca', '/CN=globex clients');
  shop.issue('forged-root', '/CN=thief', 'globex-forged-ca', { bundle: ['globex-forged-ca'] });
  shop.issue('globex-client', '/CN=anybody', 'globex-ca');
  shop.issue('globex-late', '/CN=anybody', 'globex-ca', { days: -1 });
  shop.issue('globex-server', '/CN=anybody', 'globex-ca', { extensions: 'extendedKeyUsage=serverAuth\n' });
  shop.issue('initech-client', '/O=Initech/CN=build1', 'initech-ca');
  shop.issue('initech-other', '/O=Initech/CN=build2', 'initech-ca');
  shop.issue('umbrella-client', '/CN=anybody', 'umbrella-ca');
  shop.issue('umbrella-as-initech', '/O=Initech/CN=build1', 'umbrella-ca');
  shop.issue('stranger-client', '/CN=anybody', 'stranger-ca');
  shop.users('acme.htpasswd', { alice: 'first word', 'build-1': 'second word' });
  shop.users('umbrella.htpasswd', { alice: 'third word' }, '-apr1');
});
afterAll(async () => {
  try {
    await withDeployment(asItIs, (deployment) => deployment.deploy());
    lab('acme', 'off');
  } finally {
    shop.remove();
  }
});

/** Every way that leads into a customer's prefix, or tries to: paths that are there, and paths that are not. */
const ways = (owner: string): string[] => {
  const codename = `${owner}/centos/mos7.0-centos6`;
  const day = '@2026-11-01T00:00:00Z';
  return [
    ...[
      '',
      'centos/',
      'centos/mos7.0-centos6/',
      'mos7.0-centos6.repo',
      'absent.repo',
      'RPM-GPG-KEY-absent',
      'absent/',
      '@/',
      `${day}/`,
    ].map((path) => `${owner}/${path}`),
    ...['os/', 'os/x86_64/repodata/repomd.xml', 'os/x86_64/repodata/absent.xml', 'os/x86_64/Packages/', 'os/RPM-GPG-KEY-mos7.0', 'os'].map(
      (path) => `${codename}/${path}`,
    ),
    ...[
      'os/@/',
      `os/${day}/x86_64/repodata/repomd.xml`,
      'absent/@/',
      'snapshots/',
      'snapshots/os-latest/x86_64/repodata/repomd.xml',
      'snapshots/os-latest.target.txt',
    ].map((path) => `${codename}/${path}`),
    `/${codename}/os/x86_64/repodata/repomd.xml`,
    `mirror/../${codename}/os/x86_64/repodata/repomd.xml`,
    `${codename.replace('/', '//')}/os/x86_64/repodata/repomd.xml`,
    `${codename.replace('/', '%2f')}/os/x86_64/repodata/repomd.xml`,
    `%2e/${codename}/os/x86_64/repodata/repomd.xml`,
    `%${owner.charCodeAt(0).toString(16)}${owner.slice(1)}/`,
    `mirror/%2e%2e/${owner}/`,
  ];
};
/** Ways around the prefix: nothing answers there, whoever asks. */
const around = (owner: string): string[] => [
  owner,
  `${owner.toUpperCase()}/`,
  `.mirror/repositories/${owner}/mos7.0-centos6/os/current/x86_64/repodata/repomd.xml`,
  `.mirror/access/${owner}`,
  `releases/${owner}/`,
  `repo-files/${owner}/mos7.0-centos6.repo`,
  `repo-files/../owners/${owner}/mos7.0-centos6.repo`,
  `keys/../owners/${owner}/mos7.0-centos6.repo`,
  `keys/%2e%2e/owners/${owner}/mos7.0-centos6.repo`,
  `keys../owners/${owner}/mos7.0-centos6.repo`,
  `keys../passwords/passwords-${owner}`,
  `keys../secrets/tls-key`,
  `repo-files../secrets/tls-key`,
  `mos-repos/../../repositories/${owner}/mos7.0-centos6/os/current/`,
];

const CLIENTS: Readonly<Record<string, { options: readonly string[]; reads: readonly string[] }>> = {
  nobody: { options: [], reads: [] },
  'acme, by password': { options: ['-u', 'alice:first word'], reads: ['acme'] },
  'acme, by another user': { options: ['-u', 'build-1:second word'], reads: ['acme'] },
  'a wrong password': { options: ['-u', 'alice:second word'], reads: [] },
  'an empty password': { options: ['-u', 'alice:'], reads: [] },
  'umbrella, by password': { options: ['-u', 'alice:third word'], reads: ['umbrella'] },
  globex: { options: certificate('globex-client'), reads: ['globex'] },
  'initech, the one': { options: certificate('initech-client'), reads: ['initech'] },
  'initech, another one': { options: certificate('initech-other'), reads: [] },
  'umbrella, by certificate': { options: certificate('umbrella-client'), reads: ['umbrella'] },
  'umbrella, with the subject of initech': { options: certificate('umbrella-as-initech'), reads: ['umbrella'] },
  'a stranger': { options: certificate('stranger-client'), reads: [] },
  'a certificate from the past': { options: certificate('globex-late'), reads: [] },
  'a certificate of a server': { options: certificate('globex-server'), reads: [] },
  'umbrella, with an authority between that is called globex': { options: certificate('forged-chain'), reads: [] },
  'a root that is called globex': { options: certificate('forged-root'), reads: [] },
};

test('TLS by a certificate of the server itself; passwords and certificates let in whom they are for, and nobody else', async () => {
  const selfSigned = site('tls: Tls.selfSigned()', CUSTOMERS);
  await withDeployment(
    selfSigned,
    (deployment) => {
      const said = deployment.deploy();
      expect(said).toContain('made a certificate for mirror.example.org that no client trusts by itself');
      writeFileSync(at('site.pem'), onMirror('cat /etc/mirror/certificates/mirror.example.org/self-signed/fullchain.pem'));
      expect(deployment.plan().sentences).toEqual([]);

      for (const [name, { options, reads }] of Object.entries(CLIENTS)) {
        for (const owner of ['acme', 'globex', 'initech', 'umbrella']) {
          const paths = ways(owner);
          const secure = curl(
            [...TRUSTED, ...options],
            paths.map((path) => `${HTTPS}/${path}`),
          );
          const outside = curl(
            [...TRUSTED, ...options],
            around(owner).map((path) => `${HTTPS}/${path}`),
          );
          expect([name, owner, outside.filter(({ status }) => status < 400)]).toEqual([name, owner, []]);
          if (reads.includes(owner)) {
            const wanted = secure[paths.indexOf(`${owner}/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml`)];
            expect([name, owner, wanted?.status, secure[paths.indexOf(`${owner}/absent/`)]?.status]).toEqual([name, owner, 200, 404]);
            expect(secure[paths.indexOf(`${owner}/mos7.0-centos6.repo`)]?.status).toBe(200);
          } else {
            // One answer for all of them: what is there cannot be told from what is not.
            const answers = [...new Set(secure.map(({ status, body }) => `${status} ${body}`))];
            expect([name, owner, answers.length]).toEqual([name, owner, 1]);
            expect([name, owner, [400, 401, 403]]).toEqual([name, owner, expect.arrayContaining([secure[0]?.status])]);
          }
          const plain = curl(
            options,
            paths.map((path) => `${HTTP}/${path}`),
          );
          expect([name, owner, [...new Set(plain.map(({ status }) => status))], new Set(plain.map(({ body }) => body)).size]).toEqual([
            name,
            owner,
            [403],
            1,
          ]);
        }
      }

      // What is for everybody is there either way, with a certificate of nobody's too.
      const everybody = [
        '',
        'mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml',
        'customer/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml',
      ];
      for (const base of [HTTP, HTTPS])
        expect(
          curl(
            [...TRUSTED, ...certificate('stranger-client')],
            everybody.map((path) => `${base}/${path}`),
          ).map(({ status }) => status),
        ).toEqual([200, 200, 200]);
      // Customers are not told to whoever connects.
      const handshake = must('openssl', ['s_client', '-connect', `${labAddress()}:443`, '-servername', NAME], { input: '' });
      expect(handshake).toContain('No client certificate CA names sent');
      for (const version of ['1.0', '1.1'])
        expect(
          curl([...TRUSTED, `--tlsv${version}`, '--tls-max', version, '--ciphers', 'DEFAULT@SECLEVEL=0'], [`${HTTPS}/`])[0]?.status,
        ).toBe(0);
      expect(curl([...TRUSTED, '--tls-max', '1.2', '--ciphers', 'ECDHE-RSA-AES128-GCM-SHA256'], [`${HTTPS}/`])[0]?.status).toBe(200);
      expect(must('curl', ['-sI', ...TRUSTED, '--resolve', `${NAME}:443:${labAddress()}`, `${HTTPS}/`])).toMatch(/^HTTP\/2 200/);
    },
    deployEnvironment(),
  );
});

function labAddress(): string {
  return deployEnvironment()['MIRROR_ADDRESS'] as string;
}
void [readFileSync, dnf, tryOnMirror];
