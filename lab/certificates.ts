/** The lab's certificate authority and the certificates of its upstream hosts, by openssl. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from './instance';
import { run } from './shell';

const YEARS = '3650';

/** The CA's certificate; makes it and one certificate per host when they are missing. */
export function certificatesUp(instance: Instance, hosts: readonly string[]): string {
  const directory = join(instance.state, 'tls');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const ca = join(directory, 'ca.crt');
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  if (!existsSync(ca)) {
    run([
      'openssl', 'req', '-x509', ...ec, '-keyout', join(directory, 'ca.key'), '-out', ca, '-days', YEARS, '-subj', `/CN=Package mirror lab ${instance.key}`,
      '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign',
    ]); // prettier-ignore
  }
  for (const host of hosts) {
    const certificate = join(directory, `${host}.crt`);
    if (existsSync(certificate)) continue;
    const request = join(directory, `${host}.csr`);
    const extensions = join(directory, `${host}.ext`);
    run(['openssl', 'req', ...ec, '-keyout', join(directory, `${host}.key`), '-out', request, '-subj', `/CN=${host}`]);
    writeFileSync(extensions, `subjectAltName=DNS:${host}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n`);
    run([
      'openssl', 'x509', '-req', '-in', request, '-CA', ca, '-CAkey', join(directory, 'ca.key'), '-CAcreateserial', '-days', YEARS,
      '-extfile', extensions, '-out', certificate,
    ]); // prettier-ignore
    for (const path of [request, extensions]) rmSync(path);
  }
  return ca;
}
