import type { X509Certificate } from 'node:crypto';
import { basename, join } from 'node:path';
import { readCertificates } from '../desired-state/certificates';
import { invalid } from './private/check';
import { readProjectFile } from './private/project-file';

/** X.509 certificates in a PEM file of the project: public, and so part of the plan. */
export class Certificate {
  /** @param path relative to the project; a chain has the certificate first, then each one's issuer */
  static fromFile(path: string): Certificate {
    const fix = 'Put the PEM file into the project, for instance into certificates/.';
    const found = readCertificates(readProjectFile('Certificate.fromFile', path, 'certificates are in', fix));
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
