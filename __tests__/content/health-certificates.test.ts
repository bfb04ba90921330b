/** What mirrorctl health says of certificates: asked of a real server, and of the authorities on disk. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { certificates } from '../../content/health-certificates';
import type { SiteDefinition } from '../../desired-state/definitions';
import { issued, selfSigned, textOf } from '../support/certificates';

const DAY = 24 * 3_600_000;
const in_ = (days: number): Date => new Date(Date.now() + days * DAY);

let directory: string;
let server: Server | undefined;
beforeAll(() => {
  selfSigned('ca', '/CN=ca');
  selfSigned('stand-in', '/CN=mirror.example.org', ['subjectAltName=DNS:mirror.example.org'], 3650);
  issued('long', 'ca', { extensions: 'subjectAltName=DNS:mirror.example.org', days: 90 });
  issued('nameless', 'ca', { extensions: 'subjectAltName=DNS:mirror.example.org', subject: '/' });
  issued('short', 'ca', { extensions: 'subjectAltName=DNS:mirror.example.org', days: 6 });
});
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'mirror-health-'))));
afterEach(async () => {
  rmSync(directory, { recursive: true, force: true });
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
});

/** A site that shows this certificate. */
async function showing(name: string, certificate: SiteDefinition['certificate']): Promise<SiteDefinition> {
  server = createServer({ cert: textOf(`${name}.pem`), key: textOf(`${name}.key`) }, (socket) => socket.end());
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return { kind: 'site', serverName: 'mirror.example.org', tlsPort: (server.address() as AddressInfo).port, certificate };
}

test('none is looked for where the site has no TLS', async () => {
  expect(await certificates({ directory }, new Date())).toEqual([]);
});

test.each<[string, string, SiteDefinition['certificate'], number, 'ok' | 'alert', RegExp]>([
  ['good for long', 'long', 'declared', 0, 'ok', /^CN=long, by CN=ca, until /],
  ['the last day without an alert', 'long', 'acme', 75, 'ok', /^CN=long/],
  ['without a subject, as ACME servers issue them', 'nameless', 'acme', 0, 'ok', /^DNS:mirror\.example\.org, by CN=ca/],
  ['two weeks left', 'long', 'acme', 77, 'alert', /^runs out in 12 days: CN=long/],
  ['run out', 'long', 'declared', 91, 'alert', /^has run out: CN=long/],
  ['short by design', 'short', 'acme', 3, 'ok', /^CN=short/],
  ['short, and a third of it left', 'short', 'acme', 5, 'alert', /^runs out in 0 days: CN=short/],
  ['a stand-in for one by ACME', 'stand-in', 'acme', 0, 'alert', /no ACME server has issued one yet/],
  ['made by the server, as declared', 'stand-in', 'made', 0, 'ok', /^CN=mirror.example.org/],
])('%s', async (_, shown, kind, days, verdict, text) => {
  const [check] = await certificates({ directory, site: await showing(shown, kind) }, in_(days));
  expect(check).toMatchObject({ name: 'certificate', verdict });
  expect(check?.text).toMatch(text);
  expect(check?.remedy === undefined).toBe(verdict === 'ok');
});

test('nobody answers', async () => {
  const site = await showing('long', 'declared');
  await new Promise((resolve) => server?.close(resolve));
  server = undefined;
  expect(await certificates({ directory, site }, new Date())).toEqual([
    expect.objectContaining({
      verdict: 'alert',
      text: expect.stringMatching(/does not answer by TLS on port \d+: .*ECONNREFUSED/) as string,
    }),
  ]);
});

test('authorities of clients', async () => {
  mkdirSync(join(directory, 'nginx/client-authorities'), { recursive: true });
  writeFileSync(join(directory, 'nginx/client-authorities/acme.pem'), textOf('ca.pem'));
  const site = await showing('long', 'declared');
  expect((await certificates({ directory, site }, new Date()))[1]).toMatchObject({ name: 'authorities', verdict: 'ok' });
  expect((await certificates({ directory, site }, in_(80)))[1]).toMatchObject({
    verdict: 'alert',
    text: expect.stringMatching(/^acme: runs out in \d days: CN=ca/) as string,
  });
});
