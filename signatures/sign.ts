import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { primaryFingerprints } from './pinned-keys';
import { run } from './run';

/** The mirror's own key, as it is handed out. */
export interface SigningIdentity {
  readonly fingerprint: string;
  /** Armoured. */
  readonly publicKey: string;
}

/** Start of the names of gpg's temporary directories. */
const HOME = '.gnupg-';

/**
 * Signs with the mirror's secret key. The key arrives as a file (armoured, without passphrase; `-` is standard input) and is imported into a
 * directory that lives as long as the signer; signatures of the same bytes are made once.
 */
export class Signer {
  private readonly made = new Map<string, Promise<string>>();

  private constructor(
    private readonly home: string,
    readonly identity: SigningIdentity,
  ) {}

  /** Imports the key into a new directory below `directory`. One gpg-agent serves all signatures until `close`. */
  static async open(keyFile: string, directory: string): Promise<Signer> {
    const secret = await readSecret(keyFile);
    const home = await mkdtemp(join(directory, HOME));
    try {
      const base = baseOptions(home);
      const shown = await run('gpg', [...base, '--with-colons', '--show-keys'], { input: secret });
      const [fingerprint, ...others] = primaryFingerprints(shown.stdout);
      if (fingerprint === undefined || !/^sec:/m.test(shown.stdout)) throw keyError(`${keyFile} holds no OpenPGP secret key`);
      if (others.length > 0) throw keyError(`${keyFile} holds ${others.length + 1} keys; the mirror signs with one`);
      const imported = await run('gpg', [...base, '--import'], { input: secret });
      const exported = await run('gpg', [...base, '--armor', '--export', `0x${fingerprint}`]);
      if (imported.code !== 0 || exported.stdout === '') throw keyError(`gpg cannot import ${keyFile}: ${imported.stderr.trim()}`);
      return new Signer(home, { fingerprint, publicKey: exported.stdout });
    } catch (error) {
      await end(home);
      throw error;
    }
  }

  /** Removes what killed runs left below `directory`. Only for the holder of the lock under which signers are opened. */
  static async removeLeftovers(directory: string): Promise<void> {
    const names = await readdir(directory).catch(() => []);
    for (const name of names.filter((n) => n.startsWith(HOME))) await end(join(directory, name));
  }

  /** A detached armoured signature. */
  async sign(bytes: Uint8Array): Promise<string> {
    const digest = createHash('sha256').update(bytes).digest('hex');
    let signature = this.made.get(digest);
    if (signature === undefined) {
      signature = this.signNow(bytes);
      this.made.set(digest, signature);
    }
    return signature;
  }

  async close(): Promise<void> {
    await end(this.home);
  }

  private async signNow(bytes: Uint8Array): Promise<string> {
    const argv = [
      ...baseOptions(this.home),
      '--local-user',
      `0x${this.identity.fingerprint}`,
      '--digest-algo',
      'SHA512',
      '--armor',
      '--detach-sign',
    ];
    const result = await run('gpg', argv, { input: bytes });
    if (result.code !== 0) throw keyError(`gpg cannot sign with ${this.identity.fingerprint}: ${result.stderr.trim()}`);
    return result.stdout;
  }
}

/** SHA-256 (hex) of the secret key file: tells whether it changed without keeping any of it. */
export async function signingKeyDigest(keyFile: string): Promise<string> {
  return createHash('sha256')
    .update('mirror signing key\n')
    .update(await readSecret(keyFile))
    .digest('hex');
}

/** Ends the agent and removes its directory: nothing keeps the key, in memory or on disk. */
async function end(home: string): Promise<void> {
  await run('gpgconf', ['--homedir', home, '--kill', 'all']);
  await rm(home, { recursive: true, force: true });
}

function baseOptions(home: string): string[] {
  // A loopback without a passphrase makes a protected key an error at once, instead of a question that nobody sees.
  return ['--homedir', home, '--batch', '--no-tty', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
}

let standardInput: Promise<Buffer> | undefined;

async function readSecret(keyFile: string): Promise<Buffer> {
  // Standard input can be read once.
  if (keyFile === '-') return (standardInput ??= readStandardInput());
  return readFile(keyFile).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(`the signing key ${keyFile} cannot be read: ${error.message}`);
  });
}

async function readStandardInput(): Promise<Buffer> {
  if (process.stdin.isTTY) throw unreadable('the signing key is expected on standard input, which is a terminal');
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function unreadable(message: string): MirrorError {
  return new MirrorError({
    code: 'SIGNING_KEY_UNREADABLE',
    message,
    remedy: 'As root: mirrorctl prepare < /etc/mirror/secrets/signing-key; or name another file by --signing-key.',
    exitCode: ExitCode.environment,
  });
}

function keyError(message: string): MirrorError {
  return new MirrorError({
    code: 'SIGNING_KEY_UNUSABLE',
    message,
    remedy: 'Give one secret key without passphrase: gpg --armor --export-secret-keys FINGERPRINT.',
    exitCode: ExitCode.invalid,
  });
}
