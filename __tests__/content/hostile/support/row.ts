import type { RepositoryDefinition } from '../../../../desired-state/definitions';
import type { HttpOptions } from '../../../../downloads/http';
import type { RetryOptions } from '../../../../downloads/sources';
import type { Field } from './field';

/** The attacks of section 1.5.2 of the TUF specification, and one more: a path that leaves the tree. */
export const ATTACKS = [
  'arbitrary software',
  'endless data',
  'slow retrieval',
  'indefinite freeze',
  'rollback',
  'mix-and-match',
  'wrong software',
  'path escape',
] as const;
export type Attack = (typeof ATTACKS)[number];

/** The line of the program that makes a row pass. */
export interface Guard {
  /** Below the checkout. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly code: string;
  /** What takes its place when the guard is removed. */
  readonly without: string;
}

/** One hostile upstream. Before it, a healthy one was synced and is published. */
export interface Row {
  readonly name: string;
  readonly attack?: Attack;
  readonly guard: Guard;
  /** @default "verbatim" */
  readonly view?: RepositoryDefinition['view'];
  /** What the declaration trusts. @default "digests" */
  readonly trust?: 'digests' | 'metadata' | 'packages';
  /** Makes the upstream, or the declaration, hostile. At that time the upstream has one package more than what is published. */
  readonly hostile: (field: Field) => void | Promise<void>;
  /**
   * `refused`: what is published stays; `degraded`: everything but the bad is published; `survived`: everything is.
   *
   * @default "refused"
   */
  readonly ends?: 'refused' | 'degraded' | 'survived';
  /** The message has all of these. */
  readonly says?: RegExp | readonly RegExp[];
  /** The exit code of a refusal. @default 6 */
  readonly exitCode?: number;
  /** The waiver that the remedy names. */
  readonly waiver?: string;
  /** Milliseconds that the sync may take. @default 60,000 */
  readonly within?: number;
  /** The whole program runs, as people start it, and its memory is measured. Else the engine runs in this process, with these limits. */
  readonly program?: true | { readonly env: (field: Field) => Readonly<Record<string, string>> };
  readonly http?: HttpOptions;
  readonly retry?: RetryOptions;
  readonly now?: () => Date;
  /** Further complaints about how it ended. */
  readonly also?: (field: Field) => readonly string[] | Promise<readonly string[]>;
}

/** A guard; without `without` it is a condition that is never true then. */
export function guard(file: string, code: string, without?: string): Guard {
  return { file, code, without: without ?? code.replace(/^if \((.*)\)/s, 'if (false)') };
}
