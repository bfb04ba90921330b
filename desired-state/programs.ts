import { digestOf } from './canonical';

/** The programs that run on a server, by file name in `ServerPaths.programs/<digest>/`. */
export const SERVER_PROGRAMS = ['mirror-host.cjs', 'mirrorctl.cjs', 'mirrorctl-body.cjs'] as const;
export type ServerProgram = (typeof SERVER_PROGRAMS)[number];

/**
 * The digest that names a version of the server programs: SHA-256 (hex) of the canonical JSON of file name → SHA-256 of the file.
 * It is planned, so that an upgrade of this software shows in a plan, and it is a directory on the server.
 */
export function programsDigest(digests: Readonly<Record<ServerProgram, string>>): string {
  return programsDigestBy((name) => digests[name]);
}

/** The same, where each file's digest is asked for by its name. */
export function programsDigestBy(digest: (name: ServerProgram) => string): string {
  return digestOf(Object.fromEntries(SERVER_PROGRAMS.map((name) => [name, digest(name)])));
}
