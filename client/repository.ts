/** An RPM repository, of the mirror or of an upstream: which of the wanted packages its metadata lists. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { downloadVerified } from '../downloads/file';
import type { HttpClient } from '../downloads/http';
import { type RetryOptions, Sources } from '../downloads/sources';
import { decompressed } from '../rpm-metadata/decompress';
import { scanPackages } from '../rpm-metadata/packages';
import { judgePackage, type ListedPackage } from '../rpm-metadata/primary';
import { MAX_REPOMD_BYTES, MAX_UNDECLARED_METADATA_BYTES, parseRepomd, type RepomdRecord } from '../rpm-metadata/repomd';
import { fetchIndexFile, type IndexFile, older } from './index-file';
import type { Keys } from './keys';
import type { Offer, Place } from './places';
import type { Servers } from './servers';
import type { Side } from './settings';
import type { Identity, Wanted } from './wanted';
import type { Workspace } from './workspace';

const STRICT = { weakChecksums: false };

export interface RepositoryOptions {
  readonly name: string;
  readonly side: Side;
  readonly client: HttpClient;
  readonly workspace: Workspace;
  readonly bases: readonly string[];
  /** Whose signature of the metadata proves it. */
  readonly metadataKeys: Keys;
  readonly mustBeSigned: boolean;
  /** Whose signature of a package proves it, where the metadata is not signed; undefined: none is asked for. */
  readonly packageKeys?: Keys;
  readonly keysRemedy?: string;
  /** Which packages may be taken from it. @default all */
  readonly takes?: (identity: Identity) => boolean;
  readonly authority?: boolean;
  readonly retry: RetryOptions;
  readonly servers: Servers;
  readonly warn: (line: string) => void;
}

interface Opened {
  readonly base: string;
  readonly signed: boolean;
  readonly primary: RepomdRecord;
  /** Where the list of packages is. */
  readonly file: string;
}

export class Repository implements Place {
  readonly name: string;
  readonly side: Side;
  readonly authority: boolean;
  private readonly sources: Sources;
  private opened: Promise<Opened> | undefined;
  private readonly found = new Map<string, ListedPackage | undefined>();

  constructor(private readonly options: RepositoryOptions) {
    this.name = options.name;
    this.side = options.side;
    this.authority = options.authority ?? false;
    this.sources = new Sources(options.bases);
  }

  async offers(wanted: readonly Wanted[]): Promise<ReadonlyMap<Wanted, Offer>> {
    const { takes } = this.options;
    const packages = wanted.filter(({ identity }) => identity !== undefined && (takes === undefined || takes(identity)));
    if (packages.length === 0) return new Map();
    this.opened ??= this.open();
    const opened = await this.opened;
    await this.look(opened, packages);
    const offers = new Map<Wanted, Offer>();
    for (const one of packages) {
      const listed = this.found.get(one.name);
      if (listed !== undefined) offers.set(one, this.offer(opened, listed));
    }
    return offers;
  }

  private offer({ signed }: Opened, listed: ListedPackage): Offer {
    const { client, packageKeys, keysRemedy, authority } = this.options;
    const proof = signed ? (authority === true ? 'signed by the mirror' : 'signed metadata') : 'unsigned metadata';
    return {
      client,
      sources: listed.base === undefined ? this.sources : new Sources([listed.base]),
      href: listed.href,
      checksum: listed.checksum,
      size: listed.size,
      proof,
      ...(packageKeys === undefined || (signed && this.side === 'mirror')
        ? {}
        : { packageKeys, ...(keysRemedy === undefined ? {} : { keysRemedy }) }),
    };
  }

  private async open(): Promise<Opened> {
    const { servers, retry, workspace } = this.options;
    return servers.watch(this.sources, retry, (base) => workspace.inTurn(base, () => this.openAt(base)));
  }

  private async openAt(base: string): Promise<Opened> {
    const { client, workspace, metadataKeys: keys, mustBeSigned, warn } = this.options;
    const url = `${base}repodata/repomd.xml`;
    const index = await fetchIndexFile({ client, workspace, url, maxBytes: MAX_REPOMD_BYTES, keys, mustBeSigned, warn });
    return asDownload(async () => {
      const { primary, newest } = parseRepomd(index.bytes, url, STRICT);
      if (!index.signed && newest !== undefined && index.lastTime !== undefined && newest < index.lastTime)
        throw older(url, newest, index.lastTime);
      const file = await this.primary(base, index, primary);
      index.accept(newest);
      return { base, signed: index.signed, primary, file };
    });
  }

  /** Brings the list of packages, unless an earlier run did. */
  private async primary(base: string, index: IndexFile, primary: RepomdRecord): Promise<string> {
    const name = `primary-${primary.checksum.hex}`;
    const { client, workspace } = this.options;
    const file = join(index.directory, name);
    for (const kept of [workspace.cached(basename(index.directory), name), file])
      if (existsSync(kept) && createHash(primary.checksum.algorithm).update(readFileSync(kept)).digest('hex') === primary.checksum.hex)
        return workspace.use(kept);
    mkdirSync(index.directory, { recursive: true });
    const old = readdirSync(index.directory).filter((one) => one.startsWith('primary-'));
    for (const path of old.map((one) => join(index.directory, one))) if (!workspace.uses(path)) rmSync(path);
    const expected = { ...primary.checksum, size: primary.size, maxBytes: MAX_UNDECLARED_METADATA_BYTES };
    await downloadVerified(client, (primary.base ?? base) + primary.href, file, expected);
    return workspace.use(file);
  }

  /** Looks the packages up that were not looked up before. */
  private async look({ primary, file, base }: Opened, wanted: readonly Wanted[]): Promise<void> {
    const names = new Set(wanted.map(({ name }) => name).filter((name) => !this.found.has(name)));
    if (names.size === 0) return;
    const what = base + primary.href;
    for (const name of names) this.found.set(name, undefined);
    await scanPackages(decompressed(file, what, primary.openSize), 'primary', what, {
      package: (draft) => {
        const name = `${draft.name}-${draft.version}-${draft.release}.${draft.arch}.rpm`;
        const file = basename(draft.href ?? '');
        // The pin is a name of a file. In metadata nosrc packages have the architecture src or nosrc.
        const key = names.has(name) ? name : file === name.replace(/\.src\.rpm$/, '.nosrc.rpm') && names.has(file) ? file : undefined;
        if (key !== undefined && this.found.get(key) === undefined) this.found.set(key, judgePackage(draft, what, STRICT));
      },
    });
  }
}

/** A source with unusable metadata is like one that refuses: another one may have good. */
async function asDownload<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MirrorError) || error instanceof DownloadError || error.exitCode === ExitCode.environment) throw error;
    const { code, message, remedy, exitCode } = error;
    throw new DownloadError({ kind: 'refused', code, message, remedy, exitCode, cause: error });
  }
}
