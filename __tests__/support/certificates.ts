/** Real certificates for tests, by openssl, in a temporary directory that goes with the test file. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const directory = mkdtempSync(join(tmpdir(), 'mirror-certificates-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

export const fileOf = (name: string): string => join(directory, name);
export const textOf = (name: string): string => readFileSync(fileOf(name), 'utf8');

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'ignore'] });
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** `<name>.pem` and `<name>.key`, signed by itself. */
export function selfSigned(
  name: string,
  subject: string,
  extensions: readonly string[] = ['basicConstraints=critical,CA:TRUE'],
  days = 90,
): string {
  const added = extensions.flatMap((one) => ['-addext', one]);
  openssl('req', '-x509', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', String(days), '-subj', subject, ...added);
  return fileOf(`${name}.pem`);
}

/** `<name>.pem` and `<name>.key`, signed by `by`; what `chain` names follows in the file. */
export function issued(
  name: string,
  by: string,
  options: { extensions: string; days?: number; chain?: readonly string[]; subject?: string },
): string {
  openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', options.subject ?? `/CN=${name}`);
  writeFileSync(fileOf(`${name}.ext`), `${options.extensions}\n`);
  const days = String(options.days ?? 60);
  const issuer = ['-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial'];
  openssl('x509', '-req', '-in', `${name}.csr`, ...issuer, '-days', days, '-extfile', `${name}.ext`, '-out', `${name}.pem`);
  writeFileSync(fileOf(`${name}.pem`), [name, ...(options.chain ?? [])].map((one) => textOf(`${one}.pem`)).join(''));
  return fileOf(`${name}.pem`);
}
