import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digest } from '../support/edits';
import type { Field } from '../support/field';
import { guard, type Row } from '../support/row';
import { endless, HostileServer, redirect, status } from '../support/server';
import { NEWER, pathOf } from '../support/workshop';

const LISTS = 'downloads/mirror-lists.ts';
const METALINK = 'downloads/metalink.ts';
const ERRORS = 'downloads/errors.ts';
const INDEX = 'content/upstream-index.ts';
const CERTIFICATES = '/^(CERT_|ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET|VERIFY))/';

/** A server with a certificate of an authority that the program is told to trust. */
async function tls(field: Field, days: number, name: string): Promise<HostileServer> {
  const directory = join(field.workshop.directory, 'tls');
  const openssl = (argv: readonly string[], at?: string): void =>
    void execFileSync(at === undefined ? 'openssl' : 'faketime', [...(at === undefined ? [] : [at, 'openssl']), ...argv], {
      cwd: directory,
      stdio: 'ignore',
    });
  if (!existsSync(join(directory, 'ca.pem'))) {
    mkdirSync(directory);
    openssl([
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=authority',
      '-days',
      '9',
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
    ]);
  }
  writeFileSync(join(directory, 'names'), `subjectAltName=${name}\n`);
  openssl(['req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=server', '-keyout', 'key.pem', '-out', 'request.pem']);
  const sign = [
    'x509',
    '-req',
    '-in',
    'request.pem',
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-extfile',
    'names',
    '-out',
    'cert.pem',
  ];
  openssl([...sign, '-days', String(Math.abs(days))], days < 0 ? '-30 days' : undefined);
  const options = { key: readFileSync(join(directory, 'key.pem')), cert: readFileSync(join(directory, 'cert.pem')) };
  const server = await field.another(HostileServer.start(field.root, '127.0.0.1', options));
  field.fetchFrom(server.url);
  return server;
}

const trusting = { env: (field: Field) => ({ NODE_EXTRA_CA_CERTS: join(field.workshop.directory, 'tls/ca.pem') }) };

/** A first source that is bad, and then the good one. */
async function beforeTheGood(field: Field, root: string): Promise<HostileServer> {
  const server = await field.another(HostileServer.start(root));
  field.fetchFrom(server.url, field.server.url);
  return server;
}

/** A list of mirrors with this text. */
function list(name: string, text: string | ((field: Field) => string), says: RegExp, code: string, without?: string): Row {
  return {
    name: `a list of mirrors ${name}`,
    exitCode: 5,
    guard: guard(LISTS, code, without),
    hostile: (field) => {
      field.put('list', typeof text === 'string' ? text : text(field));
      field.fetchFrom({ mirrorlist: `${field.server.url}list` });
    },
    says: [/\/list names no mirror that can be used: /, says, /Look at the address with curl/],
  };
}

function metalink(name: string, text: (field: Field) => string, says: RegExp, file: string, code: string, without?: string): Row {
  return {
    name: `a metalink ${name}`,
    attack: 'mix-and-match',
    guard: guard(file, code, without),
    hostile: (field) => {
      field.put('metalink', text(field));
      field.fetchFrom({ metalink: `${field.server.url}metalink` });
    },
    says,
  };
}

const link = (inner: string): string => `<metalink version="3.0"><files><file name="repomd.xml">${inner}</file></files></metalink>`;
const hash = (hex: string, type = 'sha256'): string => `<verification><hash type="${type}">${hex}</hash></verification>`;
const at = (field: Field): string => `<resources><url protocol="http">${field.server.url}repodata/repomd.xml</url></resources>`;
const rightHash = (field: Field): string => hash(digest(field.text()));

/** Where the bytes come from: certificates, several sources, lists of mirrors. */
export const SOURCES: readonly Row[] = [
  {
    name: 'a certificate that has expired',
    attack: 'arbitrary software',
    program: trusting,
    guard: guard(ERRORS, CERTIFICATES, '/^(ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET|VERIFY))/'),
    hostile: (field) => tls(field, -1, 'IP:127.0.0.1').then(() => undefined),
    says: /https:\/\/127\.0\.0\.1:\d+\/repodata\/repomd\.xml: the certificate is not trusted: certificate has expired/,
  },
  {
    name: 'a certificate of another host',
    attack: 'arbitrary software',
    program: trusting,
    guard: guard(ERRORS, CERTIFICATES, '/^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET|VERIFY))/'),
    hostile: (field) => tls(field, 9, 'DNS:other.example.org').then(() => undefined),
    says: /the certificate is not trusted: .*IP: 127\.0\.0\.1 is not in the cert's list/,
  },
  {
    name: 'a certificate of another host, met twice in one process',
    exitCode: 6,
    program: trusting,
    guard: guard('downloads/connections.ts', 'if (codeOf(error) === OTHER_HOST) this.lanes.splice(this.lanes.indexOf(lane), 1);', ''),
    hostile: async (field) => {
      const { url } = await tls(field, 9, 'DNS:other.example.org');
      field.fetchFrom(url, `${url}again/`);
    },
    says: /none of 2 sources has it: .*the certificate is not trusted.*the certificate is not trusted/,
  },
  {
    name: 'a certificate of an authority that nobody knows',
    attack: 'arbitrary software',
    guard: guard(ERRORS, CERTIFICATES, '/^(CERT_|ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED)/'),
    hostile: (field) => tls(field, 9, 'IP:127.0.0.1').then(() => undefined),
    says: [/the certificate is not trusted: .*unable to verify the first certificate/, /update-ca-certificates/],
  },
  {
    name: 'a redirect from https to http',
    attack: 'arbitrary software',
    program: trusting,
    guard: guard('downloads/redirects.ts', "if (new URL(from).protocol === 'https:' && target.protocol === 'http:')"),
    hostile: async (field) => {
      const secure = await tls(field, 9, 'IP:127.0.0.1');
      secure.on(pathOf(NEWER), redirect(field.server.url + pathOf(NEWER)));
    },
    says: /https is not left for http/,
  },
  {
    name: 'the first source is dead',
    ends: 'survived',
    guard: guard('downloads/sources.ts', 'sources.ordered().filter((s) => !out.has(s))', 'sources.all.slice(0, 1)'),
    hostile: async (field) => {
      const dead = await HostileServer.start(field.root);
      field.fetchFrom(dead.url, field.server.url);
      await dead.stop();
    },
  },
  {
    name: 'the first source has a damaged index',
    ends: 'survived',
    guard: guard(INDEX, 'if (!(error instanceof MirrorError)) throw error;', 'if (error === error) throw error;'),
    hostile: async (field) => (await beforeTheGood(field, field.root)).on('repodata/repomd.xml', status(200, {}, '<html/>')),
  },
  {
    name: 'the first source is behind',
    attack: 'rollback',
    ends: 'survived',
    guard: guard(
      INDEX,
      'throw refusedIndex(url, refusal);',
      'throw new MirrorError({ ...refusal, message: `${url} ${refusal.why}`, exitCode: ExitCode.untrusted });',
    ),
    hostile: async (field) => {
      const old = (await beforeTheGood(field, field.workshop.before)).root;
      const text = readFileSync(join(old, 'repodata/repomd.xml'), 'utf8').replace(/<revision>\d+/, '<revision>1500000000');
      const server = await beforeTheGood(field, old);
      server.on('repodata/repomd.xml', status(200, {}, text));
    },
  },
  {
    name: 'the first source has a package of its own',
    attack: 'arbitrary software',
    ends: 'survived',
    guard: guard(
      'downloads/sources.ts',
      'if (!(error instanceof DownloadError)) throw error;\n        last.set',
      'if (error === error) throw error;\n        last.set',
    ),
    hostile: async (field) => {
      const bytes = field.file(pathOf(NEWER)).fill(7, 200, 300);
      (await beforeTheGood(field, field.root)).on(pathOf(NEWER), (_request, response) => void response.end(bytes));
    },
  },
  list('that is a web page', '<html>', /"<html>" is no URL/, "return { problem: 'is no URL' };", 'return { url: undefined };'),
  list(
    'that names files',
    'file:///etc/',
    /"file:\/\/\/etc\/" is not http or https/,
    "if (url.protocol !== 'http:' && url.protocol !== 'https:')",
  ),
  list('with a password in it', 'http://user:secret@127.0.0.1/', /has a user/, "if (url.username !== '' || url.password !== '')"),
  list('with a query', (field) => `${field.server.url}?x=`, /has a query/, "if (url.search !== '' || url.hash !== '')"),
  list(
    'with variables',
    (field) => `${field.server.url}$basearch/`,
    /has a variable, which only a client can fill in/,
    "if (entry.includes('$'))",
  ),
  list('with an address of kilobytes', (field) => `${field.server.url}${'x'.repeat(3000)}`, /is too long/, 'if (entry.length > 2048)'),
  {
    name: 'a list of mirrors that is empty',
    exitCode: 5,
    guard: guard(LISTS, 'if (bases.size === 0) {', 'if (false) {'),
    hostile: (field) => {
      field.put('list', '# nothing\n');
      field.fetchFrom({ mirrorlist: `${field.server.url}list` });
    },
    says: /\/list names no mirror that can be used\n/,
  },
  {
    name: 'a list of mirrors without an end',
    attack: 'endless data',
    guard: guard(LISTS, 'maxBytes: MAX_LIST_BYTES', 'maxBytes: 1e9'),
    hostile: (field) => {
      field.server.on('list', endless(Buffer.from(`# ${'x'.repeat(60)}\n`.repeat(1000))));
      field.fetchFrom({ mirrorlist: `${field.server.url}list` });
    },
    says: /\/list may have 2097152 bytes and does not end there/,
  },
  {
    name: 'a list of mirrors that leads into the private network',
    attack: 'arbitrary software',
    guard: guard('content/source-lists.ts', "everywhere ? 'all' : declaredHosts([...declaredSources(definition), ...before])", "'all'"),
    hostile: async (field) => {
      const inside = await field.another(HostileServer.start(field.root, '127.0.0.2'));
      field.put('list', `${inside.url}\n`);
      field.fetchFrom({ mirrorlist: `${field.server.url}list` });
    },
    says: /127\.0\.0\.2 is not a public address/,
    waiver: 'privateAddresses',
  },
  metalink(
    'with the checksum of another index',
    (field) => link(hash(digest('another')) + at(field)),
    /repomd\.xml is none of the 1 versions that the metalink lists/,
    INDEX,
    'if (digests === undefined) return;',
    'if (digests === digests) return;',
  ),
  metalink(
    'with an md5 checksum alone',
    (field) => link(hash('0'.repeat(32), 'md5') + at(field)),
    /has no checksum of repomd\.xml by sha256 or better/,
    METALINK,
    'if (versions[0] === undefined || digestOf(versions[0]) === undefined)',
  ),
  metalink(
    'of another file',
    (field) => link(rightHash(field) + at(field)).replace('name="repomd.xml"', 'name="other.xml"'),
    /has no file repomd\.xml/,
    METALINK,
    'if (!found)',
  ),
  metalink(
    'with entities of its own',
    (field) => `<!DOCTYPE m [<!ENTITY a "b">]>${link(rightHash(field) + at(field))}`,
    /it has a document type declaration/,
    METALINK,
    "parser.on('doctype', () => {",
    "parser.on('doctype', () => {\n return;",
  ),
  metalink(
    'that nests without end',
    (field) => link(rightHash(field) + at(field) + '<a>'.repeat(5000) + '</a>'.repeat(5000)),
    /it is nested too deeply/,
    METALINK,
    'if (this.path.length > MAX_DEPTH)',
  ),
  metalink(
    'that is a web page',
    () => '<html>Sign in</html>',
    /is no metalink: it begins with <html>/,
    METALINK,
    "if (this.path.length === 0 && name !== 'metalink')",
  ),
];
