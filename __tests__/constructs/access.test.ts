/** Who may read a customer, where the site's certificate comes from: what is declared, what is rendered, what is refused. */
import { writeFileSync } from 'node:fs';
import { Access, Certificate, Customer, Distribution, Http, MosCodename, Secret, Tls, type NginxVhostProps } from '../../constructs';
import { fileOf, issued, selfSigned, textOf } from '../support/certificates';
import { bareServer, mirror, refuses, synth } from './support';

beforeAll(() => {
  selfSigned('acme-ca', '/C=US/O=Acme, Inc./CN=Acme clients');
  selfSigned('acme-ca-shouting', '/C=US/O=ACME, Inc./CN=Acme  clients');
  selfSigned('globex-ca', '/CN=globex');
  selfSigned('quoted-ca', '/CN=a"b');
  selfSigned('dollar-ca', '/CN=$host');
  selfSigned('foreign-ca', '/CN=Ä', ['basicConstraints=critical,CA:TRUE']);
  selfSigned('no-ca', '/CN=no authority', ['basicConstraints=critical,CA:FALSE']);
  issued('between', 'acme-ca', { extensions: 'basicConstraints=critical,CA:TRUE' });
  issued('site', 'between', { extensions: 'subjectAltName=DNS:mirror.example.org', chain: ['between'] });
  issued('jumbled', 'between', { extensions: 'subjectAltName=DNS:mirror.example.org', chain: ['globex-ca'] });
  issued('elsewhere', 'between', { extensions: 'subjectAltName=DNS:www.example.org' });
  writeFileSync(fileOf('with-key.pem'), `${textOf('site.pem')}${textOf('site.key')}`);
  writeFileSync(fileOf('empty.pem'), '\n');
  writeFileSync(fileOf('damaged.pem'), textOf('site.pem').replace(/M/g, 'N'));
  writeFileSync(fileOf('two.pem'), `${textOf('acme-ca.pem')}${textOf('globex-ca.pem')}`);
});

const certificate = (name: string): Certificate => Certificate.fromFile(fileOf(`${name}.pem`));
const users = Secret.fromEnvironment('MIRROR_ACME_PASSWORDS', { version: '3' });
const withTls = (vhost: Partial<NginxVhostProps> = {}): ReturnType<typeof mirror> => mirror({}, { tls: Tls.selfSigned(), ...vhost });
const by = (name: string, subjects?: readonly string[]): Access =>
  Access.clientCertificates({ authorities: [certificate(name)], ...(subjects === undefined ? {} : { subjects }) });

test('passwords: a secret by name, and a door that a password opens over TLS only', () => {
  const { app, server } = withTls();
  const acme = new Customer(server, 'acme', { access: Access.passwords(users) });
  new MosCodename(acme, 'c', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
  expect(acme.isGuarded).toBe(true);
  const result = synth(app);
  expect(result.element('customer/acme').triggers['nginx']).toContain(`location ^~ /acme/ {
    autoindex on;
    satisfy any;
    deny all;
    auth_basic $mirror_passwords;
    auth_basic_user_file /etc/mirror/current/passwords/passwords-acme;
`);
  expect(result.element('customer/acme').triggers['definition']).toContain('access:\n  - with a password\n');
  expect(result.desiredState.secrets['passwords-acme']).toBe('3');
  expect(result.element('activation').triggers['secrets']).toContain('passwords-acme version 3');
  expect(JSON.parse(result.file('target.json'))).toMatchObject({
    secrets: { 'passwords-acme': { environmentVariable: 'MIRROR_ACME_PASSWORDS' } },
  });
  const vhost = result.element('vhost/mirror.example.org').triggers['nginx'];
  expect(vhost).toContain('map $https $mirror_passwords {\n    on "mirror.example.org";\n    default off;\n}');
});

test('certificates: each customer asks for an authority of its own', () => {
  const { app, server } = withTls();
  new Customer(server, 'acme', { access: by('acme-ca') });
  new Customer(server, 'globex', { access: by('globex-ca', ['CN=build1,O=Globex', 'CN=a\\,b']) });
  const result = synth(app);
  const acme = result.element('customer/acme').triggers;
  expect(acme['nginx']).toContain(
    '    set $mirror_client "$ssl_client_verify|$ssl_client_i_dn";\n    if ($mirror_client = "SUCCESS|CN=Acme clients,O=Acme\\\\, Inc.,C=US") {\n        return 204;',
  );
  expect(acme['nginx']).toContain('    satisfy any;\n    deny all;\n    auth_request /.mirror/access/acme;\n');
  expect(acme['client_authorities']).toBe(textOf('acme-ca.pem'));
  expect(acme['definition']).toContain('- with a certificate of CN=Acme clients,O=Acme\\, Inc.,C=US\n');
  const globex = result.element('customer/globex').triggers['nginx'];
  expect(globex).toContain('"$ssl_client_verify|$ssl_client_i_dn|$ssl_client_s_dn"');
  expect(globex).toContain('if ($mirror_client = "SUCCESS|CN=globex|CN=build1,O=Globex")');
  expect(globex).toContain('if ($mirror_client = "SUCCESS|CN=globex|CN=a\\\\,b")');
  expect(globex).not.toContain('"SUCCESS|CN=globex")');
});

test('any of several ways', () => {
  const { app, server } = withTls();
  new Customer(server, 'acme', { access: Access.anyOf(Access.networks(['10.0.0.0/8']), Access.passwords(users), by('acme-ca')) });
  expect(synth(app).element('customer/acme').triggers['nginx']).toContain(`    satisfy any;
    allow 10.0.0.0/8;
    deny all;
    auth_basic $mirror_passwords;
    auth_basic_user_file /etc/mirror/current/passwords/passwords-acme;
    auth_request /.mirror/access/acme;
`);
});

test('what lets nobody in, or too many, is refused', () => {
  refuses(() => Access.passwords('alice:word' as unknown as Secret), 'Access.passwords: users (a value of type string)', 'passed by name');
  refuses(() => Access.clientCertificates({ authorities: [] }), 'at least one authority');
  refuses(() => Access.clientCertificates({ authorities: ['x' as unknown as Certificate] }), 'authorities[0] "x"', 'made by Certificate');
  refuses(() => by('two'), 'authorities[0] "two.pem"', 'holds 2 certificates');
  refuses(() => by('between'), 'signed by itself');
  refuses(() => by('no-ca'), 'CA:TRUE');
  for (const name of ['quoted-ca', 'dollar-ca', 'foreign-ca']) refuses(() => by(name), 'plain ASCII text');
  refuses(() => by('acme-ca', []), 'at least one subject');
  for (const subject of ['build1', 'CN=$host', 'CN="x"', 'CN=a\nb', 'CN=é', ''])
    refuses(() => by('acme-ca', [subject]), 'subjects[0]', 'a subject is');
  refuses(() => Access.anyOf(Access.networks(['10.0.0.0/8'])), 'at least two');
  refuses(() => Access.anyOf(Access.networks(['10.0.0.0/8']), Access.public()), 'ways[1]');
  refuses(() => Access.anyOf(Access.passwords(users), Access.passwords(users)), 'ways[1] (passwords)', 'each way once');
});

test('passwords and certificates without TLS, and a customer before the vhost', () => {
  for (const access of [Access.passwords(users), by('acme-ca')]) {
    refuses(() => new Customer(mirror().server, 'acme', { access }), 'mirror/server/acme: access', 'over TLS only', 'tls: Tls.acme');
    refuses(() => new Customer(bareServer().server, 'acme', { access }), 'the NginxVhost is declared before');
  }
});

test('two customers never have one authority, or two of one name, unless each names its own certificates', () => {
  const { server } = withTls();
  new Customer(server, 'acme', { access: by('acme-ca', ['CN=one']) });
  const two = 'that of mirror/server/acme already';
  refuses(() => new Customer(server, 'b', { access: by('acme-ca') }), 'mirror/server/b: access', two);
  refuses(() => new Customer(server, 'c', { access: by('acme-ca-shouting', ['CN=two']) }), two);
  expect(() => new Customer(server, 'd', { access: by('acme-ca', ['CN=two']) })).not.toThrow();
});

describe('the certificate of the site', () => {
  const vhostOf = (vhost: Partial<NginxVhostProps>): { nginx: string; result: ReturnType<typeof synth> } => {
    const { app, server } = mirror({}, vhost);
    new MosCodename(server, 'c', { release: '7.0', distribution: Distribution.CENTOS, version: '6' });
    const result = synth(app);
    return { nginx: result.element('vhost/mirror.example.org').triggers['nginx'] ?? '', result };
  };

  test('from files: the certificate is in the plan, its key is a secret', () => {
    const { nginx, result } = vhostOf({ tls: Tls.files({ certificate: certificate('site'), key: Secret.fromFile('~/site.key') }) });
    expect(nginx).toContain(
      'listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n    ssl_certificate /etc/mirror/current/nginx/tls/certificate.pem;',
    );
    expect(nginx).toContain('ssl_certificate_key /etc/mirror/current/secrets/tls-key;');
    expect(result.element('vhost/mirror.example.org').triggers['certificate']).toMatch(
      /^CN=site, by CN=between, until \d{4}-\d\d-\d\d, SHA-256 [0-9a-f]{64}\nCN=between/,
    );
    expect(result.desiredState.tls).toEqual({ port: 443, certificate: 'declared' });
    expect(result.desiredState.secrets['tls-key']).toBe('1');
    expect(result.element('codename/mos/mos7.0-centos6').triggers['repo_file']).toContain('baseurl=https://mirror.example.org/mos-repos/');
  });

  test('by ACME: certbot, its timer, and where the ACME server looks', () => {
    const tls = Tls.acme({ email: 'a@example.org', directory: 'https://acme.example.org/d%20r', caCertificate: certificate('acme-ca') });
    const { nginx, result } = vhostOf({ tls, http: Http.REDIRECTED, tlsPort: 8443 });
    expect(nginx).toContain('location ^~ /.well-known/acme-challenge/ {\n        root /var/lib/mirror-acme/webroot;');
    expect(nginx).toContain('return 301 https://mirror.example.org:8443$request_uri;');
    expect(nginx).toContain('ssl_certificate /etc/mirror/certificates/mirror.example.org/serving/fullchain.pem;');
    expect(result.desiredState.packages).toEqual(expect.arrayContaining(['certbot', 'openssl']));
    const { service, timer, packages } = result.element('vhost/mirror.example.org').triggers;
    expect(service).toContain('--server https://acme.example.org/d%%20r --email a@example.org');
    expect(service).toContain('Environment=REQUESTS_CA_BUNDLE=/etc/mirror/current/nginx/tls/acme-authority.pem');
    expect(timer).toContain('OnCalendar=*-*-* 05,17:20:00 UTC');
    expect(packages).toBe('certbot\nopenssl');
    const files = result.desiredState.elements.find(({ id }) => id === 'vhost/mirror.example.org')?.files ?? {};
    expect(files['nginx/tls/acme-authority.pem']).toBe(textOf('acme-ca.pem'));
    expect(files['definitions/site.yaml']).toBe('kind: site\nserverName: mirror.example.org\ntlsPort: 8443\ncertificate: acme\n');
    expect(result.element('codename/mos/mos7.0-centos6').triggers['repo_file']).toContain('baseurl=https://mirror.example.org:8443/');
  });

  test('made by the server; plain HTTP closed but for its own probe', () => {
    const { nginx, result } = vhostOf({ tls: Tls.selfSigned(), http: Http.CLOSED });
    expect(nginx).toContain('if ($remote_addr = 127.0.0.1) {\n            return 404;\n        }\n        return 444;');
    expect(nginx.slice(nginx.indexOf('listen 443'))).not.toContain('listen 80');
    expect(nginx).toContain('/etc/mirror/certificates/mirror.example.org/self-signed/privkey.pem;');
    expect(result.desiredState.packages).toContain('openssl');
    expect(result.desiredState.packages).not.toContain('certbot');
    expect(result.desiredState.probe).toEqual({ serverName: 'mirror.example.org', port: 80 });
  });

  test('bad ones', () => {
    const key = Secret.fromFile('~/site.key');
    for (const [name, words] of [
      ['with-key', 'it holds a private key'],
      ['empty', 'holds certificates in PEM'],
      ['damaged', 'damaged certificate'],
      ['absent', 'regular file'],
    ] as const)
      refuses(() => certificate(name), `${name}.pem`, words);
    refuses(() => Tls.files({ certificate: certificate('jumbled'), key }), 'certificate 2 of the file did not issue the one before it');
    refuses(() => Tls.files({ certificate: 'x' as unknown as Certificate, key }), 'made by Certificate');
    refuses(() => Tls.files({ certificate: certificate('site'), key: 'KEY' as unknown as Secret }), 'key (a value of type string)');
    refuses(
      () => vhostOf({ tls: Tls.files({ certificate: certificate('elsewhere'), key }) }),
      'mirror/server/vhost: tls',
      'for the site, mirror.example.org',
      'CN=elsewhere',
    );
    for (const email of ['', 'a', 'a@', '@b.org', 'a b@c.org', 'a@b@c.org', '-x@b.org', 'a@b.org\n'])
      refuses(() => Tls.acme({ email }), 'Tls.acme: email');
    for (const directory of ['http://acme.example.org/', 'acme', 'https://a b/', 'https://x/;rm', 'https://x'])
      refuses(() => Tls.acme({ email: 'a@example.org', directory }), 'Tls.acme: directory');
    refuses(() => Tls.acme({ email: 'a@example.org', caCertificate: 'x' as unknown as Certificate }), 'caCertificate');
    refuses(() => vhostOf({ http: Http.REDIRECTED }), 'http "redirected"', 'only a site with tls');
    refuses(() => vhostOf({ tlsPort: 8443 }), 'tlsPort 8443', 'only a site with tls');
    refuses(() => vhostOf({ tls: Tls.selfSigned(), tlsPort: 80 }), 'another port');
    refuses(() => vhostOf({ tls: Tls.selfSigned(), http: 'open' as Http }), 'http "open"');
    refuses(() => vhostOf({ tls: 'yes' as unknown as Tls }), 'where the certificate comes from');
    refuses(() => vhostOf({ tls: Tls.acme({ email: 'a@example.org' }), http: Http.CLOSED }), 'looks over plain HTTP', 'Http.REDIRECTED');
  });
});
