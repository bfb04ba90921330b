import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Plan } from '../../../content/retention';
import { isNewer, isWithin, keyOfPackage, keysOf, leaving, same, sameFiles, timeOf, wasThere } from './compare';
import { DAY, History } from './history';
import type { TestKey } from './keys';
import { TestMirror } from './mirror';
import { type Files, observe, type Observed } from './observed';
import type { Upstream } from './upstream';

/** Real packages by `<name>-<version>`, and of one another with other content, `a-2*`. */
export type Pool = ReadonlyMap<string, { readonly file: string; readonly path: string; readonly sha256: string }>;
export interface Repository {
  readonly id: string;
  readonly view: 'accumulate' | 'verbatim';
  readonly upstream: Upstream;
  declared: boolean;
  pins: string[];
  rules: { newestVersions?: number; droppedDays?: number; snapshotDays?: number };
  waived: boolean;
  /** Of the pool. */
  offers: Set<string>;
  revision: number;
  /** Of what was taken last. */
  published: number;
  /** What must be published: path → SHA-256. */
  listed: Map<string, string>;
  /** Path → when a sync first saw that upstream has it no more. */
  dropped: Map<string, number>;
  refused: Set<string>;
  /** Every snapshot that there ever was. */
  ever: Set<string>;
}

/** A stage of an item in the ledger, and for how long it has been in it, of the time in which this server ran. */
export interface Term {
  elapsed: number;
  since: number;
  /** The shortest term that was declared meanwhile. */
  required: number;
}

export interface Gone {
  readonly id: string;
  readonly path: string;
  readonly sha256: string;
  readonly dropped: number | undefined;
}

export interface LedgerEntry {
  readonly item: { readonly kind: string; readonly id: string; readonly path?: string; readonly checksum?: { readonly hex: string } };
  readonly by: string;
  readonly stage: 'announced' | 'quarantined';
  readonly announcedAt: string;
}

export const WEEK = 7 * DAY;
export const HOSTED = ['acme/mos/os', 'gone/mos/os'] as const;

/** What has to be there, by what the documents promise: fed with what happens, and compared with what is on disk. No code of the rules is used. */
export class Model {
  readonly mirror: TestMirror;
  readonly history: History;
  protected readonly repositories: Repository[] = [];
  protected policy = { graceDays: 1, quarantineDays: 5, sharePercent: 40 };
  /** Declared: as the definition has it. */
  protected readonly releases = new Map<
    string,
    { at?: string; members: { id: string; publicPath: string; snapshot?: string }[]; pins?: string[] }
  >();
  /** Frozen, and not forgotten: its bytes and members. */
  protected readonly frozen = new Map<string, { readonly files: Files; readonly members: ReadonlyMap<string, string> }>();
  protected readonly frozenAway = new Map<string, { readonly files: Files; readonly members: ReadonlyMap<string, string> }>();
  protected readonly terms = new Map<string, Term>();
  protected readonly restored = new Map<string, number>();
  /** Packages in quarantine. */
  protected readonly gone = new Map<string, Gone>();
  protected lastRun: number | undefined;
  /** Whether the first of the hosted components is declared. */
  protected hosts = true;
  readonly log: string[] = [];
  readonly happened = new Map<string, number>();

  constructor(
    protected readonly work: string,
    protected readonly pool: Pool,
    key: TestKey,
  ) {
    this.mirror = new TestMirror({ base: work });
    this.mirror.signBy(key);
    this.history = new History(this.mirror);
  }

  protected repository(id: string): Repository {
    return this.repositories.find((one) => one.id === id) as Repository;
  }

  look(): Observed {
    return observe(this.mirror.root);
  }

  protected did(what: string): void {
    this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
  }

  /** The shortest term that was declared while an item was in its stage. */
  protected requireTerms(): void {
    for (const [key, term] of this.terms)
      term.required = Math.min(term.required, (key.startsWith('announced') ? this.policy.graceDays : this.policy.quarantineDays) * DAY);
  }

  protected judgeQuarantined(
    before: Observed,
    after: Observed,
    plan: Plan,
    ledger: Record<string, LedgerEntry>,
    confirmed: readonly string[],
    now: number,
    terms: ReadonlyMap<string, Term>,
  ): void {
    const left = leaving(before, after);
    const wanted = keysOf(plan.quarantine);
    // What is of a repository that goes as a whole in the same run is not seen to leave by itself.
    same(
      'what left service, and the plan',
      left,
      wanted.filter((key) => wasThere(before, key) && !isWithin(key, wanted)),
    );
    const byRule = new Map<string, number>();
    for (const key of wanted) {
      const entry = ledger[key];
      const term = terms.get(`announced ${key} ${entry?.announcedAt}`);
      if (entry === undefined || term === undefined) throw new Error(`${key} goes and was not announced`);
      if (term.elapsed < term.required) throw new Error(`${key} goes after ${term.elapsed / DAY} days of its ${term.required / DAY}`);
      this.requireMayGo(key, entry, before, now);
      this.did(`quarantined ${entry.item.kind} by ${entry.by}`);
      if (entry.by === 'rule' && entry.item.kind === 'package')
        byRule.set(entry.item.id, (byRule.get(entry.item.id) ?? 0) + this.sizeOf(entry.item.path as string));
      this.takeAway(key, entry);
    }
    for (const [id, bytes] of byRule) {
      const all = [...(before.repositories.get(id)?.listed.keys() ?? [])].reduce((sum, path) => sum + this.sizeOf(path), 0);
      if (!confirmed.includes(id) && bytes > (all * this.policy.sharePercent) / 100)
        throw new Error(`${bytes} of ${all} bytes of ${id} left unasked`);
    }
    // The newest versions stay, whatever else goes.
    for (const { id, rules, listed } of this.repositories) {
      if (rules.newestVersions === undefined || left.includes(id)) continue;
      for (const path of before.repositories.get(id)?.listed.keys() ?? []) {
        if (listed.has(path) || ledger[keyOfPackage(id, path)]?.by === 'operator') continue;
        const newer = [...(before.repositories.get(id)?.listed.keys() ?? [])].filter((other) => isNewer(other, path)).length;
        if (newer < rules.newestVersions) throw new Error(`${path} is among the newest ${rules.newestVersions}, and went`);
      }
    }
    if (plan.stopped.length > 0) this.did('stopped');
    if (plan.withdraw.length > 0) this.did('withdrawn');
  }

  protected sizeOf(path: string): number {
    const found = [...this.pool.values()].find((one) => one.path === path) as { file: string };
    return readFileSync(found.file).length;
  }

  /** By the rules as they are declared now, in the words of the documents. */
  protected requireMayGo(key: string, { item, by }: LedgerEntry, before: Observed, now: number): void {
    const no = (why: string): never => {
      throw new Error(`${key} went, and ${why}`);
    };
    const { id } = item;
    const repository = this.repositories.find((one) => one.id === id);
    if (item.kind === 'repository') {
      if (repository?.declared === true || (id === HOSTED[0] && this.hosts)) no('it is declared');
      for (const [release, { members }] of this.reached(before)) if (members.has(id)) no(`the release ${release} is made of it`);
      return;
    }
    if (item.kind === 'release') return this.releases.has(id) ? no('it is declared') : undefined;
    if (by === 'rule' && repository?.declared !== true) no('it is not declared');
    const rules = repository?.rules ?? {};
    if (item.kind === 'snapshot') {
      const name = key.slice(id.length + 1);
      const here = [...(before.repositories.get(id)?.snapshots.keys() ?? [])].sort();
      if (name === before.repositories.get(id)?.current) no('it is published');
      for (const [release, { members }] of this.reached(before)) if (members.get(id) === name) no(`the release ${release} is made of it`);
      for (const gone of this.gone.values())
        if (gone.id === id && before.repositories.get(id)?.snapshots.get(name)?.get(gone.path) === gone.sha256) {
          const others = here.filter(
            (one) => one !== name && before.repositories.get(id)?.snapshots.get(one)?.get(gone.path) === gone.sha256,
          );
          if (others.length === 0) no(`it is the last to have ${gone.path}`);
        }
      if (by === 'operator') return;
      if (here[here.indexOf(before.repositories.get(id)?.current as string) - 1] === name) no('it is the one before the published one');
      const next = [...(repository?.ever ?? [])].sort().find((one) => one > name);
      if (next === undefined || now - timeOf(next) < (rules.snapshotDays ?? 90) * DAY) no(`it was superseded by ${next}`);
      return;
    }
    const path = item.path as string;
    if (by === 'operator') return;
    if (repository?.pins.includes(basename(path, '.noarch.rpm')) === true) no('it is pinned');
    const since = repository?.dropped.get(path);
    if (since === undefined) return no('upstream has it');
    if (rules.droppedDays === undefined && rules.newestVersions === undefined) no('there is no rule');
    const from = Math.max(since, this.restored.get(key) ?? -Infinity);
    if (now - from < (rules.droppedDays ?? 0) * DAY) no(`it was dropped on ${new Date(from).toISOString()}`);
  }

  /** Snapshots that releases are made of: frozen ones, those in quarantine, and those that wait. */
  protected reached(before: Observed): ReadonlyMap<string, { readonly members: ReadonlyMap<string, string> }> {
    const found = new Map<string, { readonly members: ReadonlyMap<string, string> }>([...this.frozenAway, ...this.frozen]);
    for (const [release, { at: time, members }] of this.releases) {
      if (this.frozen.has(release)) continue;
      const chosen = new Map<string, string>();
      for (const { id, snapshot } of members) {
        const here = [...(before.repositories.get(id)?.snapshots.keys() ?? [])].sort();
        // Of all that there ever were: an older one does not stand in for what was taken.
        const ever = [...new Set([...here, ...(this.repositories.find((one) => one.id === id)?.ever ?? [])])].sort();
        const found = snapshot ?? ever.filter((name) => timeOf(name) <= Date.parse(time as string)).at(-1);
        if (found !== undefined && here.includes(found)) chosen.set(id, found);
      }
      found.set(release, { members: chosen });
    }
    return found;
  }

  /** The model without an item. */
  protected takeAway(key: string, { item, by }: LedgerEntry): void {
    const repository = this.repositories.find((one) => one.id === item.id);
    if (item.kind === 'package' && repository !== undefined) {
      const path = item.path as string;
      const sha256 = repository.listed.get(path) as string;
      this.gone.set(key, { id: item.id, path, sha256, dropped: repository.dropped.get(path) });
      repository.listed.delete(path);
      repository.dropped.delete(path);
      if (by === 'operator') repository.refused.add(sha256);
    }
    if (item.kind === 'snapshot') this.taken.add(key);
    if (item.kind === 'repository') for (const one of this.known.keys()) if (one.startsWith(`${item.id}@`)) this.taken.add(one);
    if (item.kind === 'release') {
      const frozen = this.frozen.get(item.id);
      if (frozen !== undefined) this.frozenAway.set(item.id, frozen);
      this.frozen.delete(item.id);
    }
    if (item.kind === 'repository' && repository !== undefined) {
      this.away.set(item.id, {
        listed: new Map(repository.listed),
        dropped: new Map(repository.dropped),
        refused: new Set(repository.refused),
        ever: new Set(repository.ever),
      });
      repository.listed.clear();
      repository.dropped.clear();
      repository.refused.clear();
      repository.ever.clear();
    }
  }

  /** Whole repositories in quarantine: the model of them. */
  protected readonly away = new Map<
    string,
    { listed: Map<string, string>; dropped: Map<string, number>; refused: Set<string>; ever: Set<string> }
  >();

  protected judgeRemoved(before: Observed, after: Observed, plan: Plan, terms: ReadonlyMap<string, Term>): void {
    const gone = [...before.quarantine.keys()].filter((key) => !after.quarantine.has(key)).sort();
    const wanted = plan.remove.filter(({ item }) => item.kind !== 'package');
    same(
      'what left the quarantine, and the plan',
      gone,
      keysOf(wanted).filter((key) => before.quarantine.has(key)),
    );
    for (const { item, announcedAt } of plan.remove) {
      const key = keysOf([{ item }])[0] as string;
      const term = terms.get(`quarantined ${key} ${announcedAt}`);
      if (term === undefined || term.elapsed < term.required)
        throw new Error(`${key} goes for good after ${(term?.elapsed ?? 0) / DAY} days`);
      this.gone.delete(key);
      this.frozenAway.delete(item.id);
      this.away.delete(key);
      this.did(`removed ${item.kind}`);
    }
    const swept = new Set(plan.unused.stopped ? [] : plan.unused.remove.map(({ inode }) => inode));
    for (const [hex, { inode, nlink }] of before.store) {
      const isIn = after.store.has(hex);
      if (swept.has(inode) && isIn) throw new Error(`store/${hex} stayed`);
      if (isIn) continue;
      const uses = before.uses.get(inode) ?? [];
      const removed = plan.remove.map(({ item }) => `/${keysOf([{ item }])[0]?.replaceAll('/', '+')}/`);
      const pins = plan.remove.filter(({ item }) => item.kind === 'release').map(({ item }) => `/repositories/releases/${item.id}/`);
      const others = uses.filter((path) => ![...removed, ...pins].some((part) => path.includes(part)));
      if (nlink > 1 && others.length > 0) throw new Error(`store/${hex} went, and ${others[0]} uses it`);
    }
  }

  protected get ledgerPath(): string {
    return join(this.mirror.state, 'retention.json');
  }

  ledger(): Record<string, LedgerEntry> {
    if (!existsSync(this.ledgerPath)) return {};
    return (JSON.parse(readFileSync(this.ledgerPath, 'utf8')) as { entries: Record<string, LedgerEntry> }).entries;
  }

  protected readTerms(): void {
    const ledger = this.ledger();
    const now = this.history.at.getTime();
    const seen = new Set<string>();
    for (const [key, { stage, announcedAt }] of Object.entries(ledger)) {
      const name = `${stage} ${key} ${announcedAt}`;
      seen.add(name);
      if (!this.terms.has(name)) this.terms.set(name, { elapsed: 0, since: now, required: Infinity });
    }
    for (const name of this.terms.keys()) if (!seen.has(name)) this.terms.delete(name);
    this.requireTerms();
  }

  /** What has to be there, is. */
  judge(observed: Observed): void {
    if (observed.problems.length > 0) throw new Error(observed.problems.join('; '));
    for (const { id, listed, ever } of this.repositories) {
      const found = observed.repositories.get(id);
      sameFiles(`what ${id} publishes`, listed, found?.listed ?? new Map());
      for (const [name, files] of found?.snapshots ?? []) {
        ever.add(name);
        this.requireAsItWas(`${id}@${name}`, files);
      }
    }
    for (const id of HOSTED) {
      const found = observed.repositories.get(id);
      for (const [name, files] of found?.snapshots ?? []) this.requireAsItWas(`${id}@${name}`, files);
    }
    for (const key of this.known.keys()) {
      const [id, name] = key.split('@') as [string, string];
      if (!this.taken.has(key) && observed.repositories.get(id)?.snapshots.has(name) !== true) throw new Error(`${key} is not there`);
    }
    same('releases', [...observed.releases.keys()].sort(), [...this.frozen.keys()].sort());
    for (const [id, { files }] of this.frozen) {
      sameFiles(`the release ${id}`, files, observed.releases.get(id));
      if (observed.pins.get(id) !== undefined) this.pinned.add(id);
      else if (this.pinned.has(id)) throw new Error(`what the release ${id} pins is gone`);
    }
    for (const id of this.pinned) if (!this.frozen.has(id) && !this.frozenAway.has(id)) this.pinned.delete(id);
    for (const [key, { id, path, sha256 }] of this.gone) {
      const held = [...(observed.repositories.get(id)?.snapshots.values() ?? [])].some((files) => files.get(path) === sha256);
      const away = [...(observed.quarantine.get(id) ?? [])].some(([file, digest]) => file.endsWith(`/${path}`) && digest === sha256);
      if (!held && !away) throw new Error(`${key} is in quarantine, and nothing has it`);
    }
  }

  /** Every snapshot that was ever in service, by its key, with what it had. */
  /** Releases whose pins were published. */
  protected readonly pinned = new Set<string>();

  protected readonly known = new Map<string, Files>();

  /** Of those, the ones that retention took. */
  protected readonly taken = new Set<string>();

  /** Snapshots never change. */
  protected requireAsItWas(key: string, files: Files): void {
    const before = this.known.get(key);
    if (before === undefined) this.known.set(key, files);
    else if (before.size !== files.size || [...before].some(([path, digest]) => files.get(path) !== digest)) sameFiles(key, before, files);
  }

  /** After quiet days: what nothing uses is gone, and so is what rules do not keep. */
  protected requireTidy(): void {
    const observed = this.look();
    for (const [hex, { nlink }] of observed.store) if (nlink === 1) throw new Error(`store/${hex} is used by nothing, and stays`);
    const now = this.history.at.getTime();
    for (const { id, view, rules, declared, dropped, listed, pins } of this.repositories) {
      if (!declared || view !== 'accumulate' || (rules.droppedDays === undefined && rules.newestVersions === undefined)) continue;
      for (const [path, since] of dropped) {
        const from = Math.max(since, this.restored.get(keyOfPackage(id, path)) ?? -Infinity);
        const newer = [...listed.keys()].filter((other) => isNewer(other, path)).length;
        if (pins.includes(basename(path, '.noarch.rpm')) || newer < (rules.newestVersions ?? 0)) continue;
        if (now - from > ((rules.droppedDays ?? 0) + 2 * this.policy.graceDays + 2) * DAY)
          throw new Error(`${path} has no rule that keeps it, and stays`);
      }
    }
  }
}
