/** What is looked at in a file that has arrived, before it goes to its place. */
import { closeSync, openSync, readSync } from 'node:fs';
import { ExitCode } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { identityOf } from '../signatures/package-identity';
import { compressionOf } from '../rpm-metadata/decompress';
import { isSourceArch, type Wanted } from './wanted';

/** Throws a DownloadError (WRONG_PACKAGE) for a package whose header says another name, version, release or architecture than its name. */
export function requireIdentity({ identity, name }: Wanted, path: string, url: string): void {
  if (identity === undefined) return;
  const found = identityOf(path);
  const said = found === undefined ? 'no RPM package' : `${found.name}-${found.version}-${found.release}.${found.arch}`;
  const arch = isSourceArch(identity.arch) ? 'src' : identity.arch;
  if (said === `${identity.name}-${identity.version}-${identity.release}.${arch}`) return;
  throw new DownloadError({
    kind: 'corrupt',
    code: 'WRONG_PACKAGE',
    message: `${url} is ${said}, and not ${name}`,
    remedy: 'That server gives another package under this name. If the list is wrong, correct its line.',
  });
}

/** Throws a DownloadError for what is no archive: pages of errors and of captive portals come with the status of success. */
export async function requireArchive({ kind }: Wanted, path: string, url: string): Promise<void> {
  if (kind !== 'tarball' || (await compressionOf(path)) !== 'none' || isTarOrZip(path)) return;
  throw new DownloadError({
    kind: 'refused',
    code: 'NO_ARCHIVE',
    message: `${url} answers with something that is no archive`,
    remedy: 'Look at the address with curl: it may be a page that says what is wrong.',
    exitCode: ExitCode.untrusted,
  });
}

function isTarOrZip(path: string): boolean {
  const head = Buffer.alloc(262);
  const file = openSync(path, 'r');
  try {
    readSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  return head.toString('latin1', 257, 262) === 'ustar' || head.toString('latin1', 0, 4) === 'PK\x03\x04';
}
