import type { RsyncSource } from './rsync-source';
import { excluded, treeLocation } from './tree-paths';
import { type Listing, MAX_TREE_FILES, type SmallFile, type TreeSource, unsafeListing } from './tree-source';

/** A tree in an rsync module. */
export class RsyncTree implements TreeSource {
  constructor(private readonly source: RsyncSource) {}

  get url(): string {
    return this.source.url;
  }

  async small(path: string, maxBytes: number): Promise<SmallFile | undefined> {
    const bytes = (await this.source.small([path], maxBytes)).get(path);
    return bytes === undefined ? undefined : { path, bytes, validators: { url: this.url + path } };
  }

  async list(folders: readonly string[], exclude: readonly string[]): Promise<Listing> {
    const entries = (await this.source.list(folders)).filter(({ path }) => !excluded(path, exclude));
    const unsafe = entries.find((entry) => entry.unsafe !== undefined);
    if (unsafe !== undefined) throw unsafeListing(this.url, `lists ${JSON.stringify(unsafe.path.slice(0, 300))}, which ${unsafe.unsafe}`);
    const odd = entries.flatMap(({ path }) => {
      const location = treeLocation(path);
      return 'problem' in location ? [`lists ${JSON.stringify(path.slice(0, 300))}, which ${location.problem}`] : [];
    })[0];
    if (odd !== undefined) throw unsafeListing(this.url, odd);
    const files = entries.filter(({ kind }) => kind === 'file');
    if (files.length > MAX_TREE_FILES) throw unsafeListing(this.url, `has more than ${MAX_TREE_FILES} files`);
    return {
      files: files.map(({ path, size, modified }) => ({ path, size, modified })),
      leftOut: entries.filter(({ kind }) => kind !== 'file' && kind !== 'folder').map(({ path, kind }) => `${path} (${kind})`),
    };
  }
}
