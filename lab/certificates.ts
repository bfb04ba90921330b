/** The lab's certificate authority and the certificates of its upstream hosts, by openssl. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from './instance';
import { run } from './shell';

const YEARS = '3650';
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Name of the file of the one certificate that has the names of all upstream hosts. */
export const UPSTREAM_CERTIFICATE = 'upstreams';

/** The CA's certificate; makes it, and the certificate of the hosts, when they are missing. */
export function certificatesUp(instance: Instance, hosts: readonly string[]): string {
  const directory = join(instance.state, 'tls');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const ca = join(directory, 'ca.crt');
  if (!existsSync(ca)) {
    run([
      'openssl', 'req', '-x509', ...EC, '-keyout', join(directory, 'ca.key'), '-out', ca, '-days', YEARS, '-subj', `/CN=Package mirror lab ${instance.key}`,
      '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign',
    ]); // prettier-ignore
  }
  certificateFor(instance, UPSTREAM_CERTIFICATE, hosts.map((host) => `DNS:${host}`).join(','));
  return ca;
}

/** The certificate of a server, made when it is missing; its key is beside it (`.key`). */
export function certificateFor(instance: Instance, name: string, alternativeName: string): string {
  const directory = join(instance.state, 'tls');
  const certificate = join(directory, `${name}.crt`);
  if (existsSync(certificate)) return certificate;
  const request = join(directory, `${name}.csr`);
  const extensions = join(directory, `${name}.ext`);
  run(['openssl', 'req', ...EC, '-keyout', join(directory, `${name}.key`), '-out', request, '-subj', `/CN=${name}`]);
  writeFileSync(extensions, `subjectAltName=${alternativeName}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n`);
  run([
    'openssl', 'x509', '-req', '-in', request, '-CA', join(directory, 'ca.crt'), '-CAkey', join(directory, 'ca.key'), '-CAcreateserial',
    '-days', YEARS, '-extfile', extensions, '-out', certificate,
  ]); // prettier-ignore
  for (const path of [request, extensions]) rmSync(path);
  return certificate;
}
