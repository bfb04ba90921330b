/** X.509 certificates: what they are for, who issued them, how nginx calls them. Pure. */
import { X509Certificate } from 'node:crypto';
import type { Problem } from './validate';

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/** The certificates of a PEM text in their order, or what is wrong with it. */
export function readCertificates(pem: string): readonly X509Certificate[] | Problem {
  const blocks = [...pem.matchAll(BLOCK)];
  if (blocks.some(([, type]) => type?.endsWith('PRIVATE KEY')))
    return {
      allowed: 'it holds a private key, and what it holds is public',
      fix: 'Take the key out, and pass it as a Secret. It is known now: make another one.',
    };
  if (blocks.length === 0 || blocks.some(([, type]) => type !== 'CERTIFICATE'))
    return {
      allowed: 'it holds certificates in PEM, and nothing else',
      fix: 'Convert it: openssl x509 -in FILE -inform DER -out FILE.pem.',
    };
  try {
    return blocks.map(([block]) => new X509Certificate(block));
  } catch {
    return { allowed: 'it holds a damaged certificate', fix: 'openssl x509 -in FILE -noout -text says what OpenSSL makes of it.' };
  }
}

/** One line for people. ACME servers issue certificates without a subject: they are called by their alternative names. */
export function describeCertificate(certificate: X509Certificate): string {
  // Node's types know no certificate without one.
  const subject = certificate.subject as string | undefined;
  const name = subject ? subject.split('\n').reverse().join(',') : (certificate.subjectAltName ?? 'without a name');
  return `${name}, by ${certificate.issuer.split('\n').reverse().join(',')}, until ${expiry(certificate).toISOString().slice(0, 10)}, SHA-256 ${certificate.fingerprint256.replaceAll(':', '').toLowerCase()}`;
}

export function expiry(certificate: X509Certificate): Date {
  return new Date(certificate.validTo);
}

/** Type and value; the value as RFC 2253 escapes it, where nothing but commas needs that. */
const PLAIN_ATTRIBUTE = /^[A-Za-z]+=(?! )([A-Za-z0-9 ._@:/()'-]|\\,)+(?<! )$/;

/**
 * The name of an authority as nginx writes it (`$ssl_client_i_dn`, RFC 2253), or what is wrong with that. Names are compared as text: with
 * others than these plain ones two could look the same, or be written in two ways.
 */
export function authorityName(certificate: X509Certificate): string | Problem {
  if (!certificate.ca || !certificate.checkIssued(certificate) || !certificate.verify(certificate.publicKey))
    return {
      allowed: 'an authority has a root certificate: signed by itself, with basicConstraints CA:TRUE',
      fix: "Name the root that issues the clients' certificates itself. What an authority below it issues is refused.",
    };
  const attributes = certificate.subject.split('\n');
  if (attributes.every((one) => PLAIN_ATTRIBUTE.test(one))) return [...attributes].reverse().join(',');
  return {
    allowed: "the name of an authority is plain ASCII text: letters, digits, spaces, and . _ @ : / ( ) ' - ,",
    fix: 'Have clients\' certificates issued by an authority with a name of its own, for instance "CN=acme clients".',
  };
}

/** Two names are the same to OpenSSL where they differ in case or spaces only. */
export function foldedName(name: string): string {
  return name.toLowerCase().replaceAll(/ +/g, ' ');
}
