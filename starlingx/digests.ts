/**
 * Recorded digests, as sha256sum(1) writes and reads them: `<64 hex digits>  <name>`. The file is reviewed; what it says is enforced.
 *
 * An archive that the mirror makes itself is recorded by the digest of its *uncompressed* tar, under that name (`uncompressedName`): what gzip
 * makes of it differs from version to version.
 */
import { pathProblem } from './entry';
import { lineError, readListText } from './list-text';

/**
 * Parses a file of digests.
 *
 * @returns name (a relative path) → digest in lower-case hex, in the order of the file
 * @throws MirrorError `LIST_LINE` (with line, value and remedy) or `LIST_TEXT`
 */
export function parseDigests(bytes: Buffer, file: string): ReadonlyMap<string, string> {
  const digests = new Map<string, string>();
  readListText(bytes, file)
    .split('\n')
    .forEach((text, index) => {
      const line = index + 1;
      // Comments are not sha256sum's, but reviewers want to say something too.
      if (text.trim() === '' || text.startsWith('#')) return;
      const [, digest, name] = /^([0-9a-f]{64}) [ *](.+)$/.exec(text) ?? [];
      if (digest === undefined || name === undefined)
        throw lineError(
          file,
          line,
          text,
          'it is no line of sha256sum',
          'A line is the SHA-256 in 64 lower-case hex digits, two spaces and the name: what "sha256sum FILE" prints.',
        );
      const problem = pathProblem(name);
      if (problem !== undefined) throw lineError(file, line, name, `its name ${problem}`, 'Write the name of the file as the list has it.');
      if ((digests.get(name) ?? digest) !== digest)
        throw lineError(file, line, name, 'an earlier line has another digest of it', 'Keep the digest that was reviewed.');
      digests.set(name, digest);
    });
  return digests;
}

/** Sorted by name, so that a new digest is one line of a diff. */
export function writeDigests(digests: ReadonlyMap<string, string>): string {
  return [...digests]
    .sort(([a], [b]) => (a < b ? -1 : Number(a > b)))
    .map(([name, digest]) => `${digest}  ${name}\n`)
    .join('');
}

/** Under which name the digest of an archive is recorded that the mirror makes. */
export { tarName as uncompressedName } from '../desired-state/archives';
