/** A mirror with package lists, an upstream of a repository, and a web server on which single packages lie: for tests of lists. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SyncOutcome } from '../../../content/sync';
import type { ListsDefinition, RepositoryDefinition } from '../../../desired-state/definitions';
import { History } from './history';
import { buildPackage, dropKey, makeKey, type TestKey } from './keys';
import { TestMirror } from './mirror';
import { fillRepository, Upstream } from './upstream';

export const LISTS = 'stx-3.0';
export const LIST = 'rpms_centos.lst';

/** Name of the file of `a-1`, which has release 1 and is for all machines. */
export const rpm = (name: string): string => `${name}-1.noarch.rpm`;

export class ListsWorld {
  readonly work = mkdtempSync(join(tmpdir(), 'lists-'));
  readonly key: TestKey = makeKey(join(this.work, 'key'), 'mirror');
  readonly vendor: TestKey = makeKey(join(this.work, 'vendor'), 'vendor');
  /** File by what it is called here. */
  readonly files: Record<string, string> = {};
  mirror!: TestMirror;
  history!: History;
  os!: Upstream;
  elsewhere!: Upstream;

  /** Builds `a-1` and the like; `as` tells several of one name and version apart. */
  build(name: string, as = name): string {
    const [stem, version] = name.split('-') as [string, string];
    return (this.files[as] = buildPackage(join(this.work, as.replaceAll(' ', '-')), stem, version, 2000 + Object.keys(this.files).length));
  }

  async begin(): Promise<void> {
    this.mirror = new TestMirror();
    this.mirror.signBy(this.key);
    this.history = new History(this.mirror);
    this.os = await new Upstream(mkdtempSync(join(this.work, 'os-'))).start();
    this.elsewhere = await new Upstream(mkdtempSync(join(this.work, 'elsewhere-'))).start();
  }

  async end(): Promise<void> {
    await this.history.close();
    await this.os.stop();
    await this.elsewhere.stop();
    this.mirror.remove();
  }

  close(): void {
    dropKey(this.key);
    dropKey(this.vendor);
    rmSync(this.work, { recursive: true });
  }

  bytes(name: string): Buffer {
    return readFileSync(this.files[name] as string);
  }

  upstreamHas(...names: string[]): void {
    fillRepository(
      this.os.root,
      names.map((name) => this.files[name] as string),
    );
  }

  /** Puts a file where a list says that it is; returns its URL. */
  put(name: string, content: string | Buffer = name): string {
    mkdirSync(join(this.elsewhere.root, 'files'), { recursive: true });
    const path = join(this.elsewhere.root, 'files', name);
    if (typeof content === 'string') copyFileSync(this.files[content] as string, path);
    else writeFileSync(path, content);
    return `${this.elsewhere.url}files/${name}`;
  }

  ask(lines: readonly string[], more: Partial<ListsDefinition> = {}): void {
    this.mirror.write(`definitions/lists/${LISTS}.yaml`, {
      kind: 'lists',
      id: LISTS,
      publicPath: `mirror/starlingx/lists/${LISTS}/centos`,
      lists: { [LIST]: lines.map((line) => `${line}\n`).join('') },
      ...more,
    });
  }

  repository(more: Partial<RepositoryDefinition> = {}, id = 'os'): void {
    this.mirror.repository(id, [this.os.url], undefined, { view: 'accumulate', ...more });
  }

  async synced(...ids: string[]): Promise<SyncOutcome> {
    let outcome: SyncOutcome | undefined;
    for (const id of ids) outcome = await this.history.sync(id);
    return outcome as SyncOutcome;
  }

  /** Bytes of what the lists publish under a name. */
  served(name: string): Buffer {
    return readFileSync(this.mirror.published(LISTS, 'Packages', name));
  }
}
