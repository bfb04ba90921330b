import { createHash } from 'node:crypto';
import { accessSync, chmodSync, constants, lstatSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { copyFile, type FileHandle, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Checksum } from '../rpm-metadata/checksum';
import { quoted } from '../rpm-metadata/errors';
import { identityIn, type PackageIdentity, startOf } from '../signatures/package-identity';
import { fileDigest, machineFault } from './files';
import { invalid, judgeName, MAX_PACKAGE_BYTES, type Refusal, untrusted } from './publish-rules';
import type { Incoming, Store } from './store';

/** A file that is to be published. */
export interface Offer {
  readonly file: string;
  /** Of a file of this mirror: the store has its bytes, and nothing is copied. */
  readonly checksum?: Checksum;
}

/** An offered package that is here, and is what the name of its file says. Whether its signature is good is not known yet. */
export interface Arrived {
  readonly offer: Offer;
  readonly identity: PackageIdentity;
  readonly fileName: string;
  readonly sha256: string;
  readonly size: number;
  /** Where its bytes are by now, which nobody else can change. */
  readonly path: string;
}

/**
 * The files that are meant by arguments: files, and of directories whatever is called `*.rpm` in them and below. Links are not followed: they are
 * refused as files. Throws a MirrorError for what is not there and for a directory without packages.
 */
export function offersIn(paths: readonly string[]): readonly Offer[] {
  return paths.flatMap((path) => readable(path, () => offersAt(path)));
}

function offersAt(path: string): readonly Offer[] {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw wrong('NO_SUCH_FILE', `there is no file ${quoted(path)}`, 'Name package files, or a directory with some.');
  if (!found.isDirectory()) return [{ file: path }];
  const inside = packagesBelow(path);
  if (inside.length > 0) return inside.map((file) => ({ file }));
  throw wrong('NO_PACKAGES', `${quoted(path)} has no *.rpm in it`, 'Name package files, or a directory with some.');
}

function packagesBelow(directory: string): readonly string[] {
  const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return packagesBelow(path);
    return entry.name.endsWith('.rpm') ? [path] : [];
  });
}

const READABLE =
  'mirrorctl works as the user mirror: put it where that user may read it, for instance into /var/tmp, or let everybody (chmod o+rX).';

/** An operator who is root does not expect that something may not be read. */
function readable<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw wrong('PERMISSION', `the user mirror may not read ${quoted(path)}`, READABLE);
  }
}

/** Throws for what is not there, is no regular file, or may not be read. */
export function requireFile(path: string): void {
  readable(path, () => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) throw wrong('NO_SUCH_FILE', `there is no file ${quoted(path)}`, 'Name a file that is there.');
    if (!found.isFile()) throw wrong('NOT_A_FILE', `${quoted(path)} is no regular file`, 'Name the file itself.');
    accessSync(path, constants.R_OK);
  });
}

function wrong(code: string, message: string, remedy: string): MirrorError {
  return new MirrorError({ code, message, remedy, exitCode: ExitCode.usage });
}

/** A file that is open, or why it cannot be. */
type Opened = { readonly handle: FileHandle; readonly modified: Date; readonly size: number } | { readonly refusal: Refusal };

/** Opens a regular file, and nothing else: neither what a link leads to nor something that never ends. */
export async function openOffer({ file }: Offer): Promise<Opened> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return { refusal: unopened(file, error as NodeJS.ErrnoException) };
  }
  const stat = await handle.stat();
  const refusal = judgeKind(file, stat);
  if (refusal === undefined) return { handle, modified: stat.mtime, size: stat.size };
  await handle.close();
  return { refusal };
}

function judgeKind(file: string, stat: { isFile(): boolean; readonly size: number }): Refusal | undefined {
  if (!stat.isFile()) return invalid('NOT_A_FILE', `${quoted(basename(file))} is no regular file`, 'Give the package file itself.');
  if (stat.size > MAX_PACKAGE_BYTES)
    return invalid(
      'PACKAGE_TOO_LARGE',
      `it has ${stat.size} bytes; 4 GiB and more are not published`,
      'Split it: yum and rpm of the older distributions cannot install such a package.',
    );
  return undefined;
}

function unopened(file: string, error: NodeJS.ErrnoException): Refusal {
  if (error.code === 'ELOOP')
    return invalid(
      'SYMBOLIC_LINK',
      `${quoted(basename(file))} is a symbolic link`,
      'Give the package file itself: links are not followed.',
    );
  if (error.code === 'ENOENT') return invalid('NO_SUCH_FILE', 'it is not there any more', 'Give it again once it is there.');
  if (error.code === 'EACCES' || error.code === 'EPERM') return invalid('PERMISSION', 'the user mirror may not read it', READABLE);
  // Sockets have no open.
  if (error.code === 'ENXIO') return invalid('NOT_A_FILE', `${quoted(basename(file))} is no regular file`, 'Give the package file itself.');
  throw error;
}

const PIECE = 1024 * 1024;

/** Takes offered files in: what is judged is a copy of our own. */
export class Arrivals {
  private reflinks = true;
  private taken = 0;

  constructor(
    private readonly store: Store,
    private readonly incoming: Incoming,
    /** How large each file was when room was made sure of: whoever uploads may let it grow since. */
    private readonly sizes: ReadonlyMap<Offer, number>,
  ) {}

  /** Copies the file, reads its headers, and compares its name. Nothing of a refused file stays. */
  async take(offer: Offer): Promise<Arrived | Refusal> {
    const fileName = basename(offer.file);
    if (offer.checksum !== undefined && this.store.has(offer.checksum, undefined)) {
      const path = this.store.path(offer.checksum);
      return this.judged(offer, { fileName, sha256: offer.checksum.hex, path, size: lstatSync(path).size });
    }
    const opened = await openOffer(offer);
    if ('refusal' in opened) return opened.refusal;
    if (opened.size !== this.sizes.get(offer)) {
      await opened.handle.close();
      return CHANGED;
    }
    const temporary = this.incoming.temporary(`offer-${this.taken++}`);
    try {
      const { sha256, size } = await this.copy(opened.handle, temporary, opened.size);
      if (size !== opened.size) {
        rmSync(temporary);
        return CHANGED;
      }
      // The metadata says when the file was made.
      utimesSync(temporary, opened.modified, opened.modified);
      const judged = this.judged(offer, { fileName, sha256, size, path: temporary });
      if (!('path' in judged)) {
        rmSync(temporary);
        return judged;
      }
      return { ...judged, path: this.place(temporary, { algorithm: 'sha256', hex: sha256 }, size) };
    } catch (error) {
      rmSync(temporary, { force: true });
      throw machineFault(error);
    } finally {
      await opened.handle.close();
    }
  }

  /** Gives a copy its name among what arrived; where the same is here already, that one is used. */
  private place(temporary: string, checksum: Checksum, size: number): string {
    if (this.incoming.has(checksum) || this.store.has(checksum, size)) rmSync(temporary);
    else {
      chmodSync(temporary, 0o444);
      renameSync(temporary, this.incoming.path(checksum));
      this.incoming.add(checksum, checksum.hex, size);
    }
    return this.incoming.locate(checksum);
  }

  private judged(offer: Offer, { fileName, sha256, size, path }: Omit<Arrived, 'offer' | 'identity'>): Arrived | Refusal {
    const judged = judgePackageFile(path, fileName, size);
    return 'code' in judged ? judged : { offer, identity: judged, fileName, sha256, size, path };
  }

  /** Copies by sharing blocks where the file system can, and hashes what is in the copy. Of a file of another size no digest is made. */
  private async copy(from: FileHandle, target: string, expected: number): Promise<{ readonly sha256: string; readonly size: number }> {
    if (this.reflinks) {
      try {
        // The path may lead to another file by now.
        await copyFile(`/proc/self/fd/${from.fd}`, target, constants.COPYFILE_FICLONE_FORCE);
        const { size } = lstatSync(target);
        return { sha256: size === expected ? await fileDigest(target, 'sha256') : '', size };
      } catch (error) {
        if (!['ENOTSUP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
        this.reflinks = false;
        rmSync(target, { force: true });
      }
    }
    const to = await open(target, 'wx', 0o600);
    try {
      const hash = createHash('sha256');
      const buffer = Buffer.allocUnsafe(PIECE);
      let size = 0;
      // A file that grows meanwhile does not fill the disk: one more byte says that it does.
      while (size <= expected) {
        const { bytesRead } = await from.read(buffer, 0, Math.min(PIECE, expected + 1 - size), size);
        if (bytesRead === 0) break;
        const piece = buffer.subarray(0, bytesRead);
        hash.update(piece);
        for (let done = 0; done < bytesRead;) done += (await to.write(piece, done, bytesRead - done)).bytesWritten;
        size += bytesRead;
      }
      return { sha256: hash.digest('hex'), size };
    } finally {
      await to.close();
    }
  }
}

/** What the headers of the package at `path` say of it: refused where it is none, is cut, or is another one than the file is called. */
export function judgePackageFile(path: string, fileName: string, size: number): PackageIdentity | Refusal {
  const start = startOf(path);
  if ('problem' in start)
    return invalid(
      'NOT_A_PACKAGE',
      `it is no RPM package: ${start.problem}`,
      'Give files that rpmbuild made; rpm -qip FILE says what one is.',
    );
  if ('need' in start) return cut(size, start.need);
  if (start.size !== undefined && size < start.size) return cut(size, start.size);
  const identity = identityIn(start.header);
  if (identity === undefined)
    return invalid('NOT_A_PACKAGE', 'its header has no name, version, release or architecture', 'Give files that rpmbuild made.');
  return judgeName(fileName, identity) ?? identity;
}

const CHANGED = invalid('FILE_CHANGED', 'it changed while it was copied', 'Give it again once it is complete.');

function cut(size: number, whole: number): Refusal {
  return untrusted('PACKAGE_CUT', `it is cut: it has ${size} bytes, and would have at least ${whole}`, 'Copy or build it again.');
}
