/** What is built already: the packages of a repository, by its metadata, or of a directory, by their headers. */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { downloadVerified } from '../../downloads/file';
import type { HttpClient } from '../../downloads/http';
import { type RetryOptions, Sources, withFailover } from '../../downloads/sources';
import { decompressed } from '../../rpm-metadata/decompress';
import { scanPackages } from '../../rpm-metadata/packages';
import { judgePackage } from '../../rpm-metadata/primary';
import { MAX_REPOMD_BYTES, MAX_UNDECLARED_METADATA_BYTES, parseRepomd } from '../../rpm-metadata/repomd';
import { buildTimeIn, identityIn, startOf } from '../../signatures/package-identity';
import { shown } from '../../starlingx/shown';
import { fetchIndexFile } from '../index-file';
import type { Keys } from '../keys';
import type { Workspace } from '../workspace';
import type { BuiltPackage } from './needs-build';

const STRICT = { weakChecksums: false };

export interface RepositoryOptions {
  readonly client: HttpClient;
  readonly workspace: Workspace;
  /** Whose signature has to prove it. Empty: nothing proves it. */
  readonly keys: Keys;
  readonly retry: RetryOptions;
  readonly warn: (line: string) => void;
}

/**
 * The packages that a repository lists.
 *
 * @param url of the directory that has `repodata/`; ends with a slash
 * @throws DownloadError for what cannot be had, or is not signed by a key that is given
 */
export async function repositoryPackages(url: string, options: RepositoryOptions): Promise<readonly BuiltPackage[]> {
  const { client, workspace, keys, retry, warn } = options;
  return withFailover(new Sources([url]), retry, async (base) => {
    const index = `${base}repodata/repomd.xml`;
    const mustBeSigned = !keys.isEmpty;
    const request = { client, workspace, url: index, maxBytes: MAX_REPOMD_BYTES, keys, mustBeSigned, warn };
    const { primary } = parseRepomd((await fetchIndexFile(request)).bytes, index, STRICT);
    const file = workspace.partial(`primary-${primary.checksum.hex}`);
    const list = (primary.base ?? base) + primary.href;
    await downloadVerified(client, list, file, { ...primary.checksum, size: primary.size, maxBytes: MAX_UNDECLARED_METADATA_BYTES });
    const packages: BuiltPackage[] = [];
    await scanPackages(decompressed(file, list, primary.openSize), 'primary', list, {
      package: (draft) => {
        const { name, version, release, arch } = judgePackage(draft, list, STRICT);
        const builtAt = /^\d{1,10}$/.test(draft.built ?? '') ? Number(draft.built) : undefined;
        packages.push({ name, version, release, arch, builtAt });
      },
    });
    return packages;
  });
}

/** The packages in a directory and below it. Links are not followed; what does not end with `.rpm` is passed over. */
export function directoryPackages(directory: string): readonly BuiltPackage[] {
  return rpmFiles(directory).map((path) => {
    const refuse = (what: string, remedy: string): MirrorError =>
      new MirrorError({ code: 'BUILT_UNUSABLE', message: `${shown(path)} ${what}`, remedy, exitCode: ExitCode.invalid });
    const remove = 'Build it again, or remove it: nothing can be said of it.';
    if (!lstatSync(path).isFile()) throw refuse('is no plain file', 'Give the directory that has the package itself, and remove this.');
    const start = startOf(path);
    if ('problem' in start) throw refuse(`is no RPM package: ${start.problem}`, remove);
    if ('need' in start) throw refuse('is cut: its headers do not end', remove);
    const identity = identityIn(start.header);
    if (identity === undefined) throw refuse('is no RPM package: it does not say what it is', remove);
    const { name, version, release, arch } = identity;
    return { name, version, release, arch, builtAt: buildTimeIn(start.header) };
  });
}

function rpmFiles(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return rpmFiles(path);
    return entry.name.endsWith('.rpm') ? [path] : [];
  });
}
