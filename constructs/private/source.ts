/**
 * The line of main.ts that is running now, for instance `main.ts:69:12`, for tools that say which line to change; undefined where the app
 * is another file, or was built without its source map. Never part of the desired state: a moved line is no change of the server.
 */
export function sourcePosition(): string | undefined {
  return new Error().stack
    ?.split('\n')
    .map((line) => /(?:^\s+at |\(|\/)(main\.ts:\d+:\d+)\)?$/.exec(line)?.[1])
    .find((position) => position !== undefined);
}

/** Type of a construct's metadata that holds a `TrustSource`. */
export const TRUST_SOURCE = 'mirror:trust-source';

/** Where a repository's trust was declared. */
export interface TrustSource {
  readonly repository: string;
  readonly position: string;
}

/** Type of a construct's metadata that holds a `ListSource`. */
export const LIST_SOURCE = 'mirror:list-source';

/** A file of the project that a construct was made from. */
export interface ListSource {
  /** What it was given as: `list`, `lists`, `digests`. */
  readonly prop: string;
  /** Relative to the project. */
  readonly path: string;
}
