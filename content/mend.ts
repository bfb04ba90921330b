import { linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Checksum, checksumKey } from '../rpm-metadata/checksum';
import { type LostFile, readLost, writeLost } from './damage';
import { buildsInWork } from './build-expire';
import type { ExpectedFile } from './expected';
import { flushFileSystem, isAbsent, linkOrCopy } from './files';
import type { Layout } from './layout';
import { type Aliases, CHANGED, digestsOf, type Finding, isWhole, present } from './scrub-read';
import { damageRecord, expectedOf, scrubbedHere, shownTree, treeDirectory, treesDirectory, treesOf } from './scrubbed-trees';
import { filesOf, namesIn, stamp } from './snapshot';
import type { Store } from './store';

/** What became of content that was found damaged or missing. */
export interface Mended {
  readonly checksum: Checksum;
  readonly why: string;
  /** `copy`: from another copy on this disk; `lost`: there is none, and nothing of it is served; `unused`: no tree has it. */
  readonly result: 'copy' | 'lost' | 'unused';
  /** `<id>: <path>`, each once; of a build `builds/<series>: <path>`. */
  readonly places: readonly string[];
}

/** A place in a tree that wants one of the contents, or has one of the bad inodes. */
interface Place {
  readonly id: string;
  readonly snapshot: string;
  readonly at: string;
  readonly file: ExpectedFile;
  readonly inode: number | undefined;
}

/** Which inodes are wrong where. */
class Wrong {
  /** Inodes with wrong bytes, and what they were. */
  readonly bad = new Map<number, Checksum>();
  /** Whole files under a digest that is not theirs. */
  private readonly misplaced = new Set<string>();

  misplace(inode: number, checksum: Checksum): void {
    this.misplaced.add(`${inode} ${checksumKey(checksum)}`);
  }

  has(inode: number | undefined, checksum: Checksum): boolean {
    return inode !== undefined && (this.bad.has(inode) || this.misplaced.has(`${inode} ${checksumKey(checksum)}`));
  }
}

/**
 * Puts right on this disk what a scrub found: a whole copy takes the place of what is damaged or missing, in the store and in every tree. Where
 * there is none, nothing of it stays served, and a record beside each snapshot says what it lacks. Wrong bytes are kept in the quarantine; while they are,
 * no other file gets their inode, which is how their links are known, also by a later run.
 */
export class Mender {
  constructor(
    private readonly layout: Layout,
    private readonly store: Store,
    /** A directory of this run, on the file system of the content. */
    private readonly work: string,
    private readonly now: () => Date,
  ) {}

  /**
   * Wrong bytes of the quarantine that the store or a tree, also one that is being made, still has a link to: a run was interrupted, or a sync was
   * using them. A directory that was imported may have links, too: those are not ours.
   */
  async unfinished(aliases: Aliases): Promise<readonly Finding[]> {
    const findings: (Finding & { readonly inode: number })[] = [];
    for (const date of await namesIn(this.layout.damaged)) {
      for (const name of await namesIn(join(this.layout.damaged, date))) {
        const at = join(this.layout.damaged, date, name);
        const match = /^(sha1|sha224|sha256|sha384|sha512)-([0-9a-f]+)\.\d+$/.exec(name);
        const found = present(at);
        if (match === null || found === undefined || found.nlink < 2) continue;
        const checksum = { algorithm: match[1], hex: match[2] } as Checksum;
        findings.push({ checksum, why: CHANGED, inode: found.ino, at });
      }
    }
    if (findings.length === 0) return [];
    const inTrees = await this.inodesInTrees();
    return findings.filter(
      ({ inode, checksum }) =>
        inTrees.has(inode) ||
        [checksum, ...(aliases.byInode.get(inode) ?? [])].some((name) => present(this.store.path(name))?.ino === inode),
    );
  }

  private async inodesInTrees(): Promise<ReadonlySet<number>> {
    const inodes = new Set<number>();
    try {
      const all = (await scrubbedHere(this.layout)).map((id) => treesDirectory(this.layout, id));
      for (const trees of [...all, ...(await buildsInWork(this.layout))]) {
        for (const path of await filesOf(trees)) inodes.add(present(join(trees, path))?.ino ?? -1);
      }
      return inodes;
    } catch (error) {
      // A tree that was being made was published, or given up.
      if (isAbsent(error)) return this.inodesInTrees();
      throw error;
    }
  }

  /** @param aliases other names in the store, as they were when the run began */
  async mend(findings: readonly Finding[], aliases: Aliases): Promise<readonly Mended[]> {
    if (findings.length === 0) return [];
    const broken = new Map(findings.map(({ checksum }) => [checksumKey(checksum), checksum]));
    const wrong = new Wrong();
    // The SHA-256 of a file that has other names as well comes first.
    for (const { inode, checksum } of findings) if (inode !== undefined && !wrong.bad.has(inode)) wrong.bad.set(inode, checksum);
    for (const inode of wrong.bad.keys()) for (const alias of aliases.byInode.get(inode) ?? []) broken.set(checksumKey(alias), alias);
    const places = await this.survey(broken, wrong.bad);
    const names = namesOfEach(broken, wrong.bad, places, aliases);
    const copies = new Map<string, string>();
    for (const [key, checksum] of broken) {
      const copy = await this.wholeCopy(checksum, names.get(key) as Names, places, wrong);
      if (copy !== undefined) copies.set(key, copy);
    }
    const toMend = places.filter(({ inode, file }) => inode === undefined || wrong.has(inode, file.checksum));
    // What takes space comes first: on a full disk nothing has changed by then.
    await this.noteLost(
      toMend.filter(({ file }) => !copies.has(checksumKey(file.checksum))),
      findings,
    );
    this.keepBad(wrong.bad, [
      ...findings.flatMap(({ at }) => at ?? []),
      ...[...broken.values()].map((checksum) => this.store.path(checksum)),
      ...places.map(({ at }) => at),
    ]);
    for (const [key, checksum] of broken) {
      const copy = copies.get(key);
      const path = this.store.path(checksum);
      if (copy === undefined) this.removeWrong(path, checksum, wrong);
      else if (isOfStore(checksum, places)) this.enter(copy, path, checksum, wrong);
    }
    for (const { at, file } of toMend) {
      const copy = copies.get(checksumKey(file.checksum));
      if (copy === undefined) this.removeWrong(at, file.checksum, wrong);
      else this.replace(copy, at);
    }
    await flushFileSystem(this.layout.root);
    return outcomes(findings, toMend, copies, names);
  }

  /** Links what the store has by now into the places that lack it, and forgets that it was lost. Returns where. */
  async bringBack(): Promise<readonly { readonly file: LostFile; readonly place: string }[]> {
    const back: { file: LostFile; place: string }[] = [];
    const all = await this.allLost();
    const here = new Map<string, boolean>();
    for (const { checksum } of all.flatMap(({ lost }) => lost)) {
      const key = checksumKey(checksum);
      if (!here.has(key)) here.set(key, await this.isInStore(checksum));
    }
    for (const { id, snapshot, lost } of all) {
      const found = lost.filter(({ checksum }) => here.get(checksumKey(checksum)));
      if (found.length === 0) continue;
      for (const file of found) {
        this.replace(this.store.path(file.checksum), join(treeDirectory(this.layout, id, snapshot), file.path));
        back.push({ file, place: `${shownTree(id)}: ${file.path}` });
      }
      await flushFileSystem(this.layout.root);
      const rest = lost.filter(({ checksum }) => here.get(checksumKey(checksum)) === false);
      await writeLost(damageRecord(this.layout, id, snapshot), rest);
    }
    return back;
  }

  /** What is known to be lost, by snapshot. */
  async allLost(): Promise<readonly { readonly id: string; readonly snapshot: string; readonly lost: readonly LostFile[] }[]> {
    const found: { id: string; snapshot: string; lost: readonly LostFile[] }[] = [];
    for (const id of await scrubbedHere(this.layout)) {
      for (const snapshot of await treesOf(this.layout, id)) {
        const lost = readLost(damageRecord(this.layout, id, snapshot));
        if (lost.length > 0) found.push({ id, snapshot, lost });
      }
    }
    return found;
  }

  /** Somebody may have put it there by hand: its bytes are looked at. */
  private async isInStore({ algorithm, hex }: Checksum): Promise<boolean> {
    const read = await digestsOf(this.store.path({ algorithm, hex }), [algorithm]);
    return read?.digests?.get(algorithm) === hex;
  }

  /** Every place of the contents and of the bad inodes, in all trees. What such places are expected to have becomes one of the contents. */
  private async survey(broken: Map<string, Checksum>, bad: ReadonlyMap<number, Checksum>): Promise<readonly Place[]> {
    for (;;) {
      const known = broken.size;
      const places: Place[] = [];
      for (const id of await scrubbedHere(this.layout))
        for (const snapshot of await treesOf(this.layout, id)) places.push(...(await this.placesIn(id, snapshot, broken, bad)));
      if (broken.size === known) return places;
    }
  }

  private async placesIn(
    id: string,
    snapshot: string,
    broken: Map<string, Checksum>,
    bad: ReadonlyMap<number, Checksum>,
  ): Promise<readonly Place[]> {
    const tree = treeDirectory(this.layout, id, snapshot);
    const places: Place[] = [];
    const expected = new Map((await expectedOf(this.layout, id, snapshot)).map((file) => [file.path, file]));
    const add = (file: ExpectedFile, inode: number | undefined): void =>
      void places.push({ id, snapshot, at: join(tree, file.path), file, inode });
    for (const file of expected.values()) if (broken.has(checksumKey(file.checksum))) add(file, present(join(tree, file.path))?.ino);
    if (bad.size === 0) return places;
    const found = new Set(places.map(({ file }) => file.path));
    for (const path of await filesOf(tree)) {
      const inode = found.has(path) ? undefined : present(join(tree, path))?.ino;
      const was = inode === undefined ? undefined : bad.get(inode);
      if (was === undefined) continue;
      const file = expected.get(path) ?? { path, checksum: was, stored: true };
      broken.set(checksumKey(file.checksum), file.checksum);
      add(file, inode);
    }
    return places;
  }

  /** A file with the right bytes, among those that should have them. What turns out to have others is added to `wrong`. */
  private async wholeCopy(checksum: Checksum, names: Names, places: readonly Place[], wrong: Wrong): Promise<string | undefined> {
    const candidates = [
      ...[...names.values()].map((name) => this.store.path(name)),
      ...places.filter(({ file }) => names.has(checksumKey(file.checksum))).map(({ at }) => at),
    ];
    const looked = new Set<number>();
    let copy: string | undefined;
    for (const candidate of candidates) {
      const inode = present(candidate)?.ino;
      if (inode === undefined || looked.has(inode) || wrong.has(inode, checksum)) continue;
      looked.add(inode);
      const read = await digestsOf(candidate, [checksum.algorithm, 'sha256']);
      if (read === undefined) continue;
      if (read.digests?.get(checksum.algorithm) === checksum.hex) copy ??= candidate;
      else if (isWhole(this.store, read)) wrong.misplace(inode, checksum);
      else wrong.bad.set(inode, checksum);
    }
    return copy;
  }

  private async noteLost(places: readonly Place[], findings: readonly Finding[]): Promise<void> {
    const since = this.now().toISOString();
    const whyOf = ({ inode, file }: Place): string =>
      findings.find((found) => (inode !== undefined && found.inode === inode) || checksumKey(found.checksum) === checksumKey(file.checksum))
        ?.why ?? CHANGED;
    const trees = new Map(places.map(({ id, snapshot }) => [`${id} ${snapshot}`, { id, snapshot }]));
    for (const { id, snapshot } of trees.values()) {
      const before = readLost(damageRecord(this.layout, id, snapshot));
      const known = new Set(before.map(({ path }) => path));
      const here = places.filter((place) => place.id === id && place.snapshot === snapshot && !known.has(place.file.path));
      const files = here.map((place): LostFile => {
        const { path, checksum, size, href, base } = place.file;
        return { path, checksum, size, href, base, since, why: whyOf(place) };
      });
      if (files.length > 0) await writeLost(damageRecord(this.layout, id, snapshot), [...before, ...files]);
    }
  }

  /** Keeps wrong bytes, by a link more. */
  private keepBad(bad: ReadonlyMap<number, Checksum>, paths: readonly string[]): void {
    const folder = join(this.layout.damaged, stamp(this.now()).slice(0, 8));
    for (const [inode, checksum] of bad) {
      const from = paths.find((path) => present(path)?.ino === inode);
      if (from === undefined || from.startsWith(`${this.layout.damaged}/`)) continue;
      const target = join(folder, `${checksumKey(checksum)}.${inode}`);
      mkdirSync(folder, { recursive: true });
      if (present(target) === undefined) linkOrMove(from, target);
    }
  }

  /** Puts a whole copy into the store, unless a sync did so meanwhile. */
  private enter(copy: string, path: string, checksum: Checksum, wrong: Wrong): void {
    const inode = present(path)?.ino;
    if (inode === undefined || wrong.has(inode, checksum)) this.replace(copy, path);
  }

  /** One rename: no reader misses it. */
  private replace(copy: string, target: string): void {
    const temporary = join(this.work, 'link');
    rmSync(temporary, { force: true });
    linkOrCopy(copy, temporary);
    mkdirSync(dirname(target), { recursive: true });
    renameSync(temporary, target);
    // Where both were links to one file already, rename leaves the first.
    rmSync(temporary, { force: true });
  }

  /** Removes a wrong link. A sync may put a whole file there at any moment: what is removed is looked at, and goes back if it is that. */
  private removeWrong(path: string, checksum: Checksum, wrong: Wrong): void {
    if (!wrong.has(present(path)?.ino, checksum)) return;
    const temporary = join(this.work, 'removed');
    rmSync(temporary, { force: true });
    renameSync(path, temporary);
    if (!wrong.has(present(temporary)?.ino, checksum)) renameSync(temporary, path);
    rmSync(temporary, { force: true });
  }
}

/** Where a file has as many links as the file system allows it is moved: its link would be replaced or removed anyway. */
function linkOrMove(from: string, target: string): void {
  try {
    linkSync(from, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMLINK') throw error;
    renameSync(from, target);
  }
}

/** Digests of one content, by key. */
type Names = ReadonlyMap<string, Checksum>;

/** All digests under which each content is known. */
function namesOfEach(
  broken: Names,
  bad: ReadonlyMap<number, Checksum>,
  places: readonly Place[],
  aliases: Aliases,
): ReadonlyMap<string, Names> {
  const result = new Map<string, Map<string, Checksum>>([...broken].map(([key, checksum]) => [key, new Map([[key, checksum]])]));
  for (const [inode, checksum] of bad) {
    const expected = places.filter((place) => place.inode === inode).map(({ file }) => file.checksum);
    const members = [checksum, ...(aliases.byInode.get(inode) ?? []), ...expected];
    for (const one of members) for (const other of members) result.get(checksumKey(one))?.set(checksumKey(other), other);
  }
  return result;
}

/** Whether the store should have it: what the mirror made for one tree is there alone. */
function isOfStore(checksum: Checksum, places: readonly Place[]): boolean {
  const wanted = places.filter(({ file }) => checksumKey(file.checksum) === checksumKey(checksum));
  return wanted.length === 0 || wanted.some(({ file }) => file.stored);
}

function outcomes(
  findings: readonly Finding[],
  mended: readonly Place[],
  copies: ReadonlyMap<string, string>,
  names: ReadonlyMap<string, Names>,
): readonly Mended[] {
  const told = new Set<string>();
  const result: Mended[] = [];
  for (const { checksum, why } of findings) {
    const key = checksumKey(checksum);
    const same = names.get(key) as Names;
    if ([...same.keys()].some((name) => told.has(name))) continue;
    told.add(key);
    const places = [
      ...new Set(mended.filter(({ file }) => same.has(checksumKey(file.checksum))).map(({ id, file }) => `${shownTree(id)}: ${file.path}`)),
    ];
    result.push({ checksum, why, result: copies.has(key) ? 'copy' : places.length === 0 ? 'unused' : 'lost', places: places.sort() });
  }
  return result;
}
