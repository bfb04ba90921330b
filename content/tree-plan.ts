/** Which files a tree consists of, and what each must be. Pure. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { TreeDefinition } from '../desired-state/definitions';
import type { Checksum } from '../rpm-metadata/checksum';
import type { Digests } from './tree-checksums';
import type { ListedFile } from './tree-source';
import { MAX_TREE_FILES } from './tree-source';
import { clash, excluded } from './tree-paths';
import { TREEINFO, type TreeInfo } from './treeinfo';

/** A file of the tree that is to be fetched, or is in the store already. */
export interface TreeTarget {
  readonly path: string;
  /** Undefined only where the trust is `none` and nothing lists it. */
  readonly checksum: Checksum | undefined;
  readonly size: number | undefined;
  /** As a listing of rsync said: for the trust `none`. */
  readonly modified?: string | undefined;
}

export interface TreeFacts {
  readonly digests: Digests;
  readonly treeInfo: TreeInfo | undefined;
  readonly listed: readonly ListedFile[] | undefined;
  /** Paths that are part of the tree by themselves: checksum files and signatures, whose bytes are at hand. */
  readonly own: ReadonlySet<string>;
}

type Declared = Pick<TreeDefinition, 'id' | 'trust' | 'files' | 'folders' | 'exclude'>;

/** Throws a MirrorError for a tree that cannot be: nothing in it, a file that the trust does not cover, paths that exclude each other. */
export function planTree(declared: Declared, facts: TreeFacts): readonly TreeTarget[] {
  const listed = new Map(facts.listed?.map((file) => [file.path, file]));
  const targets = [...wantedPaths(declared, facts)].sort().map((path): TreeTarget => {
    const checksum = facts.digests.checksums.get(path);
    if (checksum === undefined && declared.trust.mode !== 'none') throw notCovered(declared, path, facts.digests);
    const file = listed.get(path);
    return { path, checksum, size: facts.digests.sizes.get(path) ?? file?.size, modified: file?.modified };
  });
  if (targets.length === 0) {
    throw refused(
      'TREE_EMPTY',
      `${declared.id}: there is nothing to copy: the upstream lists no file`,
      'Nothing was changed. Look at the upstream; check files, folders and exclude of the declaration.',
    );
  }
  if (targets.length > MAX_TREE_FILES) {
    throw refused(
      'TREE_TOO_LARGE',
      `${declared.id} has ${targets.length} files; a tree has at most ${MAX_TREE_FILES}`,
      'Declare several trees, or fewer folders.',
    );
  }
  const both = clash([...facts.own, ...targets.map(({ path }) => path)]);
  if (both !== undefined) {
    throw refused(
      'PATHS_CLASH',
      `${declared.id}: ${both[0]} is a file, and ${both[1]} lies below it`,
      'Nothing was changed. The upstream is damaged: exclude one of the two.',
    );
  }
  return targets;
}

function wantedPaths(declared: Declared, { digests, treeInfo, listed, own }: TreeFacts): ReadonlySet<string> {
  const exclude = declared.exclude ?? [];
  const everything = declared.files === undefined && declared.folders === undefined && declared.trust.mode !== 'none';
  const found = [
    ...(listed ?? []).map(({ path }) => path),
    ...(treeInfo?.files ?? []),
    // `.treeinfo` lists the index of its repository, too, which is nothing without its packages.
    ...(everything ? [...digests.checksums.keys(), ...digests.weak].filter((path) => !isOnlyInTreeInfo(path, treeInfo)) : []),
  ].filter((path) => !excluded(path, exclude));
  // What is named one by one is meant, excluded or not.
  const wanted = new Set([...found, ...(declared.files ?? [])]);
  for (const path of own) wanted.delete(path);
  return wanted;
}

function isOnlyInTreeInfo(path: string, treeInfo: TreeInfo | undefined): boolean {
  return treeInfo !== undefined && treeInfo.checksums.has(path) && !treeInfo.files.has(path);
}

/** Whether the declaration asks for the install tree as a whole. */
export function asksForTreeInfo(declared: Pick<TreeDefinition, 'trust' | 'files'>): boolean {
  const trusted = declared.trust.mode === 'none' ? [] : declared.trust.files;
  return trusted.includes(TREEINFO) || (declared.files?.includes(TREEINFO) ?? false);
}

/** Refuses a tree that lost so much that an accident is likelier than a decision; as for repositories. */
export function shrunkTree(id: string, files: number, before: number | undefined): MirrorError | undefined {
  if (before === undefined || before < 20 || files >= before / 2) return undefined;
  return refused(
    'UPSTREAM_SHRUNK',
    `${id}: the upstream has ${files} files, and had ${before} before`,
    'Look at the upstream: it may be half copied. If it is meant, declare Waiver.shrunk(reason) in its waivers.',
  );
}

function notCovered({ id, trust }: Declared, path: string, digests: Digests): MirrorError {
  const where = trust.mode === 'none' ? '' : trust.files.join(' or ');
  if (digests.weak.has(path)) {
    return refused(
      'CHECKSUM_WEAK',
      `${id}: ${path} is listed in ${where} by md5 or sha1 only, which forgers can make collide`,
      'Exclude it, name a file of sha256 sums in the trust, or declare TreeTrust.none(reason).',
    );
  }
  return refused(
    'FILE_NOT_LISTED',
    `${id}: ${path} is not listed in ${where}, so nothing says what it must be`,
    'Exclude it (exclude), name what is wanted one by one (files), add the checksum file that lists it to the trust, or declare TreeTrust.none(reason).',
  );
}

function refused(code: string, message: string, remedy: string): MirrorError {
  return new MirrorError({ code, message, remedy, exitCode: ExitCode.untrusted });
}
