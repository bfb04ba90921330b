import type { KeyReference, TrustDefinition } from '../desired-state/definitions';
import { reason } from '../desired-state/validate';
import { check, checkList } from './private/check';
import { checkKeys } from './private/public-keys';
import { sourcePosition } from './private/source';
import type { PublicKey } from './public-key';

/** What makes a repository's content trustworthy. Keys are pinned in the project, never taken from the host that is mirrored. */
export class Trust {
  /** Upstream signs `repomd.xml` (in `repomd.xml.asc`), and packages too. */
  static signedMetadata(keys: readonly PublicKey[]): Trust {
    return new Trust('signedMetadata', atLeastOne('Trust.signedMetadata', keys), '');
  }

  /** Upstream signs every package, but no metadata. */
  static signedPackages(keys: readonly PublicKey[]): Trust {
    return new Trust('signedPackages', atLeastOne('Trust.signedPackages', keys), '');
  }

  /** Upstream signs nothing: digests protect against damage, not against a forger. The reviewer reads why. */
  static digestsOnly(why: string): Trust {
    check('Trust.digestsOnly', 'why', why, reason);
    return new Trust('digestsOnly', [], why);
  }

  /**
   * The line that declared it.
   * @internal
   */
  readonly declaredAt = sourcePosition();

  private constructor(
    private readonly mode: TrustDefinition['mode'],
    readonly keys: readonly PublicKey[],
    private readonly why: string,
  ) {}

  /** As `mirrorctl` reads it. */
  definition(): TrustDefinition {
    if (this.mode === 'digestsOnly') return { mode: this.mode, reason: this.why };
    const keys: KeyReference[] = this.keys.map((k) => ({ file: `keys/${k.name}`, fingerprint: k.fingerprint }));
    return { mode: this.mode, keys };
  }
}

function atLeastOne(where: string, keys: readonly PublicKey[]): readonly PublicKey[] {
  checkList(where, 'keys', keys, 'key', () => undefined, 'Put the upstream\'s public key into keys/ and pass key("<file>").');
  checkKeys(where, keys);
  return [...keys];
}
