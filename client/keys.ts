/** The keys that a run trusts: the mirror's, and those of upstreams. Programs that judge signatures start only when one has to be judged. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { PackageVerifier } from '../signatures/packages';
import { buildKeyRing, type KeyRing, primaryFingerprints } from '../signatures/pinned-keys';
import { run } from '../signatures/run';
import { usableKeys } from '../signatures/usable-keys';

/** Some key files, and what is made of them when it is needed. */
export class Keys {
  private built: Promise<KeyRing> | undefined;
  private packages: Promise<PackageVerifier> | undefined;

  /**
   * @param files armoured public keys; every key in them is trusted
   * @param directory for what is made of them; made when needed
   */
  constructor(
    readonly files: readonly string[],
    private readonly directory: string,
  ) {}

  get isEmpty(): boolean {
    return this.files.length === 0;
  }

  /** Tells one set of keys from another. */
  get digest(): string {
    const hash = createHash('sha256');
    for (const file of this.files) hash.update(readKey(file));
    return hash.digest('hex');
  }

  ring(): Promise<KeyRing> {
    this.built ??= this.build();
    return this.built;
  }

  /** Checks packages by the keys of these files that are neither expired nor revoked; with none, only whether packages are whole. */
  async verifier(): Promise<PackageVerifier> {
    this.packages ??= this.isEmpty
      ? PackageVerifier.create(undefined, join(this.directory, 'rpm'))
      : this.ring().then(async (ring) =>
          PackageVerifier.create((await usableKeys(ring, join(this.directory, 'ring'))).ring, join(this.directory, 'rpm')),
        );
    return this.packages;
  }

  private async build(): Promise<KeyRing> {
    const pinned = [];
    for (const path of this.files) {
      const shown = await run('gpg', ['--batch', '--no-tty', '--quiet', '--with-colons', '--show-keys'], { input: readKey(path) });
      const fingerprints = primaryFingerprints(shown.stdout);
      if (fingerprints.length === 0)
        throw new MirrorError({
          code: 'KEY_UNUSABLE',
          message: `${path} holds no OpenPGP public key`,
          remedy: 'Get the armoured public key again, and look at it with gpg --show-keys.',
          exitCode: ExitCode.untrusted,
        });
      pinned.push(...fingerprints.map((fingerprint) => ({ path, fingerprint })));
    }
    return buildKeyRing(pinned, join(this.directory, 'ring'));
  }
}

/** The directory of `--keys`. */
export class UpstreamKeys {
  private readonly sets = new Map<string, Keys>();
  private readonly files: readonly string[];

  constructor(
    private readonly directory: string | undefined,
    private readonly temporary: string,
  ) {
    this.files = directory === undefined ? [] : keyFiles(directory);
  }

  /** All of them: for what has no repository that would name its keys. */
  all(): Keys {
    return this.set(this.files);
  }

  /**
   * Those that a repository names by `gpgkey`, found by the names of their files; all of them where it names none. A key of one upstream says
   * nothing about the packages of another.
   */
  named(gpgkeys: readonly string[]): Keys {
    if (gpgkeys.length === 0) return this.all();
    const names = new Set(gpgkeys.map((key) => basename(key)));
    return this.set(this.files.filter((file) => names.has(basename(file))));
  }

  /** What to do where keys are missing. */
  remedy(gpgkeys: readonly string[]): string {
    const names = gpgkeys.map((key) => basename(key)).join(', ');
    const what = names === '' ? "the upstream's public key" : names;
    return this.directory === undefined ? `Put ${what} into a directory, and give that by --keys.` : `Put ${what} into ${this.directory}.`;
  }

  private set(files: readonly string[]): Keys {
    const key = files.join('\n');
    const known = this.sets.get(key);
    if (known !== undefined) return known;
    const made = new Keys(files, join(this.temporary, `keys-${this.sets.size}`));
    this.sets.set(key, made);
    return made;
  }
}

function keyFiles(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .sort()
      .map((name) => join(directory, name))
      .filter((path) => statSync(path).isFile());
  } catch (error) {
    throw unreadable(directory, error);
  }
}

function readKey(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): MirrorError {
  return new MirrorError({
    code: 'KEY_UNREADABLE',
    message: `${path} cannot be read: ${(error as Error).message}`,
    remedy: 'Give the file of the mirror by --key, and the directory of upstreams by --keys.',
    exitCode: ExitCode.invalid,
  });
}
