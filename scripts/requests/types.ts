/** What developers ask for, and what is found out about it. All of it is in the output of `--json`. */
import type { DownloadedFile, DownloadsDefinition, ListsDefinition } from '../../desired-state/definitions';
import type { AskedPackage } from '../../starlingx/asked';
import type { Problem } from '../survey/types';

/** One construct whose lists are files of the project. */
export interface DeclaredLists {
  readonly definition: ListsDefinition | DownloadsDefinition;
  /** Name of each list → its path in the project. */
  readonly paths: Readonly<Record<string, string>>;
  /** Path of the file of digests, where one is declared. */
  readonly digests: string | undefined;
}

/** A line of a list. */
export interface Place {
  /** Id of the construct. */
  readonly id: string;
  /** Path in the project. */
  readonly list: string;
  readonly line: number;
}

export interface PackageRequest extends Place {
  readonly kind: 'package';
  readonly asked: AskedPackage;
}

/** A tarball, or a file of an installer. */
export interface FileRequest extends Place {
  readonly kind: 'file';
  readonly wanted: DownloadedFile;
  /** Path in the project of what lists its members, where its line names such a file. */
  readonly fileList?: string;
}

export type Request = PackageRequest | FileRequest;

/** What the name of a request is, for people. */
export function nameOf(request: Request): string {
  return request.kind === 'package' ? request.asked.file : request.wanted.path;
}

/** A version that somebody has of a package that is asked for in another one. */
export interface OtherVersion {
  /** `bash-4.2.46-34.el7.x86_64.rpm`, as a line would say. */
  readonly file: string;
  /** Id of the repository. */
  readonly repository: string;
}

export type Verdict =
  /** It is there already. */
  | 'on the mirror'
  /** The next sync gets it. */
  | 'can be met'
  | 'cannot be met'
  /** Something else is at the URL than the line says. */
  | 'is another'
  /** What might have it could not be asked. */
  | 'unknown';

export interface Result {
  readonly request: Request;
  readonly verdict: Verdict;
  /** Who has it: ids of repositories, or its URL. */
  readonly from: readonly string[];
  /** Why not, for what cannot be met, is another, or is unknown. */
  readonly reason?: string;
  readonly remedy?: string;
  /** Newest first, of the same name. */
  readonly versions: readonly OtherVersion[];
  /** Names that are near, where nobody has a package of this name. */
  readonly names: readonly string[];
  /** Whether a digest is recorded; undefined for what needs none. `failed`: it was to be recorded, and could not be had. */
  readonly digest?: 'recorded' | 'missing' | 'written' | 'failed';
}

/** A repository that could not be asked. */
export interface Unasked {
  readonly repository: string;
  readonly problem: Pick<Problem, 'message' | 'remedy'>;
}

export interface Report {
  readonly results: readonly Result[];
  readonly unasked: readonly Unasked[];
  /** What the lists were compared with: a commit, or all lines. */
  readonly comparedWith: string;
}
