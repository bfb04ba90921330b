/** Where files can be had, and what has to be proven of what comes from there. */
import type { MirrorError } from '../desired-state/errors';
import type { HttpClient } from '../downloads/http';
import type { ArchiveSource } from '../downloads/made-archive';
import type { Sources } from '../downloads/sources';
import type { Checksum } from '../rpm-metadata/checksum';
import type { Keys } from './keys';
import type { Side } from './settings';
import type { Wanted } from './wanted';
import type { Proof } from './workspace';

/** One file, as a place has it. */
export interface Offer {
  readonly client: HttpClient;
  /** Directories that have it, in the order of preference. */
  readonly sources: Sources;
  /** Below each of them. */
  readonly href: string;
  readonly checksum: Checksum | undefined;
  readonly size: number | undefined;
  /** What the checksum is worth; undefined where there is none. */
  readonly proof: Proof | undefined;
  /** The package must be signed by one of these, unless its digest is known from elsewhere. */
  readonly packageKeys?: Keys;
  /** What to do where they are missing. */
  readonly keysRemedy?: string;
  /** Why it cannot be had there, where that is known before anything is asked. */
  readonly refused?: MirrorError;
  /** Nobody has it as a file: it is made of this. */
  readonly make?: ArchiveSource;
}

export interface Place {
  /** In the words of the report: `mirror: lists of master`, `upstream: StarlingX-C7.6.1810-os (vault.centos.org)`. */
  readonly name: string;
  readonly side: Side;
  /** True: what it says of a file decides, whoever the file comes from. */
  readonly authority: boolean;
  /**
   * What of the wanted files is there. Called several times; metadata is read once.
   *
   * @throws MirrorError where the place cannot be used
   */
  offers(wanted: readonly Wanted[]): Promise<ReadonlyMap<Wanted, Offer>>;
}

/** Places that are looked into at the same time; for each file the first one that has it goes first. */
export type Round = readonly Place[];

/** What was wrong with a place. */
export interface PlaceProblem {
  readonly place: string;
  readonly error: MirrorError;
}
