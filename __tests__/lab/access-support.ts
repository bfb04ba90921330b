/** Clients with passwords and certificates, and what real curl gets with them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { labEnvironment, must, NAME, run } from './support';
import { sha256 } from '../../desired-state/canonical';

/** Where keys and certificates of a test are. */
export class Workshop {
  readonly directory = mkdtempSync(join(tmpdir(), 'mirror-access-'));
  readonly at = (name: string): string => join(this.directory, name);

  /** A root certificate `<name>.pem` with this subject (`/CN=…`). */
  authority(name: string, subject: string): string {
    const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    this.openssl('req', '-x509', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '90', '-subj', subject, ...extensions);
    return this.at(`${name}.pem`);
  }

  /** A certificate `<name>.pem` by an authority of this workshop; `bundle` names what is sent along. */
  issue(
    name: string,
    subject: string,
    by: string,
    options: { extensions?: string; days?: number; bundle?: readonly string[] } = {},
  ): string {
    this.openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    writeFileSync(this.at(`${name}.ext`), options.extensions ?? 'extendedKeyUsage=clientAuth\n');
    const days = String(options.days ?? 30);
    const issuer = ['-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial'];
    this.openssl('x509', '-req', '-in', `${name}.csr`, ...issuer, '-days', days, '-extfile', `${name}.ext`, '-out', `${name}.pem`);
    const chain = [name, ...(options.bundle ?? [])].map((one) => readFileSync(this.at(`${one}.pem`), 'utf8'));
    writeFileSync(this.at(`${name}.pem`), chain.join(''));
    return this.at(`${name}.pem`);
  }

  /** A file of a user with a password, hashed as `openssl passwd` does by this option. */
  users(name: string, users: Readonly<Record<string, string>>, method = '-6'): string {
    const lines = Object.entries(users).map(([user, word]) => `${user}:${this.openssl('passwd', method, word).trim()}\n`);
    writeFileSync(this.at(name), lines.join(''));
    return this.at(name);
  }

  openssl(...args: string[]): string {
    return must('openssl', args, { cwd: this.directory });
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export interface Reply {
  readonly status: number;
  /** Digest of the body. */
  readonly body: string;
}

/** What curl gets for each address, as it is written, with these options; status 0: no answer at all. */
export function curl(options: readonly string[], urls: readonly string[]): Reply[] {
  const directory = mkdtempSync(join(tmpdir(), 'mirror-curl-'));
  try {
    const address = labEnvironment()['MIRROR_ADDRESS'] as string;
    const common = ['-s', '--path-as-is', '--globoff', '-w', '%{http_code}\\n', '--connect-timeout', '5'];
    const resolve = ['80', '443'].flatMap((port) => ['--resolve', `${NAME}:${port}:${address}`]);
    const each = urls.flatMap((url, index) => ['-o', join(directory, String(index)), url]);
    const { stdout } = run('curl', [...common, ...resolve, ...options, ...each]);
    const statuses = stdout.trim().split('\n').map(Number);
    return urls.map((_, index) => ({ status: statuses[index] ?? 0, body: digestOf(join(directory, String(index))) }));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function digestOf(path: string): string {
  try {
    return sha256(readFileSync(path)).slice(0, 12);
  } catch {
    return 'nothing';
  }
}
