/**
 * The site's certificate: checked before anything changes, made where the server makes it itself, and taken over from certbot. What nginx reads is
 * a directory of ours, switched by one rename: whatever certbot does, the site has a certificate and its key.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { sha256 } from '../desired-state/canonical';
import { describeCertificate, expiry, readCertificates } from '../desired-state/certificates';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { CERTIFICATE_FILE, TLS_KEY, type ActivationRequest, type DesiredState } from '../desired-state/model';
import type { Reporter } from './events';
import { ensureDirectory, kindOf, linkTarget, namesIn, readIfPresent, replaceSymlink, syncDirectory, writeSynced } from './files';
import type { Manifest } from './manifest';
import { reloadNginx } from './nginx';
import type { HostPaths } from './paths';
import { lastWords, run } from './run';

/** The certificate that the server makes itself, below the directory of a name. */
const MADE = 'self-signed';
/** The one that nginx reads: a link to `MADE`, or to a directory that came from certbot. */
const SERVING = 'serving';
const CHAIN = 'fullchain.pem';
const KEY = 'privkey.pem';
/** Of what the server makes: nobody renews it. */
const DAYS = '3650';
const SERVICE = 'mirror-certificate.service';
/** nginx takes over within this time. */
const TAKEN_OVER_MS = 10_000;
/** A deploy waits so long for the first certificate. */
const ORDER_SECONDS = 90;

/**
 * Judges a declared certificate and its key. Throws MirrorError (invalid) where a client would not accept them. One that ran out while it served
 * is told: it must not keep the operator from deploying what mends something else.
 */
export function checkCertificate(
  { desiredState: desired, secrets }: ActivationRequest,
  before: Manifest,
  now: Date,
  report: Reporter,
): void {
  if (desired.tls?.certificate !== 'declared') return;
  const pem = desired.elements.flatMap(({ files }) => files[CERTIFICATE_FILE] ?? [])[0] ?? '';
  const site = judgePair(pem, secrets[TLS_KEY] ?? '', desired.probe.serverName);
  if (expiry(site) > now) return;
  const fault = `the certificate has run out: ${describeCertificate(site)}`;
  if (before.files[CERTIFICATE_FILE] !== sha256(pem)) throw refused(fault, 'Declare one that is valid.');
  report.warning(`${fault}; it serves already, and goes on`);
}

/** The site's certificate of a chain, where the key is its key and it names the site. Throws MirrorError. */
function judgePair(pem: string, keyPem: string, serverName: string): X509Certificate {
  const chain = readCertificates(pem);
  if ('allowed' in chain) throw refused(`${CHAIN}: ${chain.allowed}`, chain.fix);
  const site = chain[0] as X509Certificate;
  const key = privateKey(keyPem);
  if (!site.checkPrivateKey(key))
    throw refused(
      `the key is not that of the certificate (${describeCertificate(site)})`,
      `Name the key that the certificate was made for, or the certificate of that key: the secret is called ${TLS_KEY}.`,
    );
  if (site.checkHost(serverName) === undefined)
    throw refused(
      `the certificate is not for ${serverName} (${describeCertificate(site)})`,
      'Have one made with this name in its subjectAltName.',
    );
  return site;
}

function privateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw refused(
      `the secret ${TLS_KEY} holds no private key that can be read`,
      'It is a key in PEM without a passphrase: openssl pkey -in FILE -out FILE.open takes one away.',
    );
  }
}

/** Makes what the server makes itself: the certificate for ever, or until an ACME server has issued one. */
export async function ensureCertificate(
  paths: HostPaths,
  { tls, probe }: Pick<DesiredState, 'tls' | 'probe'>,
  report: Reporter,
): Promise<void> {
  if (tls === undefined || tls.certificate === 'declared') return;
  const directory = join(paths.certificates, probe.serverName);
  ensureDirectory(paths.certificates, 0o700);
  ensureDirectory(directory, 0o700);
  if (!isWhole(join(directory, MADE))) await makeCertificate(directory, probe.serverName, report);
  if (linkTarget(join(directory, SERVING)) === undefined || !isWhole(join(directory, SERVING))) pointTo(directory, MADE);
}

async function makeCertificate(directory: string, name: string, report: Reporter): Promise<void> {
  const temporary = join(directory, `.${MADE}.new`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { mode: 0o700 });
  const options = ['-newkey', 'rsa:2048', '-nodes', '-keyout', join(temporary, KEY), '-out', join(temporary, CHAIN), '-days', DAYS];
  const subject = ['-subj', `/CN=${name.slice(0, 64)}`, '-addext', `subjectAltName=DNS:${name}`, '-addext', 'extendedKeyUsage=serverAuth'];
  const made = await run('openssl', ['req', '-x509', ...options, ...subject]);
  if (made.exitCode !== 0 || !isWhole(temporary))
    throw new MirrorError({
      code: 'CERTIFICATE_NOT_MADE',
      message: `openssl made no certificate: ${lastWords(made)}`,
      remedy: 'See `df -h /etc` on the server, then deploy again.',
      exitCode: ExitCode.environment,
    });
  await run('sync', ['-f', temporary]);
  rmSync(join(directory, MADE), { recursive: true, force: true });
  renameSync(temporary, join(directory, MADE));
  syncDirectory(directory);
  report.progress(`made a certificate for ${name} that no client trusts by itself`);
}

/** What is missing of a certificate that this server has made or got. */
export function certificateDeviations(paths: HostPaths, { tls, probe }: Manifest): string[] {
  if (tls === undefined || probe === undefined || tls.certificate === 'declared') return [];
  const directory = join(paths.certificates, probe.serverName, tls.certificate === 'made' ? MADE : SERVING);
  return isWhole(directory) ? [] : [`${directory} missing`];
}

/**
 * Takes what certbot has, where it is another than what serves, and lets nginx read it. Throws MirrorError where nginx would not, or clients
 * would not: what serves then goes on.
 *
 * @param live certbot's directory of the certificate
 */
export async function takeCertificate(paths: HostPaths, live: string, { tls, probe }: Manifest, report: Reporter): Promise<void> {
  if (tls?.certificate !== 'acme' || probe === undefined)
    throw refused('the site has no certificate by ACME', 'Deploy Tls.acme first. Nothing was changed.');
  const directory = join(paths.certificates, probe.serverName);
  const [pem, key] = [readIfPresent(join(live, CHAIN)) ?? '', readIfPresent(join(live, KEY)) ?? ''];
  const site = judgePair(pem, key, probe.serverName);
  const name = sha256(`${pem}${key}`).slice(0, 12);
  if (linkTarget(join(directory, SERVING)) === name && isWhole(join(directory, name))) {
    report.progress(`serves ${describeCertificate(site)}`);
    return;
  }
  const target = join(directory, name);
  ensureDirectory(target, 0o700);
  writeSynced(join(target, KEY), key, 0o400);
  writeSynced(join(target, CHAIN), pem, 0o444);
  syncDirectory(target);
  const former = linkTarget(join(directory, SERVING));
  pointTo(directory, name);
  try {
    const tested = await run('nginx', ['-t', '-q']);
    if (tested.exitCode !== 0) throw refused(`nginx does not accept it: ${lastWords(tested)}`, 'See nginx -t.');
    await reloadNginx();
    await untilServed(site, probe.serverName, tls.port);
  } catch (error) {
    if (former !== undefined) pointTo(directory, former);
    throw error;
  }
  for (const other of namesIn(directory).filter((one) => /^[0-9a-f]{12}$/.test(one) && one !== name))
    rmSync(join(directory, other), { recursive: true, force: true });
  report.progress(`serves ${describeCertificate(site)} from now on`);
}

/** nginx takes a configuration over in its own time, and tells its log alone when it cannot. */
async function untilServed(site: X509Certificate, serverName: string, port: number): Promise<void> {
  for (const started = Date.now(); Date.now() - started < TAKEN_OVER_MS; await sleep(50))
    if ((await servedFingerprint(serverName, port)) === site.fingerprint256) return;
  throw refused(`nginx does not serve it after ${TAKEN_OVER_MS / 1000} s`, 'See /var/log/nginx/error.log.');
}

/** Undefined where nobody answers. */
function servedFingerprint(servername: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.setTimeout(3000, () => socket.destroy(new Error('no answer')));
    socket.on('error', () => resolve(undefined));
  });
}

/** Where an ACME server has issued nothing yet, it is asked now, and the deploy says what came of it. It never fails a deploy. */
export async function orderCertificate(paths: HostPaths, { tls, probe }: Manifest, report: Reporter): Promise<void> {
  if (tls?.certificate !== 'acme' || probe === undefined) return;
  const serving = join(paths.certificates, probe.serverName, SERVING);
  if (linkTarget(serving) !== MADE) return;
  report.progress(`asking for a certificate for ${probe.serverName}`);
  const started = await run('systemctl', ['start', SERVICE], { timeoutSeconds: ORDER_SECONDS });
  if (started.exitCode === 0 && linkTarget(serving) !== MADE) {
    report.progress(`a certificate for ${probe.serverName} was issued, and serves`);
    return;
  }
  const journal = await run('journalctl', [`_SYSTEMD_UNIT=${SERVICE}`, '-n', '12', '--no-pager', '-o', 'cat']);
  report.warning(
    `there is no certificate for ${probe.serverName} yet, and the site serves one that no client trusts. certbot says: ${wordsOfCertbot(journal.stdout)}. ` +
      `It is asked for again twice a day; at once: systemctl start ${SERVICE}`,
  );
}

/** Without where its log is, and whom to ask. Pure. */
export function wordsOfCertbot(journal: string): string {
  const last = journal.split(/^Saving debug log.*$/m).at(-1) ?? '';
  const lines = last.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !/^(Ask for help|Hint:)/.test(line)).join('; ') || 'nothing';
}

function isWhole(directory: string): boolean {
  return [CHAIN, KEY].every((file) => kindOf(join(directory, file)) === 'file');
}

function pointTo(directory: string, name: string): void {
  replaceSymlink(join(directory, SERVING), name);
  syncDirectory(directory);
}

function refused(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'CERTIFICATE_REFUSED', message, remedy, exitCode: ExitCode.invalid });
}
