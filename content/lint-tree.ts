/** One tree of a component, `x86_64` or `Source`: its index, signature, metadata files and packages. */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { packagesFolder, SOURCE } from '../desired-state/mos-scheme';
import { forEachParallel } from '../downloads/parallel';
import type { ChecksumOptions } from '../rpm-metadata/checksum';
import { decompressed } from '../rpm-metadata/decompress';
import { nevra } from '../rpm-metadata/nevra';
import { isSource } from '../rpm-metadata/package-lists';
import { type ListedPackage, readPrimary } from '../rpm-metadata/primary';
import { MAX_REPOMD_BYTES, MAX_UNDECLARED_METADATA_BYTES, parseRepomd, type Repomd, type RepomdRecord } from '../rpm-metadata/repomd';
import { verifyDetached } from '../signatures/detached';
import { identityOf } from '../signatures/package-identity';
import { PackageVerifier } from '../signatures/packages';
import type { KeyRing } from '../signatures/pinned-keys';
import { fileDigest } from './files';
import { below, type Lint } from './lint';
import { Progress } from './progress';
import { fileNamesOf, MAX_PACKAGE_BYTES, treesFor } from './publish-rules';

const MAX_SIGNATURE_BYTES = 1024 * 1024;

/** @param ring the component's keys; undefined where there are none to verify by, which is told there */
export async function lintTree(run: Lint, path: string, tree: string, ring: KeyRing | undefined): Promise<void> {
  run.counts.trees++;
  const index = below(path, 'repodata/repomd.xml');
  const found = await run.source.read(index, MAX_REPOMD_BYTES, async (file) => {
    await lintSignature(run, index, file, ring);
    return readRepomd(run, index, await readFile(file));
  });
  if (found === undefined) return run.add('INDEX_MISSING', index, 'there is no such file');
  if (found === 'unusable') return;
  const { repomd, options } = found;
  const packages = await lintMetadata(run, path, repomd, options);
  if (packages === undefined) return;
  run.counts.packages += packages.length;
  lintList(run, path, tree, packages);
  const present = await lintFiles(run, path, packages);
  await lintUnlisted(run, path, tree, packages);
  if (run.options.deep) await lintContents(run, path, present, ring);
}

async function lintSignature(run: Lint, index: string, indexFile: string, ring: KeyRing | undefined): Promise<void> {
  const path = `${index}.asc`;
  const read = await run.source.read(path, MAX_SIGNATURE_BYTES, async (file) => {
    if (!(await readFile(file, 'latin1')).trimStart().startsWith('-----BEGIN PGP SIGNATURE-----'))
      run.add('SIGNATURE_BINARY', path, 'it is no armoured OpenPGP signature');
    if (ring === undefined) return true;
    const verdict = await verifyDetached(ring, file, indexFile);
    if (verdict.verdict !== 'good') run.add('SIGNATURE_UNTRUSTED', path, verdict.reason);
    return true;
  });
  if (read === undefined) run.add('SIGNATURE_MISSING', path, 'there is no such file');
}

/** Reads the index as strictly as it can be read, and notes where that was less than it must. */
function readRepomd(run: Lint, index: string, bytes: Buffer): { repomd: Repomd; options: ChecksumOptions } | 'unusable' {
  for (const weakChecksums of [false, true]) {
    try {
      const repomd = parseRepomd(bytes, index, { weakChecksums });
      return { repomd, options: { weakChecksums } };
    } catch (error) {
      const fault = refusal(error);
      if (fault.code === 'CHECKSUM_UNUSABLE' && !weakChecksums) run.add('CHECKSUM_WEAK', index, withoutPath(fault.message, index));
      else {
        if (fault.code !== 'CHECKSUM_UNUSABLE') run.add('INDEX_UNUSABLE', index, withoutPath(fault.message, index));
        return 'unusable';
      }
    }
  }
  return 'unusable';
}

/** Compares each file with what the index says, and reads the list of packages; undefined where it cannot be used. */
async function lintMetadata(
  run: Lint,
  path: string,
  repomd: Repomd,
  options: ChecksumOptions,
): Promise<readonly ListedPackage[] | undefined> {
  let packages: readonly ListedPackage[] | undefined;
  for (const record of repomd.records) {
    const place = below(path, record.path);
    if (record.base !== undefined) run.add('ELSEWHERE', place, `${record.type} is at ${record.base}`);
    else {
      const work = (file: string): Promise<readonly ListedPackage[] | undefined> => lintRecord(run, place, record, file, options);
      const read = await run.source.read(place, record.size ?? MAX_UNDECLARED_METADATA_BYTES, async (file) => ({ listed: await work(file) })).catch(tooLong); // prettier-ignore
      if (read === undefined) run.add('METADATA_MISSING', place, `${record.type} is not there`);
      else if (read === 'too long') run.add('METADATA_DAMAGED', place, `it has more than ${record.size} bytes, its size by repomd.xml`);
      else if (record === repomd.primary) packages = read.listed;
    }
  }
  const types = new Set(repomd.records.map(({ type }) => type));
  for (const type of ['filelists', 'other'])
    if (!types.has(type)) run.add('METADATA_INCOMPLETE', below(path, 'repodata/repomd.xml'), `it names no ${type}`);
  return packages;
}

async function lintRecord(
  run: Lint,
  place: string,
  record: RepomdRecord,
  file: string,
  options: ChecksumOptions,
): Promise<readonly ListedPackage[] | undefined> {
  const { algorithm, hex } = record.checksum;
  const digest = await fileDigest(file, algorithm);
  if (digest !== hex) {
    run.add('METADATA_DAMAGED', place, `its ${algorithm} is ${digest}, and by repomd.xml ${hex}`);
    return undefined;
  }
  if (record.type !== 'primary') return undefined;
  for (const weakChecksums of options.weakChecksums ? [true] : [false, true]) {
    try {
      return await readPrimary(decompressed(file, place, record.openSize), place, { weakChecksums });
    } catch (error) {
      const fault = refusal(error);
      if (fault.code === 'CHECKSUM_UNUSABLE' && !weakChecksums) run.add('CHECKSUM_WEAK', place, withoutPath(fault.message, place));
      else {
        run.add('LIST_UNUSABLE', place, withoutPath(fault.message, place));
        return undefined;
      }
    }
  }
  return undefined;
}

/** What the list says, by itself. */
function lintList(run: Lint, path: string, tree: string, packages: readonly ListedPackage[]): void {
  const folder = packagesFolder(tree);
  const known = new Map<string, ListedPackage>();
  for (const item of packages) {
    const place = below(path, item.path);
    const other = known.get(nevra(item));
    known.set(nevra(item), item);
    if (other !== undefined) run.add('PACKAGE_TWICE', place, `${nevra(item)} is at ${below(path, other.path)}, too`);
    if (item.base !== undefined) run.add('ELSEWHERE', place, `it is at ${item.base}`);
    if (!item.path.startsWith(`${folder}/`)) run.add('PACKAGE_MISPLACED', place, `it does not lie in ${folder}`);
    // Tools differ in what they call a source package that lacks some of its sources.
    const named = { ...item, arch: isSource(item) ? 'src' : item.arch };
    const names = fileNamesOf(named);
    if (!names.includes(basename(item.path))) run.add('PACKAGE_MISNAMED', place, `by the list it is ${names[0]}`);
    if ('code' in treesFor(named, [tree]))
      run.add('PACKAGE_ARCHITECTURE', place, `it is for ${item.arch}, and the tree is ${tree === SOURCE ? 'for sources' : tree}`);
  }
}

/** Whether each listed package is there, with its size. Returns those. */
async function lintFiles(run: Lint, path: string, packages: readonly ListedPackage[]): Promise<readonly ListedPackage[]> {
  const here = packages.filter(({ base }) => base === undefined);
  const present = new Set<ListedPackage>();
  const progress = new Progress(below(path, 'packages'), here.length, 0, run.options.say);
  try {
    await forEachParallel(here, run.source.parallel, async (item) => {
      const place = below(path, item.path);
      const size = await run.source.size(place);
      if (size === undefined) run.add('PACKAGE_MISSING', place, 'it is listed, and is not there');
      else if (size !== item.size) run.add('PACKAGE_SIZE', place, `it has ${size} bytes, and by the list ${item.size}`);
      else present.add(item);
      progress.fileDone();
    });
  } finally {
    progress.stop();
  }
  return here.filter((item) => present.has(item));
}

/** Packages that are there and not listed, where the place lists what it has. */
async function lintUnlisted(run: Lint, path: string, tree: string, packages: readonly ListedPackage[]): Promise<void> {
  const known = new Set(packages.map((item) => item.path));
  const folders = new Set(['.', packagesFolder(tree), ...packages.map((item) => dirname(item.path))]);
  for (const folder of [...folders].sort()) {
    for (const { name, kind } of (await run.source.list(below(path, folder))) ?? []) {
      const file = below(folder, name);
      if (kind === 'file' && name.endsWith('.rpm') && !known.has(file)) run.add('PACKAGE_UNLISTED', below(path, file), 'it is not listed');
    }
  }
}

/** Reads every package: its checksum, its signature, and what its header says. */
async function lintContents(run: Lint, path: string, packages: readonly ListedPackage[], ring: KeyRing | undefined): Promise<void> {
  const verifier = ring === undefined ? undefined : await PackageVerifier.create(ring, join(run.scratch, `rpm-${run.counts.trees}`));
  const bytes = packages.reduce((sum, { size }) => sum + size, 0);
  const progress = new Progress(below(path, 'packages, every byte'), packages.length, bytes, run.options.say);
  try {
    await forEachParallel(packages, run.source.parallel, async (item) => {
      const place = below(path, item.path);
      await run.source.read(place, Math.min(item.size, MAX_PACKAGE_BYTES), async (file) => {
        const { algorithm, hex } = item.checksum;
        const digest = await fileDigest(file, algorithm, (count) => progress.addBytes(count));
        if (digest !== hex) return run.add('PACKAGE_DAMAGED', place, `its ${algorithm} is ${digest}, and by the list ${hex}`);
        const identity = identityOf(file);
        const called = identity === undefined ? undefined : nevra(identity);
        if (called !== nevra({ ...item, arch: isSource(item) ? 'src' : item.arch }))
          run.add('PACKAGE_CONTRADICTS', place, `by its header it is ${called ?? 'no package'}, and by the list ${nevra(item)}`);
        const reason = (await verifier?.failures([file]))?.get(file);
        if (reason !== undefined) run.add('PACKAGE_UNSIGNED', place, reason);
      });
      progress.fileDone();
    });
  } finally {
    progress.stop();
  }
}

/** What is wrong with metadata; what is wrong with the machine ends the run. */
function refusal(error: unknown): MirrorError {
  if (error instanceof MirrorError && error.exitCode === ExitCode.untrusted) return error;
  throw error;
}

function tooLong(error: unknown): 'too long' {
  if (error instanceof MirrorError && /^(FILE_TOO_LARGE|BODY_TOO_LONG)$/.test(error.code)) return 'too long';
  throw error;
}

/** The path stands beside the message. */
function withoutPath(message: string, path: string): string {
  return message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
}
