import { basename, join } from 'node:path';
import { readPublicKeys } from '../desired-state/openpgp-key';
import { invalid } from './private/check';
import { readProjectFile } from './private/project-file';

/** An OpenPGP public key in a file of the project: pinned by its content, reviewed by its fingerprint. */
export class PublicKey {
  /**
   * @param path armoured key file, relative to the project; its base name is the name that clients see
   */
  static fromFile(path: string): PublicKey {
    const fix = 'Put the armoured public key into keys/, and check its fingerprint against what its owner publishes.';
    const armoured = normalized(readProjectFile('PublicKey.fromFile', path, 'a key is', fix));
    const [first, ...rest] = readPublicKeys(armoured, path);
    if (first === undefined || rest.length > 0) {
      throw invalid('PublicKey.fromFile', 'path', JSON.stringify(path), {
        allowed: `a key file holds exactly one key, this one holds ${rest.length + (first ? 1 : 0)}`,
        fix: 'Split it into one file per key.',
      });
    }
    return new PublicKey(basename(path), armoured, first.fingerprint);
  }

  /** A function that reads keys from one directory: `const key = PublicKey.from('keys'); key('RPM-GPG-KEY-EPEL-7')`. */
  static from(directory: string): (name: string) => PublicKey {
    return (name) => PublicKey.fromFile(join(directory, name));
  }

  private constructor(
    readonly name: string,
    readonly armoured: string,
    readonly fingerprint: string,
  ) {}
}

/** The same bytes from any editor: no byte order mark, LF line ends, one final newline. */
function normalized(text: string): string {
  return `${text
    .replace(/^\ufeff/, '')
    .replaceAll('\r\n', '\n')
    .trimEnd()}\n`;
}
