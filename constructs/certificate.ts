import type { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readCertificates } from '../desired-state/certificates';
import { keyFileName } from '../desired-state/validate';
import { check, invalid } from './private/check';

/** Bytes. */
const MAX_FILE = 256 * 1024;

/** X.509 certificates in a PEM file of the project: public, and so part of the plan. */
export class Certificate {
  /** @param path relative to the project; a chain has the certificate first, then each one's issuer */
  static fromFile(path: string): Certificate {
    check('Certificate.fromFile', 'path', basename(path), keyFileName);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats?.isFile() || stats.size > MAX_FILE) {
      throw invalid('Certificate.fromFile', 'path', JSON.stringify(path), {
        allowed: `certificates are in a regular file of at most ${MAX_FILE} bytes`,
        fix: 'Put the PEM file into the project, for instance into certificates/.',
      });
    }
    const found = readCertificates(readFileSync(path, 'utf8'));
    if ('allowed' in found) throw invalid('Certificate.fromFile', 'path', JSON.stringify(path), found);
    // In one spelling, whatever stands around the certificates in the file.
    return new Certificate(basename(path), found, found.map(String).join(''));
  }

  /** A function that reads certificates from one directory: `const certificate = Certificate.from('certificates'); certificate('acme-ca.pem')`. */
  static from(directory: string): (name: string) => Certificate {
    return (name) => Certificate.fromFile(join(directory, name));
  }

  private constructor(
    readonly name: string,
    /** @internal */
    readonly chain: readonly X509Certificate[],
    readonly pem: string,
  ) {}
}
