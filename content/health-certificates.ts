/** Certificates that clients meet, and how long they will do. */
import { X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describeCertificate, expiry, readCertificates } from '../desired-state/certificates';
import type { SiteDefinition } from '../desired-state/definitions';
import type { Definitions } from './definitions';
import type { Check } from './health-record';
import { someOf } from './lines';

/** Somebody has to hear of it so long before it runs out; of one for a short time, when a third of that is left: certbot renews earlier. */
const ALERT_DAYS = 14;
const DAY = 24 * 3_600_000;
const ANSWER_MS = 5000;
const MAX_NAMED = 5;

/** The site's certificate as it is served, and the authorities of customers' clients. None where the site has no TLS. */
export async function certificates({ site, directory }: Pick<Definitions, 'site' | 'directory'>, now: Date): Promise<readonly Check[]> {
  if (site === undefined) return [];
  const served = await servedCertificate(site);
  const own = typeof served === 'string' ? unanswered(site, served) : judge(site, served, now);
  return [own, ...(await authorities(directory, now))];
}

function judge(site: SiteDefinition, certificate: X509Certificate, now: Date): Check {
  const name = 'certificate';
  const text = describeCertificate(certificate);
  if (site.certificate === 'acme' && certificate.issuer === certificate.subject)
    return {
      name,
      verdict: 'alert',
      text: `the site serves one that the server made itself, since no ACME server has issued one yet (${text})`,
      remedy: 'journalctl -u mirror-certificate.service says why; systemctl start mirror-certificate.service asks again.',
    };
  if (isDue(certificate, now))
    return { name, verdict: 'alert', text: `${remaining(certificate, now)}: ${text}`, remedy: REMEDY[site.certificate] };
  return { name, verdict: 'ok', text };
}

const REMEDY: Readonly<Record<SiteDefinition['certificate'], string>> = {
  acme: 'It should have been renewed: journalctl -u mirror-certificate.service says why it was not.',
  declared: 'Put a new one into the project, and its key where main.ts says, and deploy.',
  made: 'On the server, as root: rm -r /etc/mirror/certificates/*/self-signed; then deploy: it makes another one.',
};

function unanswered({ serverName, tlsPort }: SiteDefinition, why: string): Check {
  return {
    name: 'certificate',
    verdict: 'alert',
    text: `${serverName} does not answer by TLS on port ${tlsPort}: ${why}`,
    remedy: 'systemctl status nginx.service; nginx -t.',
  };
}

async function authorities(directory: string, now: Date): Promise<readonly Check[]> {
  const base = join(directory, 'nginx/client-authorities');
  const due: string[] = [];
  const files = (await readdir(base).catch(() => [])).sort();
  for (const file of files) {
    const found = readCertificates(await readFile(join(base, file), 'utf8'));
    if ('allowed' in found) continue;
    for (const one of found.filter((certificate) => isDue(certificate, now)))
      due.push(`${file.slice(0, -'.pem'.length)}: ${remaining(one, now)}: ${describeCertificate(one)}`);
  }
  if (files.length === 0) return [];
  const name = 'authorities';
  if (due.length === 0) return [{ name, verdict: 'ok', text: `of clients of ${files.length} customers: none runs out soon` }];
  return [
    {
      name,
      verdict: 'alert',
      text: someOf(due, MAX_NAMED),
      remedy: 'Ask the customer for the next root certificate, and declare it beside this one.',
    },
  ];
}

function isDue(certificate: X509Certificate, now: Date): boolean {
  const lifetime = expiry(certificate).getTime() - new Date(certificate.validFrom).getTime();
  return expiry(certificate).getTime() - now.getTime() < Math.min(ALERT_DAYS * DAY, lifetime / 3);
}

function remaining(certificate: X509Certificate, now: Date): string {
  const days = Math.floor((expiry(certificate).getTime() - now.getTime()) / DAY);
  return days < 0 ? 'has run out' : `runs out in ${days} days`;
}

/** What a client would be shown, or why it would not. */
function servedCertificate({ serverName, tlsPort }: SiteDefinition): Promise<X509Certificate | string> {
  return new Promise((resolve) => {
    // Whether a client would trust it is another question: one that the server made nobody does.
    const socket = connect({ host: '127.0.0.1', port: tlsPort, servername: serverName, rejectUnauthorized: false }, () => {
      const { raw } = socket.getPeerCertificate();
      socket.end();
      resolve(new X509Certificate(raw));
    });
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('no answer within 5 s')));
    socket.on('error', (error: Error) => resolve(error.message));
  });
}
