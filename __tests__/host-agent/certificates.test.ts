/** Certificates and passwords as the server gets them: judged before anything changes, made, kept, readable by whom they are for. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ActivationRequest, DesiredState } from '../../desired-state/model';
import { certificateDeviations, checkCertificate, ensureCertificate, takeCertificate, wordsOfCertbot } from '../../host-agent/certificates';
import type { Reporter } from '../../host-agent/events';
import { assemble, manifestFor, writeGeneration } from '../../host-agent/generation';
import { EMPTY_MANIFEST, type Manifest } from '../../host-agent/manifest';
import { checkPasswords, servingGroup } from '../../host-agent/passwords';
import { hostPaths } from '../../host-agent/paths';
import { caught } from '../support/caught';
import { issued, selfSigned, textOf } from '../support/certificates';

const NAME = 'mirror.example.org';
const FOR_SITE = `subjectAltName=DNS:${NAME}`;
const NOW = new Date();

let directory: string;
let said: string[];
const report = {
  progress: (text: string) => said.push(text),
  warning: (text: string) => said.push(`warning: ${text}`),
} as unknown as Reporter;
beforeAll(() => {
  selfSigned('ca', '/CN=ca');
  issued('good', 'ca', { extensions: FOR_SITE });
  issued('late', 'ca', { extensions: FOR_SITE, days: -1 });
  issued('elsewhere', 'ca', { extensions: 'subjectAltName=DNS:www.example.org' });
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mirror-host-'));
  said = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const desired = (tls: NonNullable<DesiredState['tls']>['certificate'], files: Record<string, string> = {}): DesiredState => ({
  schemaVersion: 1,
  owner: 'app/mirror',
  storage: { root: '/srv/mirror', ownMount: false },
  probe: { serverName: NAME, port: 80 },
  tls: { port: 443, certificate: tls },
  packages: [],
  secrets: {},
  confirmSeconds: 60,
  waivers: { unpublish: [] },
  elements: [{ id: 'vhost/x', files, links: {} }],
});
const request = (state: DesiredState, secrets: Record<string, string> = {}): ActivationRequest => ({
  desiredState: state,
  programs: 'a'.repeat(64),
  secrets,
  lastDrift: '',
});
const declared = (certificate: string, key: string): ActivationRequest =>
  request(desired('declared', { 'nginx/tls/certificate.pem': textOf(`${certificate}.pem`) }), { 'tls-key': key });
const manifestOf = (state: DesiredState): Manifest => manifestFor(request(state), assemble(state, 1), 1, 'key', NOW);

describe('a declared certificate', () => {
  test('with its key is fine', () => {
    expect(() => checkCertificate(declared('good', textOf('good.key')), EMPTY_MANIFEST, NOW, report)).not.toThrow();
    expect(said).toEqual([]);
  });

  test.each([
    ['another key', 'good', 'late.key', 'the key is not that of the certificate'],
    ['no key', 'good', 'good.pem', 'holds no private key'],
    ['another name', 'elsewhere', 'elsewhere.key', `the certificate is not for ${NAME}`],
    ['one that ran out', 'late', 'late.key', 'the certificate has run out'],
  ])('%s', (_, certificate, key, words) => {
    const error = caught(() => checkCertificate(declared(certificate, textOf(key)), EMPTY_MANIFEST, NOW, report));
    expect(error).toMatchObject({ code: 'CERTIFICATE_REFUSED', exitCode: 3, message: expect.stringContaining(words) as string });
    expect(JSON.stringify(error)).not.toContain('PRIVATE KEY-----\\nM');
  });

  test('one that ran out while it served keeps nobody from deploying', () => {
    const one = declared('late', textOf('late.key'));
    checkCertificate(one, manifestOf(one.desiredState), NOW, report);
    expect(said).toEqual([expect.stringMatching(/^warning: the certificate has run out: .*; it serves already, and goes on$/)]);
  });
});

describe('a certificate of the server itself', () => {
  const paths = () => hostPaths(directory);
  const place = (name: string): string => join(paths().certificates, NAME, name);
  beforeEach(() => mkdirSync(join(directory, 'etc/mirror'), { recursive: true }));

  test('is made once, for root alone, and made again where it is lost', async () => {
    const state = desired('made');
    expect(certificateDeviations(paths(), manifestOf(state))).toEqual([`${place('self-signed')} missing`]);
    await ensureCertificate(paths(), state, report);
    const first = readFileSync(place('self-signed/fullchain.pem'), 'utf8');
    await ensureCertificate(paths(), state, report);
    expect(readFileSync(place('self-signed/fullchain.pem'), 'utf8')).toBe(first);
    expect(said).toEqual([`made a certificate for ${NAME} that no client trusts by itself`]);
    expect([paths().certificates, place('self-signed')].map((one) => statSync(one).mode & 0o777)).toEqual([0o700, 0o700]);
    expect(certificateDeviations(paths(), manifestOf(state))).toEqual([]);
    rmSync(place('self-signed/privkey.pem'));
    expect(certificateDeviations(paths(), manifestOf(state))).toEqual([`${place('self-signed')} missing`]);
    await ensureCertificate(paths(), state, report);
    expect(readFileSync(place('self-signed/fullchain.pem'), 'utf8')).not.toBe(first);
  });

  test('stands in for one by ACME, and certbot cannot put a bad one in its place', async () => {
    const state = desired('acme');
    await ensureCertificate(paths(), state, report);
    const stand = readFileSync(place('serving/fullchain.pem'), 'utf8');
    expect(certificateDeviations(paths(), manifestOf(state))).toEqual([]);
    const live = join(directory, 'live');
    mkdirSync(live);
    for (const [certificate, key, words] of [
      ['elsewhere', 'elsewhere', 'is not for'],
      ['good', 'elsewhere', 'is not that of the certificate'],
    ]) {
      writeFileSync(join(live, 'fullchain.pem'), textOf(`${certificate}.pem`));
      writeFileSync(join(live, 'privkey.pem'), textOf(`${key}.key`));
      await expect(takeCertificate(paths(), live, manifestOf(state), report)).rejects.toThrow(words);
    }
    await expect(takeCertificate(paths(), join(directory, 'nowhere'), manifestOf(state), report)).rejects.toThrow('holds certificates');
    await expect(takeCertificate(paths(), live, manifestOf(desired('made')), report)).rejects.toThrow('no certificate by ACME');
    expect(readFileSync(place('serving/fullchain.pem'), 'utf8')).toBe(stand);
  });
});

test('what certbot says, without where to ask', () => {
  const before = 'Some challenges have failed.\n';
  const last = 'Saving debug log to /x\n\nAn unexpected error occurred:\n  ValueError: refused\nAsk for help at https://x\n';
  expect(wordsOfCertbot(before + last)).toBe('An unexpected error occurred:; ValueError: refused');
  expect(wordsOfCertbot('')).toBe('nothing');
});

describe('passwords', () => {
  const LINE = `alice:$6$salt$${'a'.repeat(86)}\n`;

  test('bad ones are refused by name of the secret and line; other secrets are none', () => {
    expect(() => checkPasswords({ 'passwords-acme': LINE, 'signing-key': 'no line of a user' })).not.toThrow();
    const error = caught(() => checkPasswords({ 'passwords-acme': `${LINE}bob:open\n` }));
    expect(error).toMatchObject({
      code: 'PASSWORDS_REFUSED',
      exitCode: 3,
      message: expect.stringContaining('passwords-acme: line 2') as string,
    });
    expect(String(error)).not.toContain('open');
  });

  test('nginx may read them, nobody else; what else is secret is in another directory', async () => {
    const paths = hostPaths(directory);
    mkdirSync(paths.generations, { recursive: true });
    writeFileSync(paths.group, 'root:x:0:\nwww-data:x:33:\n');
    const state = desired('made');
    const secrets = { 'passwords-acme': LINE, 'signing-key': 'KEY\n' };
    const group = servingGroup(paths, secrets);
    expect(group).toBe(33);
    expect(servingGroup(paths, { 'signing-key': 'KEY\n' })).toBeUndefined();
    const made = await writeGeneration(paths, manifestOf(state), assemble(state, 1), secrets, group);
    const facts = (path: string): number[] => {
      const { mode, uid, gid } = statSync(join(made, path));
      return [mode & 0o777, uid, gid];
    };
    expect(facts('passwords')).toEqual([0o750, 0, 33]);
    expect(facts('passwords/passwords-acme')).toEqual([0o440, 0, 33]);
    expect(facts('secrets')).toEqual([0o700, 0, 0]);
    expect(facts('secrets/signing-key')).toEqual([0o400, 0, 0]);
    rmSync(paths.group);
    expect(() => servingGroup(paths, secrets)).toThrow('no group www-data');
  });
});

test('authorities of all customers become one file, and nginx is told of them; without any it is not', () => {
  const state = desired('made');
  const elements = ['b', 'a'].map((owner) => ({
    id: `customer/${owner}`,
    files: { [`nginx/client-authorities/${owner}.pem`]: `${owner}\n` },
    links: {},
  }));
  const files = assemble({ ...state, elements }, 1).files;
  expect(files['nginx/client-authorities.pem']).toBe('a\nb\n');
  expect(files['nginx/client-certificates.conf']).toContain('ssl_verify_depth 0;');
  expect(Object.keys(assemble(state, 1).files)).toEqual(['nginx/generation.conf']);
});
