import type { KeyReference, TreeTrustDefinition } from '../desired-state/definitions';
import { reason, treePath } from '../desired-state/validate';
import { check, checkList, checkProps } from './private/check';
import { checkKeys } from './private/public-keys';
import type { PublicKey } from './public-key';

/**
 * What makes the files of a tree trustworthy. Whatever it is, a file that it does not cover is refused. Paths are relative to the tree's
 * base; the names in a checksum file are relative to the folder that it lies in.
 */
export class TreeTrust {
  /**
   * Upstream signs its checksum files: within them (`sha256sum.txt.asc` of CentOS, `CHECKSUM` of Fedora), or by a file beside them (`.asc`,
   * `.sig`, `.gpg`, `.sign`).
   *
   * @param props.files for instance `['sha256sum.txt.asc']`; `.treeinfo` is one, too
   */
  static signedChecksums(props: { readonly files: readonly string[]; readonly keys: readonly PublicKey[] }): TreeTrust {
    checkProps('TreeTrust.signedChecksums', props, { files: true, keys: true });
    checkFiles('TreeTrust.signedChecksums', props.files);
    checkList('TreeTrust.signedChecksums', 'keys', props.keys, 'key', () => undefined, "Put the upstream's public key into keys/.");
    checkKeys('TreeTrust.signedChecksums', props.keys);
    return new TreeTrust(props.keys, {
      mode: 'signedChecksums',
      files: [...props.files],
      keys: props.keys.map((key): KeyReference => ({ file: `keys/${key.name}`, fingerprint: key.fingerprint })),
    });
  }

  /** Upstream has checksum files that nobody signed: they protect against damage, not against a forger. The reviewer reads why. */
  static checksums(props: { readonly files: readonly string[]; readonly reason: string }): TreeTrust {
    checkProps('TreeTrust.checksums', props, { files: true, reason: true });
    checkFiles('TreeTrust.checksums', props.files);
    check('TreeTrust.checksums', 'reason', props.reason, reason);
    return new TreeTrust([], { mode: 'checksums', files: [...props.files], reason: props.reason });
  }

  /** An install tree, whose `.treeinfo` has the checksums of its images: the same as `checksums` with that file. */
  static treeinfo(why: string): TreeTrust {
    check('TreeTrust.treeinfo', 'reason', why, reason);
    return new TreeTrust([], { mode: 'checksums', files: ['.treeinfo'], reason: why });
  }

  /** Upstream has no checksums: there is nothing but TLS and the size that its server announces. The reviewer reads why. */
  static none(why: string): TreeTrust {
    check('TreeTrust.none', 'reason', why, reason);
    return new TreeTrust([], { mode: 'none', reason: why });
  }

  private constructor(
    readonly keys: readonly PublicKey[],
    /** As `mirrorctl` reads it. */
    readonly definition: TreeTrustDefinition,
  ) {}
}

function checkFiles(where: string, files: readonly string[]): void {
  checkList(where, 'files', files, 'checksum file', treePath, 'For instance ["sha256sum.txt"].');
}
