import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, sha256 } from '../desired-state/canonical';
import type { TreeDefinition } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { isClearsigned, type TimedVerdict, verifyClearsigned, verifyDetachedTimed } from '../signatures/checksum-file';
import type { KeyRing } from '../signatures/pinned-keys';
import type { PinnedRing } from './pinned-ring';
import { type Digests, joinDigests, readChecksums } from './tree-checksums';
import type { TreeManifest } from './tree-manifest';
import { asksForTreeInfo, planTree, shrunkTree, type TreeFacts, type TreeTarget } from './tree-plan';
import type { SmallFile, TreeSource } from './tree-source';
import { readTreeInfo, TREEINFO, type TreeInfo } from './treeinfo';

/** What a tree consists of now, as one source says. */
export interface TreeIndex {
  /** Base URL of the source. */
  readonly url: string;
  /** Checksum files, signatures and `.treeinfo`: part of the tree, and at hand. */
  readonly own: readonly SmallFile[];
  readonly targets: readonly TreeTarget[];
  readonly made: TreeManifest['made'];
  /** What is there and is not copied, for people. */
  readonly leftOut: readonly string[];
}

export interface TreeIndexRequest {
  readonly definition: TreeDefinition;
  readonly ring: PinnedRing | undefined;
  /** What is published: nothing older is taken. */
  readonly published: TreeManifest | undefined;
  /** Whether "nothing changed" would end the run. */
  readonly complete: boolean;
  /** For the files that gpgv reads. */
  readonly temporary: string;
}

const MAX_CHECKSUM_FILE = 32 * 1024 * 1024;
const MAX_SIGNATURE = 256 * 1024;
const SIGNATURE_SUFFIXES = ['.asc', '.sig', '.gpg', '.sign'] as const;
const NONE: Digests = { checksums: new Map(), sizes: new Map(), weak: new Set() };

/**
 * What one source has: its checksum files, verified as the trust says, and the list of what is wanted. `unchanged` when every checksum file
 * is what it was. A source whose files cannot be used is like one that refuses (DownloadError): another one may have good ones.
 */
export async function readTreeIndex(source: TreeSource, request: TreeIndexRequest): Promise<TreeIndex | 'unchanged'> {
  const { definition, published, complete } = request;
  const { trust } = definition;
  const names = trust.mode === 'none' ? [] : trust.files;
  if (names.length > 0 && complete && published !== undefined && (await isUnchanged(source, names, published))) return 'unchanged';

  const reader = new IndexReader(source, request);
  const parts: Digests[] = [];
  for (const name of names) parts.push(await reader.checksumFile(name));
  let digests = joined(source.url, definition.id, parts);
  if (asksForTreeInfo(definition) && reader.treeInfo === undefined) {
    await reader.declaredTreeInfo(digests);
    digests = joined(source.url, definition.id, [digests, reader.digestsOfTreeInfo()]);
  }
  const listing = definition.folders === undefined ? undefined : await source.list(definition.folders, definition.exclude ?? []);
  const facts = { digests, treeInfo: reader.treeInfo, listed: listing?.files, own: new Set(reader.own.map(({ path }) => path)) };
  const targets = planned(request, facts);
  return { url: source.url, own: reader.own, targets, made: reader.made, leftOut: listing?.leftOut ?? [] };
}

/** A source that lists what cannot be a tree is like one that refuses. */
function planned({ definition, published }: TreeIndexRequest, facts: TreeFacts): readonly TreeTarget[] {
  try {
    const targets = planTree(definition, facts);
    // Another definition asks for other files: only the same one can lose some.
    const before = published?.definition === digestOf(definition) ? published.files : undefined;
    const refusal = isWaived(definition, 'shrunk') ? undefined : shrunkTree(definition.id, targets.length + facts.own.size, before);
    if (refusal !== undefined) throw refusal;
    return targets;
  } catch (error) {
    if (!(error instanceof MirrorError) || error instanceof DownloadError) throw error;
    const { code, message, remedy, exitCode } = error;
    throw new DownloadError({ kind: 'refused', code, message, remedy, exitCode, cause: error });
  }
}

async function isUnchanged(source: TreeSource, names: readonly string[], published: TreeManifest): Promise<boolean> {
  for (const name of names) {
    const before = published.own[name];
    if (before === undefined) return false;
    const now = await source.small(name, MAX_CHECKSUM_FILE, before.validators);
    if (now === undefined || (now !== 'unchanged' && sha256(now.bytes) !== before.sha256)) return false;
  }
  return true;
}

/** Reads and verifies the small files of one source. */
class IndexReader {
  readonly own: SmallFile[] = [];
  readonly made: Record<string, number> = {};
  treeInfo: TreeInfo | undefined;

  constructor(
    private readonly source: TreeSource,
    private readonly request: TreeIndexRequest,
  ) {}

  async checksumFile(name: string): Promise<Digests> {
    const file = await this.required(name);
    const text = await this.trusted(file);
    if (name !== TREEINFO) {
      const digests = readChecksums(text, name);
      if ('problem' in digests) throw refused('CHECKSUMS_UNUSABLE', `${this.source.url}${name}: ${digests.problem}`);
      return digests;
    }
    this.takeTreeInfo(text);
    return this.digestsOfTreeInfo();
  }

  /** `.treeinfo` that is asked for as a file: what lists it must agree. */
  async declaredTreeInfo(digests: Digests): Promise<void> {
    const file = await this.required(TREEINFO);
    const listed = digests.checksums.get(TREEINFO);
    if (listed !== undefined && hashOf(listed.algorithm, file.bytes) !== listed.hex) {
      throw new DownloadError({
        kind: 'corrupt',
        message: `${this.source.url}${TREEINFO} is not what ${this.trustFiles} lists`,
      });
    }
    if (listed === undefined && this.request.definition.trust.mode !== 'none') {
      throw refused('FILE_NOT_LISTED', `${this.source.url}${TREEINFO} is not listed in ${this.trustFiles}`);
    }
    this.takeTreeInfo(file.bytes.toString('utf8'));
  }

  digestsOfTreeInfo(): Digests {
    return { ...NONE, checksums: this.treeInfo?.checksums ?? new Map() };
  }

  private get trustFiles(): string {
    const { trust } = this.request.definition;
    return trust.mode === 'none' ? 'nothing' : trust.files.join(' or ');
  }

  private takeTreeInfo(text: string): void {
    const info = readTreeInfo(text);
    if ('problem' in info) throw refused('TREEINFO_UNUSABLE', `${this.source.url}${TREEINFO}: ${info.problem}`);
    this.treeInfo = info;
    if (info.made !== undefined) this.note(TREEINFO, info.made, 'was made');
  }

  private async required(name: string): Promise<SmallFile> {
    const file = await this.source.small(name, MAX_CHECKSUM_FILE);
    if (file === undefined || file === 'unchanged') {
      throw new DownloadError({ kind: 'missing', message: `${this.source.url}${name} is not there, and the declaration names it` });
    }
    this.own.push(file);
    return file;
  }

  /** The text of a checksum file, once its signature is good where the trust wants one. */
  private async trusted(file: SmallFile): Promise<string> {
    const { ring, temporary } = this.request;
    const text = file.bytes.toString('utf8');
    if (ring === undefined) return text;
    const data = join(temporary, 'checksums');
    await writeFile(data, file.bytes);
    if (isClearsigned(text)) return this.clearsigned(await ring(), data, file.path);
    for (const suffix of SIGNATURE_SUFFIXES) {
      const signature = await this.source.small(`${file.path}${suffix}`, MAX_SIGNATURE);
      if (signature === undefined || signature === 'unchanged') continue;
      this.own.push(signature);
      const path = join(temporary, 'signature');
      await writeFile(path, signature.bytes);
      if (isClearsigned(signature.bytes.toString('utf8'))) {
        const signed = await this.clearsigned(await ring(), path, signature.path);
        if (signed.trimEnd() === text.trimEnd()) return signed;
        throw new DownloadError({
          kind: 'corrupt',
          code: 'SIGNATURE_BAD',
          message: `${this.source.url}${signature.path} signs another text than ${file.path} has`,
        });
      }
      this.judge(await verifyDetachedTimed(await ring(), path, data), signature.path, file.path);
      return text;
    }
    throw untrusted(
      'SIGNATURE_MISSING',
      `${this.source.url}${file.path} has no signature in itself, nor beside it (${SIGNATURE_SUFFIXES.join(', ')})`,
      'refused',
    );
  }

  private async clearsigned(ring: KeyRing, path: string, name: string): Promise<string> {
    const output = join(this.request.temporary, `signed-${this.own.length}`);
    this.judge(await verifyClearsigned(ring, path, output), name, name);
    return readFile(output, 'utf8');
  }

  private judge({ verdict, madeAt }: TimedVerdict, signature: string, file: string): void {
    const url = this.source.url + signature;
    if (verdict.verdict === 'bad') throw untrusted('SIGNATURE_BAD', `${url}: ${verdict.reason}`, 'corrupt');
    if (verdict.verdict === 'untrusted') throw untrusted('SIGNATURE_UNTRUSTED', `${url}: ${verdict.reason}`, 'refused');
    if (madeAt !== undefined) this.note(file, madeAt, 'was signed');
  }

  /** Remembers when a file was made, and refuses one that is older than what is published. */
  private note(name: string, made: number, how: string): void {
    this.made[name] = made;
    const before = this.request.published?.made[name];
    if (before === undefined || made >= before || isWaived(this.request.definition, 'olderRevision')) return;
    throw new DownloadError({
      kind: 'refused',
      code: 'METADATA_OLDER',
      message: `${this.source.url}${name} ${how} at ${dateOf(made)}, and what ${how} at ${dateOf(before)} is published: an older state of the upstream, or one that somebody replays`,
      remedy: 'Put a source that is up to date first into fetchFrom. If it is meant, declare Waiver.olderRevision(reason) in its waivers.',
      exitCode: ExitCode.untrusted,
    });
  }
}

export function isWaived(definition: Pick<TreeDefinition, 'waivers'>, name: 'olderRevision' | 'shrunk'): boolean {
  return definition.waivers?.some(({ allow }) => allow === name) ?? false;
}

function joined(url: string, id: string, parts: readonly Digests[]): Digests {
  const digests = joinDigests(parts);
  if ('problem' in digests)
    throw refused('CHECKSUMS_CONTRADICT', `${url}: the checksum files of ${id} contradict each other: ${digests.problem}`);
  return digests;
}

function refused(code: string, message: string): DownloadError {
  return untrusted(code, message, 'refused', 'Nothing was changed. Look at the address with curl, or put another source into fetchFrom.');
}

function untrusted(
  code: string,
  message: string,
  kind: 'corrupt' | 'refused',
  remedy = 'Nothing was changed. If upstream has a new key, compare its fingerprint with what upstream publishes and pin it; if it does not sign, declare TreeTrust.checksums.',
): DownloadError {
  return new DownloadError({ kind, code, message, remedy, exitCode: ExitCode.untrusted });
}

function hashOf(algorithm: string, bytes: Buffer): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

function dateOf(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
