import { mkdir, readFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { primaryFingerprints } from './pinned-keys';
import { run } from './run';

/** The mirror's own key, as it is handed out. */
export interface SigningIdentity {
  readonly fingerprint: string;
  /** Armoured. */
  readonly publicKey: string;
}

/**
 * Signs with the mirror's secret key. The key arrives as a file (armoured, without passphrase) and is imported into `home`; signatures of
 * the same bytes are made once.
 */
export class Signer {
  private readonly made = new Map<string, Promise<string>>();

  private constructor(
    private readonly home: string,
    readonly identity: SigningIdentity,
  ) {}

  /** Imports the key. One gpg-agent serves all signatures until `close`. */
  static async open(keyFile: string, home: string): Promise<Signer> {
    const secret = await readSecret(keyFile);
    await mkdir(home, { recursive: true, mode: 0o700 });
    const base = baseOptions(home);
    const shown = await run('gpg', [...base, '--with-colons', '--show-keys'], { input: secret });
    const [fingerprint, ...others] = primaryFingerprints(shown.stdout);
    if (fingerprint === undefined || !/^sec:/m.test(shown.stdout)) throw keyError(`${keyFile} holds no OpenPGP secret key`);
    if (others.length > 0) throw keyError(`${keyFile} holds ${others.length + 1} keys; the mirror signs with one`);
    const imported = await run('gpg', [...base, '--import'], { input: secret });
    const exported = await run('gpg', [...base, '--armor', '--export', `0x${fingerprint}`]);
    const signer = new Signer(home, { fingerprint, publicKey: exported.stdout });
    if (imported.code === 0 && exported.stdout !== '') return signer;
    await signer.close();
    throw keyError(`gpg cannot import ${keyFile}: ${imported.stderr.trim()}`);
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

  /** Ends the agent: nothing keeps the key in memory. */
  async close(): Promise<void> {
    await run('gpgconf', ['--homedir', this.home, '--kill', 'all']);
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

function baseOptions(home: string): string[] {
  // A loopback without a passphrase makes a protected key an error at once, instead of a question that nobody sees.
  return ['--homedir', home, '--batch', '--no-tty', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', ''];
}

async function readSecret(keyFile: string): Promise<Buffer> {
  return readFile(keyFile).catch((error: NodeJS.ErrnoException) => {
    throw new MirrorError({
      code: 'SIGNING_KEY_UNREADABLE',
      message: `the signing key ${keyFile} cannot be read: ${error.message}`,
      remedy: 'Deploy with the signing key, and see that the file is readable for the user mirror; or name it by --signing-key.',
      exitCode: ExitCode.environment,
    });
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
