/** What preflight finds out. Everything here is in the output of `--json`. */
import type { RepositoryDefinition } from '../../desired-state/definitions';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import type { Hop } from '../../downloads/http';
import type { Issuer } from '../../signatures/issuers';

/** One declared repository, with what belongs to it on this machine. */
export interface DeclaredRepository {
  readonly definition: RepositoryDefinition;
  /** Where main.ts declares its trust: `main.ts:69:12`. */
  readonly trustAt: string | undefined;
}

/** Something that a sync would stumble over. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  /** 5: cannot be had. 6: does not verify, or is not as declared. */
  readonly exitCode: 5 | 6;
}

/** Why an address gave nothing. */
export type Cause = 'dns' | 'refused' | 'timeout' | 'slow' | 'tls' | 'status' | 'redirect' | 'endless' | 'content' | 'connection';

export type SignatureFact =
  | { readonly state: 'absent' }
  /** `unchecked`: nothing is pinned to check it with. */
  | {
      readonly state: 'good' | 'bad' | 'untrusted' | 'unchecked';
      readonly by: readonly Issuer[];
      /** Primary key that made the good one. */
      readonly fingerprint?: string;
      readonly reason?: string;
    };

export interface AddressReport {
  readonly url: string;
  readonly seconds: number;
  /** Status of `repomd.xml`; undefined where there was no answer. */
  readonly status: number | undefined;
  readonly redirects: readonly Hop[];
  /** After redirects. */
  readonly finalUrl?: string;
  readonly lastModified?: string;
  readonly revision?: string;
  /** SHA-256 of `repomd.xml`: equal where addresses serve the same. */
  readonly repomd?: string;
  readonly signature?: SignatureFact;
  readonly cause?: Cause;
  readonly problem?: Problem;
}

export interface MetadataReport {
  readonly revision: string | undefined;
  /** The revision as a time, where it is one. */
  readonly changed: string | undefined;
  /** When it was made: the newest of the revision and of the times of its files. A sync compares `maxAgeDays` with it. */
  readonly made: string | undefined;
  readonly files: number;
  readonly bytes: number;
  /** Kinds of checksums, for instance `sha256`. */
  readonly digests: readonly string[];
  /** `unique`: each file is named by its checksum; `reused`: the next revision has other bytes under the same name. */
  readonly names: 'unique' | 'reused';
  readonly compressions: readonly string[];
  /** Has sqlite databases beside (or instead of) XML. */
  readonly databases: boolean;
}

export interface PackagesReport {
  /** Of those that the filter takes, as all that follows. */
  readonly count: number;
  /** Before the filter. */
  readonly listed: number;
  readonly bytes: number;
  readonly digests: readonly string[];
  readonly newestBuilt: string | undefined;
  /** How the package list is compressed, by its bytes. */
  readonly compression: string;
}

/** One package that was looked at. */
export interface SampleReport {
  readonly path: string;
  readonly chosenAs: readonly ('newest' | 'smallest' | 'largest')[];
  readonly declaredBytes: number;
  readonly bytes: number | undefined;
  readonly by: readonly Issuer[];
  readonly verdict: 'good' | 'unsigned' | 'foreign' | 'bad' | 'unchecked';
  /** `whole`: as a sync checks it; `header`: the signature of the header, which names the payload's digest. */
  readonly checked: 'whole' | 'header' | 'nothing';
  readonly reason?: string;
  readonly problem?: Problem;
}

/** A line of main.ts, as it is and as it should be. */
export interface Change {
  /** `main.ts:69`. */
  readonly at: string | undefined;
  readonly now: string | undefined;
  readonly then: string;
  /** Other repositories that this line declares. */
  readonly alsoFor: readonly string[];
}

export interface TrustReport {
  readonly declared: RepositoryDefinition['trust']['mode'];
  readonly verdict: 'fits' | 'could be stronger' | 'does not fit' | 'unknown';
  readonly text: string;
  readonly change?: Change;
}

export interface RepositoryReport {
  readonly id: string;
  /** `not looked at`: none of its sources is an address that preflight can ask. */
  readonly result: 'fits' | 'does not fit' | 'unreachable' | 'not looked at';
  readonly addresses: readonly AddressReport[];
  readonly trust: TrustReport;
  readonly metadata?: MetadataReport;
  readonly packages?: PackagesReport;
  readonly samples: readonly SampleReport[];
  readonly notes: readonly string[];
  readonly problems: readonly Problem[];
}

/** An error about an upstream as a problem of its repository; faults of this machine, and defects, are thrown on. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof MirrorError) || (error.exitCode !== ExitCode.unreachable && error.exitCode !== ExitCode.untrusted)) throw error;
  // The remedies are a sync's.
  const remedy = error.remedy.replace(/^Nothing was changed[.;] ?(the next run tries again\. )?/, '');
  return { code: error.code, message: error.message, remedy: remedy.charAt(0).toUpperCase() + remedy.slice(1), exitCode: error.exitCode };
}
