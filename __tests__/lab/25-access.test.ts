/** Who may read what, over TLS and without it, with real nginx, curl, dnf, certbot and an ACME server. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { curl, Workshop } from './access-support';
import { asItIs, deployEnvironment, dnf, lab, must, NAME, onMirror, tryOnMirror, withDeployment, codeBlocks } from './support';

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
  `const ${name} = new Customer(server, '${name}', { access: ${access} });\nnew LegacyAlias(server, '${name}-old', { path: 'mos/${name}', to: new MosCodename(${name}, '${name}-mos7.0', ${CODENAME}) });\n`;
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
  tryOnMirror('rm -rf /etc/mirror/certificates /var/lib/mirror-acme');
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
    ...['', '/', '/repodata/repomd.xml', '/repodata/absent.xml', '/x86_64/', `/${day}/repodata/repomd.xml`].map(
      (path) => `mos/${owner}/updates${path}`,
    ),
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
            for (const path of [`${owner}/mos7.0-centos6.repo`, `mos/${owner}/updates/repodata/repomd.xml`])
              expect([name, path, secure[paths.indexOf(path)]?.status]).toEqual([name, path, 200]);
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

const files = (key: string): string => `Tls.files({ certificate: ${authority('site')}, key: Secret.fromFile('${at(key)}') })`;
const ONE = customer('acme', `Access.passwords(Secret.fromFile('${at('acme.htpasswd')}'))`);
const REPO = `${HTTPS}/acme/mos7.0-centos6.repo`;
const statusOf = (options: readonly string[], url = REPO): number => curl(options, [url])[0]?.status ?? 0;

test('a certificate of the project, passwords and keys that rotate, and what is refused before anything changes', async () => {
  shop.authority('real-ca', '/CN=real');
  const forSite = { extensions: `subjectAltName=DNS:${NAME}\n` };
  shop.issue('site', '/CN=one', 'real-ca', forSite);
  const real = ['--cacert', at('real-ca.pem')];
  const word = (text: string): string[] => [...real, '-u', `alice:${text}`];
  await withDeployment(site(`tls: ${files('site.key')}`, ONE), (deployment) => {
    deployment.deploy();
    expect([statusOf(word('first word')), statusOf(real)]).toEqual([200, 401]);
    expect(
      onMirror('stat -c "%U %G %a" /etc/mirror/current/passwords /etc/mirror/current/passwords/passwords-acme /etc/mirror/secrets/tls-key'),
    ).toBe('root www-data 750\nroot www-data 440\nroot root 400\n');
    expect(tryOnMirror('runuser -u mirror -- cat /etc/mirror/current/passwords/passwords-acme').status).not.toBe(0);
    // Nothing of it is in what Terraform and the synthesis write.
    const secrets = [
      readFileSync(at('acme.htpasswd'), 'utf8').split(':')[1]?.slice(0, 40) as string,
      readFileSync(at('site.key'), 'utf8').split('\n')[1] as string,
    ];
    for (const secret of secrets)
      expect(must('bash', ['-c', `grep -rlF -- '${secret}' ${deployment.directory} ${deployEnvironment()['MIRROR_STATE']} || true`])).toBe(
        '',
      );

    // A password is changed where it is kept; the plan says so, and the old one ends with the deploy.
    shop.users('acme.htpasswd', { alice: 'next word' });
    expect(deployment.plan().sentences).toEqual([
      'replaces the secret passwords-acme, which differs from the deployed one, and its version is 1 as before',
    ]);
    deployment.deploy();
    expect([statusOf(word('first word')), statusOf(word('next word'))]).toEqual([401, 200]);

    const generation = onMirror('readlink /etc/mirror/current');
    writeFileSync(at('acme.htpasswd'), 'alice:next word\n');
    expect(deployment.plan().sentences.join()).toContain('would be REFUSED');
    const refused = deployment.apply();
    expect(refused.status).not.toBe(0);
    expect(refused.text).toMatch(/passwords-acme: line 1 has a password that is not hashed/);
    shop.users('acme.htpasswd', { alice: 'next word' }, '-5');
    writeFileSync(at('site.key'), readFileSync(at('real-ca.key')));
    expect(deployment.apply().text).toMatch(/the key is not that of the certificate/);
    expect(onMirror('readlink /etc/mirror/current')).toBe(generation);
    expect(statusOf(word('next word'))).toBe(200);
  });

  shop.issue('site', '/CN=two', 'real-ca', forSite);
  await withDeployment(site(`tls: ${files('site.key')}, http: Http.REDIRECTED`, ONE), (deployment) => {
    const { sentences } = deployment.plan();
    expect(sentences).toContainEqual(
      expect.stringMatching(/^replaces the certificate of mirror\.example\.org: CN=two, by CN=real, until /),
    );
    deployment.deploy();
    expect(statusOf(word('next word'))).toBe(200);
    const answer = must('curl', ['-si', '--resolve', `${NAME}:80:${labAddress()}`, `${HTTP}/acme/a%20b?c`]);
    expect(answer).toMatch(/^HTTP\/1\.1 301 [^]*Location: https:\/\/mirror\.example\.org\/acme\/a%20b\?c\r/);
    expect(onMirror('mirrorctl health || true')).toMatch(/ok +certificate +CN=two, by CN=real, until /);
    expect(deployment.plan().sentences).toEqual([]);
  });
  shop.issue('late', '/CN=late', 'real-ca', { ...forSite, days: -1 });
  await withDeployment(site(`tls: ${files('late.key').replace('site.pem', 'late.pem')}`, ONE), (deployment) => {
    expect(deployment.apply().text).toMatch(/the certificate has run out: CN=late/);
    expect(statusOf(word('next word'))).toBe(200);
  });
  await withDeployment(site(`tls: Tls.selfSigned(), http: Http.CLOSED`, ONE), (deployment) => {
    deployment.deploy();
    expect(statusOf([], `${HTTP}/`)).toBe(0);
    expect(statusOf(['-k', '-u', 'alice:next word'])).toBe(200);
  });
});

test('certificates by ACME: issued, renewed, and what a server that cannot be reached means', () => {
  const directory = must('scripts/lab', ['acme', 'on']).trim();
  lab('acme', 'off');
  const { certificateAuthority } = JSON.parse(lab('status', '--json')) as { certificateAuthority: string };
  const tls = `Tls.acme({ email: 'hostmaster@example.org', directory: '${directory}', caCertificate: Certificate.fromFile('${certificateAuthority}') })`;
  const served = (): string =>
    must('bash', [
      '-c',
      `openssl s_client -connect ${labAddress()}:443 -servername ${NAME} </dev/null 2>/dev/null | openssl x509 -noout -issuer -serial -ext subjectAltName`,
    ]);
  return withDeployment(site(`tls: ${tls}`, ONE), (deployment) => {
    // Nobody answers there: the site is up all the same, and everybody is told.
    const said = deployment.deploy();
    expect(said).toMatch(
      /there is no certificate for mirror\.example\.org yet, and the site serves one that no client trusts\. certbot says: .*Connection refused/,
    );
    expect(served()).toContain(`issuer=CN = ${NAME}`);
    expect(onMirror('mirrorctl health || true')).toMatch(/ALERT +certificate +the site serves one that the server made itself/);
    expect(tryOnMirror('systemctl is-failed mirror-certificate.service').stdout.trim()).toBe('failed');
    expect(onMirror('systemctl start mirror-machine.service; mirrorctl health || true')).toMatch(
      /ALERT +units +failed: mirror-certificate\.service/,
    );
    expect(deployment.plan().sentences).toEqual([]);

    lab('acme', 'on');
    // As docs/how-to/serve-over-tls.md says; health has other alerts here.
    const [again = ''] = pageOf('serve-over-tls').commands;
    expect(tryOnMirror(`set -e\n${again}`).text).toMatch(/ok +certificate/);
    const first = served();
    expect(first).toMatch(/issuer=CN = Pebble Intermediate CA/);
    expect(first).toContain(`DNS:${NAME}`);
    expect(onMirror('mirrorctl health || true')).toMatch(/ok +certificate +[^\n]*by CN=Pebble Intermediate CA/);
    // Again: nothing is due, nothing changes.
    onMirror('systemctl start mirror-certificate.service');
    expect(served()).toBe(first);
    expect(deployment.plan().sentences).toEqual([]);

    // Due: renewed by the same unit, as its timer starts it.
    onMirror(
      "sed -i '1i renew_before_expiry = 100 years' /var/lib/mirror-acme/*/renewal/mirror.example.org.conf; systemctl start mirror-certificate.service",
    );
    const second = served();
    expect(second).not.toBe(first);
    expect(second).toMatch(/Pebble Intermediate CA/);
    expect(onMirror('ls /etc/mirror/certificates/mirror.example.org | wc -l').trim()).toBe('3');

    // Due again, and the ACME server is gone: what serves goes on.
    lab('acme', 'off');
    expect(tryOnMirror('systemctl start mirror-certificate.service').status).not.toBe(0);
    expect(served()).toBe(second);
    expect(statusOf(['-k'], `${HTTPS}/`)).toBe(200);
    expect(onMirror('systemctl is-enabled mirror-certificate.timer; systemctl is-active mirror-certificate.timer')).toBe(
      'enabled\nactive\n',
    );
  });
});

/** The commands and declarations of a page, as they stand. 05-docs.test.ts cannot run them: the real main.ts has no TLS and none of these customers. */
function pageOf(slug: string): { commands: readonly string[]; declarations: readonly string[] } {
  const page = `docs/how-to/${slug}.md`;
  return { commands: codeBlocks(page, 'shell'), declarations: codeBlocks(page, 'ts') };
}

test('what the documentation says is what is run: real dnf reads with a password and with a certificate, and not without', async () => {
  const { commands, declarations } = pageOf('restrict-a-customer');
  const tls = pageOf('serve-over-tls');
  expect([commands.length, declarations.length, tls.commands.length]).toEqual([4, 2, 1]);
  const [users, password, authorityOfAcme, client] = commands as [string, string, string, string];
  const home = at('home');
  mkdirSync(home);
  writeFileSync(join(home, '.curlrc'), `resolve = "${NAME}:443:${labAddress()}"\ncacert = "${at('dnf-ca.pem')}"\n`);
  const follow = (script: string): string =>
    must('bash', ['-euo', 'pipefail', '-c', script], { cwd: home, env: { ...process.env, HOME: home } });
  shop.authority('dnf-ca', '/CN=dnf');
  shop.issue('dnf-site', '/CN=site', 'dnf-ca', { extensions: `subjectAltName=DNS:${NAME}\n` });
  const vhost = `tls: Tls.files({ certificate: ${authority('dnf-site')}, key: Secret.fromFile('${at('dnf-site.key')}') })`;
  /** The customer's file, with the authority of the site, since only the test knows it. */
  const reads = (file: string): ReturnType<typeof dnf> => {
    const text = readFileSync(join(home, 'mirror', file), 'utf8').replaceAll('baseurl=', `sslcacert=${at('dnf-ca.pem')}\nbaseurl=`);
    writeFileSync(at(file), text);
    return dnf([at(file)], '-v', 'makecache');
  };
  const deploy = (lines: string): Promise<void> =>
    withDeployment(site(vhost, lines), (deployment) => void deployment.deploy(), { HOME: home });

  follow(users);
  await deploy(declarations[0] as string);
  follow(password);
  const byPassword = reads('acme.repo');
  expect([byPassword.status, byPassword.text]).toEqual([0, expect.stringContaining('Metadata cache created')]);
  const without = readFileSync(at('acme.repo'), 'utf8').replaceAll(/^(username|password)=.*\n/gm, '');
  writeFileSync(at('without.repo'), without);
  expect(dnf([at('without.repo')], 'makecache').text).toMatch(/Status code: 401/);

  follow(authorityOfAcme);
  await deploy((declarations[1] as string).replace('certificates/acme-ca.pem', join(home, 'mirror/acme-ca.pem')));
  follow(client);
  const byCertificate = reads('acme-certificate.repo');
  expect([byCertificate.status, byCertificate.text]).toEqual([0, expect.stringContaining('Metadata cache created')]);
  expect(reads('acme.repo').text).toMatch(/Status code: 403/);
});
