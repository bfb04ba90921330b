/** What has to hold of a file before it is taken, depending on who says what of it. Pure. */
import { ExitCode } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import type { Checksum } from '../rpm-metadata/checksum';
import type { Keys } from './keys';
import type { Offer } from './places';
import type { Wanted } from './wanted';
import type { Proof } from './workspace';

/** A digest that decides, whoever the file comes from. */
export interface KnownDigest {
  readonly checksum: Checksum;
  readonly size: number | undefined;
  readonly proof: Proof;
  /** `the mirror says`, `starlingx.sha256 says`: before the digest, in messages. */
  readonly says: string;
}

export interface Requirement {
  readonly checksum: Checksum | undefined;
  readonly size: number | undefined;
  readonly says: string;
  readonly proof: Proof;
  /** One of these must have signed the package. */
  readonly keys?: Keys;
  /** Without a signature it is taken all the same, and its digest is written down. */
  readonly orFirstSight?: boolean;
}

/** @throws MirrorError where what is offered cannot be proven, or is known to be another file: nothing is fetched then */
export function requirementOf(wanted: Wanted, offer: Offer, known: KnownDigest | undefined, firstSight: boolean): Requirement {
  const { checksum, size, packageKeys } = offer;
  if (offer.refused !== undefined) throw offer.refused;
  const url = `${offer.sources.all[0] ?? ''}${offer.href}`;
  if (known !== undefined) {
    if (checksum?.algorithm === known.checksum.algorithm && checksum.hex !== known.checksum.hex)
      throw new DownloadError({
        kind: 'corrupt',
        message: `${url} has the ${checksum.algorithm} ${checksum.hex} by its metadata; ${known.says} ${known.checksum.hex}`,
        remedy: 'It is another file of the same name. What was recorded is right until it is reviewed again.',
      });
    return { checksum: known.checksum, size: known.size ?? size, says: known.says, proof: known.proof };
  }
  const says = 'its metadata says';
  if (packageKeys !== undefined && (checksum !== undefined || !packageKeys.isEmpty)) {
    if (packageKeys.isEmpty)
      throw new DownloadError({
        kind: 'refused',
        code: 'KEY_MISSING',
        message: `${url} has to be signed, and the key is not here`,
        remedy: offer.keysRemedy ?? 'Give the keys of upstreams by --keys.',
        exitCode: ExitCode.untrusted,
      });
    return { checksum, size, says, proof: 'package signature', keys: packageKeys, orFirstSight: checksum === undefined && firstSight };
  }
  if (checksum !== undefined && offer.proof !== undefined) return { checksum, size, says, proof: offer.proof };
  // Whether it is whole shows only once it is here.
  if (firstSight && packageKeys !== undefined)
    return { checksum: undefined, size: undefined, says, proof: 'first sight', keys: packageKeys, orFirstSight: true };
  if (firstSight) return { checksum: undefined, size: undefined, says, proof: 'first sight' };
  throw new DownloadError({
    kind: 'refused',
    code: 'DIGEST_UNKNOWN',
    message: `nothing says what ${url} must be: there is no signed metadata, no recorded digest${wanted.kind === 'package' ? ' and no key' : ''} for it`,
    remedy:
      'Record its digest in a file *.sha256 beside the list (sha256sum prints the line), or take it as it comes with --first-sight, which writes its digest to first-sight.sha256.',
    exitCode: ExitCode.untrusted,
  });
}
