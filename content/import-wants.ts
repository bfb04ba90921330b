import { isWaived, type KeyReference } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { acceptedAlgorithms, type ChecksumAlgorithm } from '../rpm-metadata/checksum';
import type { Definitions } from './definitions';

/** What of a tree the syncs of this server could use, by what is declared: an import takes nothing else. */
export interface Wants {
  /** `any`: something that is declared publishes packages whoever signed them. `signed`: all of it wants a signature by a pinned key. */
  readonly packages: 'any' | 'signed';
  /** Keys that packages may be signed by. */
  readonly keys: readonly KeyReference[];
  /** Delta rpms, which upstream's metadata lists. */
  readonly deltas: boolean;
  /** Other files: a file tree knows them by checksums. */
  readonly files: boolean;
  /** Every algorithm by which metadata may ask for a file. */
  readonly algorithms: readonly ChecksumAlgorithm[];
}

/** Throws a MirrorError where nothing is declared that finds files by their checksums. Pure. */
export function wantsOf({ repositories, trees }: Pick<Definitions, 'repositories' | 'trees'>): Wants {
  const files = trees.some(({ trust }) => trust.mode !== 'none');
  if (repositories.length === 0 && !files) {
    throw new MirrorError({
      code: 'NOTHING_TO_IMPORT_FOR',
      message: 'no repository is declared on this server, and no file tree with checksums: no sync would find what is imported',
      remedy: 'Declare in main.ts what the tree is a copy of, deploy, and import then.',
      exitCode: ExitCode.usage,
    });
  }
  return {
    packages: files || repositories.some(({ trust }) => trust.mode !== 'signedPackages') ? 'any' : 'signed',
    keys: repositories.flatMap(({ trust }) => (trust.mode === 'signedPackages' ? trust.keys : [])),
    deltas: repositories.some(({ view }) => view === 'verbatim'),
    files,
    algorithms: acceptedAlgorithms({ weakChecksums: repositories.some((one) => isWaived(one, 'weakChecksums')) }),
  };
}
