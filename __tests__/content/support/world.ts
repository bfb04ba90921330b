import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { runScrub } from '../../../content/scrub-command';
import { freezeReleases } from '../../../content/release-command';
import { verifyRelease } from '../../../content/release-verify';
import type { Plan } from '../../../content/retention';
import { MirrorError } from '../../../desired-state/errors';
import { DAY, History } from './history';
import type { TestKey } from './keys';
import { TestMirror } from './mirror';
import { type Files, observe, type Observed } from './observed';
import { createrepo, Upstream } from './upstream';

/** What a history may do. Numbers choose among what is there at that time. */
export const KINDS = [
  'add', 'add', 'drop', 'drop', 'drop', 'replace', 'waive', 'sync', 'sync', 'sync', 'sync', 'replay', 'down', 'live', 'live', 'live', 'live', 'live',
  'confirm', 'confirm', 'pin', 'unpin', 'rules', 'policy', 'release', 'release', 'freeze', 'freeze', 'withdraw release', 'undeclare', 'declare', 'forget package',
  'forget snapshot', 'forget id', 'forget release', 'forget all', 'restore', 'restore', 'restore', 'clock', 'lose the ledger', 'scrub',
] as const; // prettier-ignore
export interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly a: number;
  readonly b: number;
}

/** Real packages by `<name>-<version>`, and of one another with other content, `a-2*`. */
export type Pool = ReadonlyMap<string, { readonly file: string; readonly path: string; readonly sha256: string }>;

interface Repository {
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
interface Term {
  elapsed: number;
  since: number;
  /** The shortest term that was declared meanwhile. */
  required: number;
}

interface Gone {
  readonly id: string;
  readonly path: string;
  readonly sha256: string;
  readonly dropped: number | undefined;
}

interface LedgerEntry {
  readonly item: { readonly kind: string; readonly id: string; readonly path?: string; readonly checksum?: { readonly hex: string } };
  readonly by: string;
  readonly stage: 'announced' | 'quarantined';
  readonly announcedAt: string;
}

const WEEK = 7 * DAY;
const HOSTED = ['acme/mos/os', 'gone/mos/os'] as const;

/** A mirror with its upstreams, and beside it a model of what has to be there, by what the documents promise. */
export class World {
  readonly mirror: TestMirror;
  readonly history: History;
  private readonly repositories: Repository[] = [];
  private policy = { graceDays: 2, quarantineDays: 2, sharePercent: 40 };
  /** Declared: as the definition has it. */
  private readonly releases = new Map<
    string,
    { at?: string; members: { id: string; publicPath: string; snapshot?: string }[]; pins?: string[] }
  >();
  /** Frozen, and not forgotten: its bytes and members. */
  private readonly frozen = new Map<string, { readonly files: Files; readonly members: ReadonlyMap<string, string> }>();
  private readonly frozenAway = new Map<string, { readonly files: Files; readonly members: ReadonlyMap<string, string> }>();
  private readonly terms = new Map<string, Term>();
  private readonly restored = new Map<string, number>();
  /** Packages in quarantine. */
  private readonly gone = new Map<string, Gone>();
  private lastRun: number | undefined;
  /** Whether the first of the hosted components is declared. */
  private hosts = true;
  readonly log: string[] = [];
  readonly happened = new Map<string, number>();

  constructor(
    private readonly work: string,
    private readonly pool: Pool,
    key: TestKey,
  ) {
    this.mirror = new TestMirror({ base: work });
    this.mirror.signBy(key);
    this.history = new History(this.mirror);
  }

  async open(): Promise<void> {
    for (const [id, view] of [
      ['acc', 'accumulate'],
      ['ver', 'verbatim'],
    ] as const) {
      const upstream = await new Upstream(this.work).start();
      this.repositories.push({
        id,
        view,
        upstream,
        declared: true,
        pins: [],
        rules: view === 'accumulate' ? { droppedDays: 2, snapshotDays: 2 } : { snapshotDays: 2 },
        waived: false,
        offers: new Set(['a-1', 'a-2', 'a-3', 'b-1', 'b-2', 'c-1']),
        revision: 0,
        published: 0,
        listed: new Map(),
        dropped: new Map(),
        refused: new Set(),
        ever: new Set(),
      });
    }
    this.mirror.write('definitions/codenames/acme/mos.yaml', {
      kind: 'codename', id: 'acme/mos', owner: 'acme', release: '7.0', distribution: 'centos', version: '6', publicPath: 'mos-repos/acme/mos',
      components: ['os'], architectures: ['x86_64'], keyFile: 'RPM-GPG-KEY-mos7.0', keys: [],
    }); // prettier-ignore
    for (const id of HOSTED) this.host(id);
    this.declareAll();
    for (const repository of this.repositories) await this.sync(repository, 'now');
  }

  async close(): Promise<void> {
    await this.history.close();
    for (const { upstream } of this.repositories) await upstream.stop();
    this.mirror.remove();
  }

  /** Does a step, and judges what came of it. Throws where something is not as it has to be. */
  async step(step: Step): Promise<void> {
    this.log.push(`${this.history.at.toISOString()} ${step.kind} ${step.a} ${step.b}`);
    await this.act(step);
    // Each of its days was judged.
    if (step.kind !== 'live' && step.kind !== 'confirm') this.judge(this.look());
  }

  private async act({ kind, a, b }: Step): Promise<void> {
    const repository = at(this.repositories, a);
    const rest = [...this.pool.keys()].filter((name) => !name.endsWith('*'));
    switch (kind) {
      case 'add':
        return void repository.offers.add(at(rest, b));
      case 'drop':
        if (repository.offers.size > 1) repository.offers.delete(at([...repository.offers].sort(), b));
        return this.sync(repository, 'now');
      case 'replace':
        {
          const other = repository.offers.has('a-2*') ? 'a-2' : 'a-2*';
          repository.offers.delete('a-2*');
          repository.offers.delete('a-2');
          repository.offers.add(other);
        }
        return this.sync(repository, 'now');
      case 'waive':
        repository.waived = b % 2 === 0;
        return this.declareAll();
      case 'sync':
        return this.sync(repository, 'now');
      case 'replay':
        return this.sync(repository, 'old');
      case 'down':
        return this.sync(repository, 'down');
      case 'live':
        for (let day = 0; day <= b % 3; day++) await this.day();
        return;
      case 'confirm':
        return this.day('acc', 'ver', 'unused');
      case 'pin':
        repository.pins = repository.view === 'accumulate' ? [`${at(rest, b)}-1`] : [];
        return this.declareAll();
      case 'unpin':
        repository.pins = [];
        return this.declareAll();
      case 'rules':
        repository.rules = at(
          [
            { droppedDays: 2, snapshotDays: 2 },
            { newestVersions: 1, snapshotDays: 1 },
            { newestVersions: 2, droppedDays: 1, snapshotDays: 3 },
            { snapshotDays: 2 },
          ],
          b,
        );
        return this.declareAll();
      case 'policy':
        this.policy = at(
          [
            { graceDays: 2, quarantineDays: 2, sharePercent: 40 },
            { graceDays: 1, quarantineDays: 3, sharePercent: 20 },
            { graceDays: 3, quarantineDays: 1, sharePercent: 100 },
          ],
          b,
        );
        return this.declareAll();
      case 'release':
        return this.declareRelease(a, b);
      case 'freeze':
        return this.freeze();
      case 'withdraw release':
        this.releases.delete(at([...this.releases.keys()], a) ?? '');
        return this.declareAll();
      case 'undeclare':
        repository.declared = false;
        return this.declareAll();
      case 'declare':
        repository.declared = true;
        this.declareAll();
        return this.sync(repository, 'now');
      case 'forget package': {
        const path = at([...this.repository('acc').listed.keys()].sort(), a);
        return this.forget(path === undefined ? 'acc:none-1-1' : `acc:${basename(path, '.rpm')}`, b);
      }
      case 'forget snapshot': {
        const snapshots = [...(this.look().repositories.get(repository.id)?.snapshots.keys() ?? [])];
        return this.forget(`${repository.id}@${at(snapshots, b) ?? 'none'}`, b);
      }
      case 'forget id':
        return this.forget(at(['acc', 'ver', ...HOSTED, 'acme', 'gone'], a), b);
      case 'forget release':
        return this.forget(`releases/${at([...this.frozen.keys()], a) ?? 'none'}`, b);
      case 'forget all':
        return this.forget('releases', b);
      case 'restore':
        return this.restore(at(Object.keys(this.ledger()).sort(), a) ?? 'none');
      case 'clock': {
        const jumps = [-4000, -400, -30, -3, -0.2, 0.2, 3, 6.5, 8, 30, 400, 4000];
        return void this.history.pass(at(jumps, b));
      }
      case 'lose the ledger':
        rmSync(this.ledgerPath, { force: true });
        this.terms.clear();
        this.gone.clear();
        this.restored.clear();
        this.lastRun = undefined;
        return;
      case 'scrub':
        return this.scrub(a);
    }
  }

  private repository(id: string): Repository {
    return this.repositories.find((one) => one.id === id) as Repository;
  }

  look(): Observed {
    return observe(this.mirror.root);
  }

  private did(what: string): void {
    this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
  }

  private declareAll(): void {
    this.history.server(this.policy);
    for (const { id, view, upstream, declared, pins, rules, waived } of this.repositories) {
      const path = join(this.mirror.configuration, `definitions/repositories/${id}.yaml`);
      rmSync(path, { force: true });
      if (!declared) continue;
      const { snapshotDays, ...packages } = rules;
      this.mirror.repository(id, [upstream.url], undefined, {
        view,
        retention: view === 'accumulate' ? rules : { snapshotDays: snapshotDays as number },
        ...(pins.length === 0 ? {} : { pins }),
        ...(waived ? { waivers: [{ allow: 'changedPackages', reason: 'a test' }] } : {}),
      });
      void packages;
    }
    const folder = join(this.mirror.configuration, 'definitions/releases');
    rmSync(folder, { recursive: true, force: true });
    for (const [id, release] of this.releases) this.mirror.write(`definitions/releases/${id}.yaml`, { kind: 'release', id, ...release });
  }

  /** A hosted component with two snapshots. */
  private host(id: string): void {
    const home = join(this.mirror.root, 'repositories', id);
    for (const [index, name] of ['20291201T000000Z-aaaaaaaaaaaa', '20291202T000000Z-bbbbbbbbbbbb'].entries()) {
      const tree = join(home, 'snapshots', name);
      mkdirSync(join(tree, 'Packages'), { recursive: true });
      for (const item of index === 0 ? ['d-1'] : ['d-1', 'd-2']) {
        const { file, path, sha256 } = this.pool.get(item) as { file: string; path: string; sha256: string };
        const stored = join(this.mirror.root, 'store/sha256', sha256.slice(0, 2), sha256);
        mkdirSync(join(stored, '..'), { recursive: true });
        if (!existsSync(stored)) copyFileSync(file, stored);
        linkSync(stored, join(tree, path));
      }
      createrepo(tree);
      rmSync(join(home, 'current'), { force: true });
      symlinkSync(`snapshots/${name}`, join(home, 'current'));
    }
  }

  /** Brings about what upstream has, and syncs. */
  private async sync(repository: Repository, served: 'now' | 'old' | 'down'): Promise<void> {
    const { upstream, listed, dropped, refused } = repository;
    if (!repository.declared) return;
    const former = upstream.root;
    if (served === 'now') upstream.root = this.state(repository);
    else if (served === 'down') upstream.root = join(this.work, 'nothing');
    else {
      // Signed by nobody, so it is the revision that tells.
      upstream.root = this.state({ ...repository, offers: new Set(['a-1']), revision: repository.published - 2 });
      if (repository.published < 2) upstream.root = join(this.work, 'nothing');
    }
    const outcome = await this.history.sync(repository.id);
    if (served !== 'now') upstream.root = former;
    this.did(`sync ${served} ${outcome.result}`);
    if (outcome.result === 'failed') {
      const allowed = ['METADATA_OLDER', 'NOT_FOUND', 'PACKAGE_CHANGED', 'HTTP_404', 'UPSTREAM_SHRUNK', 'INCOMPLETE'];
      if (served === 'now' && !allowed.includes(outcome.error?.code as string))
        throw new Error(`the sync of ${repository.id} failed: ${JSON.stringify(outcome.error)}`);
      return;
    }
    if (served !== 'now') throw new Error(`the sync of ${repository.id} took what was ${served}`);
    repository.published = repository.revision;
    const now = this.history.at.getTime();
    const offered = new Map([...repository.offers].map((name) => this.pool.get(name) as { path: string; sha256: string }).map(({ path, sha256 }) => [path, sha256])); // prettier-ignore
    if (repository.view === 'verbatim') listed.clear();
    for (const [path, sha256] of offered) {
      if (refused.has(sha256)) continue;
      if (listed.has(path) && !repository.waived) continue;
      listed.set(path, sha256);
    }
    for (const path of listed.keys())
      if (offered.has(path)) dropped.delete(path);
      else if (!dropped.has(path)) dropped.set(path, now);
  }

  /** A directory with what a repository's upstream has now, under a revision of its own. */
  private state(repository: Repository): string {
    const names = [...repository.offers].sort();
    const cached = join(this.work, `state-${names.join('_')}`);
    if (!existsSync(cached)) {
      mkdirSync(join(cached, 'Packages'), { recursive: true });
      for (const name of names) {
        const { file, path } = this.pool.get(name) as { file: string; path: string };
        linkSync(file, join(cached, path));
      }
      createrepo(cached, '--simple-md-filenames');
    }
    const revision = (repository.revision = repository.revision + 1);
    const directory = mkdtempSync(join(this.work, 'upstream-'));
    mkdirSync(join(directory, 'repodata'));
    symlinkSync(join(cached, 'Packages'), join(directory, 'Packages'));
    for (const name of ['primary', 'filelists', 'other'])
      symlinkSync(join(cached, `repodata/${name}.xml.gz`), join(directory, `repodata/${name}.xml.gz`));
    const text = readFileSync(join(cached, 'repodata/repomd.xml'), 'utf8')
      .replace(/<revision>\d+</, `<revision>${revision}<`)
      .replaceAll(/<timestamp>\d+</g, '<timestamp>1<');
    writeFileSync(join(directory, 'repodata/repomd.xml'), text);
    return directory;
  }

  /** A day passes, and the timer's run takes its steps: exactly those that the plan says, of what may go, and after its terms. */
  async day(...confirmed: string[]): Promise<void> {
    this.history.pass(1);
    const now = this.history.at.getTime();
    const gap = this.lastRun === undefined ? 0 : now - this.lastRun;
    for (const term of this.terms.values()) {
      term.elapsed += gap > WEEK ? DAY : Math.max(0, now - term.since);
      term.since = now;
    }
    this.requireTerms();
    const before = this.look();
    const ledger = this.ledger();
    const plan = await this.history.plan(...confirmed);
    if (JSON.stringify(this.ledger()) !== JSON.stringify(ledger)) throw new Error('the plan wrote the ledger');
    const applied = await this.history.apply(...confirmed);
    this.lastRun = now;
    const after = this.look();
    const terms = new Map(this.terms);
    this.readTerms();
    if (applied.failed.length > 0) throw new Error(`steps failed: ${JSON.stringify(applied.failed)}`);
    for (const part of ['announce', 'withdraw', 'quarantine', 'remove', 'waiting'] as const)
      same(`plan and run, ${part}`, keysOf(plan[part]), keysOf(applied[part]));
    same(
      'plan and run, unused',
      plan.unused.remove.map(({ inode }) => String(inode)),
      applied.unused.remove.map(({ inode }) => String(inode)),
    );
    this.judgeQuarantined(before, after, plan, ledger, confirmed, now, terms);
    this.judgeRemoved(before, after, plan, terms);
    let freed = 0;
    for (const [inode, bytes] of before.blocks) if (!after.blocks.has(inode)) freed += bytes;
    if (freed !== applied.freedBytes) throw new Error(`${freed} bytes are free, and ${applied.freedBytes} were told`);
    this.did(freed > 0 ? 'freed bytes' : 'freed nothing');
    this.judge(after);
  }

  /** The shortest term that was declared while an item was in its stage. */
  private requireTerms(): void {
    for (const [key, term] of this.terms)
      term.required = Math.min(term.required, (key.startsWith('announced') ? this.policy.graceDays : this.policy.quarantineDays) * DAY);
  }

  private judgeQuarantined(
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
    // A package of a repository that goes as a whole in the same run does not leave by itself.
    same(
      'what left service, and the plan',
      left,
      wanted.filter((key) => wasThere(before, key)),
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

  private sizeOf(path: string): number {
    const found = [...this.pool.values()].find((one) => one.path === path) as { file: string };
    return readFileSync(found.file).length;
  }

  /** By the rules as they are declared now, in the words of the documents. */
  private requireMayGo(key: string, { item, by }: LedgerEntry, before: Observed, now: number): void {
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
  private reached(before: Observed): ReadonlyMap<string, { readonly members: ReadonlyMap<string, string> }> {
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
  private takeAway(key: string, { item, by }: LedgerEntry): void {
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
  private readonly away = new Map<
    string,
    { listed: Map<string, string>; dropped: Map<string, number>; refused: Set<string>; ever: Set<string> }
  >();

  private judgeRemoved(before: Observed, after: Observed, plan: Plan, terms: ReadonlyMap<string, Term>): void {
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

  private declareRelease(a: number, b: number): void {
    const id = `r${a % 3}`;
    if (this.frozen.has(id)) return;
    const observed = this.look();
    const members = ['acc', 'ver', HOSTED[0]]
      .filter((_, index) => index === a % 3 || b % 2 === 0)
      .map((one) => ({ id: one, publicPath: `mirror/${one}` }));
    const named = members.map((member) => ({
      ...member,
      snapshot: at([...(observed.repositories.get(member.id)?.snapshots.keys() ?? [])], b) ?? 'none',
    }));
    const pins =
      a % 2 === 0
        ? [
            `${at(
              [...this.pool.keys()].filter((name) => !name.endsWith('*')),
              b,
            )}-1`,
          ]
        : undefined;
    const moment = new Date(this.history.at.getTime() - ((b % 7) - 2) * DAY).toISOString().replace(/\.\d+Z/, 'Z');
    this.releases.set(id, { ...(b % 3 === 0 ? { members: named } : { at: moment, members }), ...(pins === undefined ? {} : { pins }) });
    this.declareAll();
  }

  private async freeze(): Promise<void> {
    const { layout, definitions, signer, now } = await this.history.context();
    const done = await freezeReleases(layout, definitions, definitions.releases, signer, now());
    const observed = this.look();
    for (const { id, state, error, problems } of done) {
      if (problems.length > 0 && state === 'frozen') throw new Error(`${id} was frozen with problems: ${problems.join()}`);
      if (error !== undefined && error.code !== 'RELEASE_FROZEN') throw new Error(`${id}: ${error.code} ${error.message}`);
      this.did(`release ${state}`);
      if (state !== 'frozen') continue;
      const { members } = JSON.parse(readFileSync(join(this.mirror.root, 'releases', id, 'release.json'), 'utf8')) as {
        members: { id: string; snapshot: string }[];
      };
      const wanted = this.reached(observed).get(id)?.members;
      for (const member of members)
        if (wanted?.get(member.id) !== member.snapshot)
          throw new Error(`${id} is made of ${member.id}@${member.snapshot}, not ${wanted?.get(member.id)}`);
      this.frozen.set(id, { files: observed.releases.get(id) as Files, members: new Map(members.map((one) => [one.id, one.snapshot])) });
    }
  }

  private async forget(what: string, b: number): Promise<void> {
    const before = this.look();
    const now = b % 3 === 0;
    const found = await this.history.forget(what, now).catch(refusal);
    if (found instanceof MirrorError) {
      this.did(`forget refused ${found.code}`);
      if (!['KEPT', 'NOT_HERE', 'NOT_ACCUMULATED'].includes(found.code)) throw found;
      same(`what left by a refused forget of ${what}`, leaving(before, this.look()), []);
      return;
    }
    if (found.failed.length > 0) throw new Error(`forget ${what}: ${JSON.stringify(found.failed)}`);
    const after = this.look();
    this.readTerms();
    const keys = keysOf(found.entries);
    same(`what left by forget ${what}`, leaving(before, after), now ? keys.filter((key) => wasThere(before, key)) : []);
    for (const [key, entry] of Object.entries(this.ledger())) {
      if (!keys.includes(key)) continue;
      this.did(`forgotten ${entry.item.kind}${now ? ' now' : ''}`);
      if (!now) continue;
      this.requireMayGo(key, entry, before, this.history.at.getTime());
      const path = entry.item.path;
      const current = after.repositories.get(entry.item.id)?.current;
      if (
        path !== undefined &&
        after.repositories
          .get(entry.item.id)
          ?.snapshots.get(current as string)
          ?.has(path) === true
      )
        throw new Error(`${path} is forgotten, and still to be had`);
      this.takeAway(key, entry);
    }
  }

  private async restore(what: string): Promise<void> {
    const before = this.look();
    const ledger = this.ledger();
    const chosen = Object.entries(ledger).filter(([key]) => key === what || [':', '@', '/'].some((mark) => key.startsWith(what + mark)));
    const done = await this.history.restore(what).catch(refusal);
    if (done instanceof MirrorError) {
      this.did(`restore refused ${done.code}`);
      const taken = chosen.some(([, { item, stage }]) => stage === 'quarantined' && item.kind !== 'package' && this.isTaken(item, before));
      const unpublished = chosen.some(([, { item }]) => item.kind === 'package' && before.repositories.get(item.id)?.current === undefined);
      if (done.code === 'PLACE_TAKEN' && taken) return;
      if (done.code === 'SNAPSHOT_DAMAGED' && unpublished) return;
      if (done.code === 'NOT_ANNOUNCED' && chosen.length === 0) return;
      throw done;
    }
    const after = this.look();
    this.readTerms();
    const now = this.history.at.getTime();
    for (const [key, { item, stage }] of chosen.sort(([, one]) => (one.item.kind === 'package' ? 1 : -1))) {
      this.restored.set(key, now);
      if (stage === 'announced') continue;
      this.did(`restored ${item.kind}`);
      const kept = before.quarantine.get(key);
      if (item.kind === 'snapshot') this.taken.delete(key);
      if (item.kind === 'snapshot')
        sameFiles(key, this.known.get(key), after.repositories.get(item.id)?.snapshots.get(key.slice(item.id.length + 1)));
      if (item.kind === 'release' && this.frozenAway.has(item.id)) {
        sameFiles(key, this.frozenAway.get(item.id)?.files, after.releases.get(item.id));
        this.frozen.set(item.id, this.frozenAway.get(item.id) as never);
        this.frozenAway.delete(item.id);
      }
      if (item.kind === 'repository') {
        const repository = after.repositories.get(item.id);
        for (const name of repository?.snapshots.keys() ?? []) this.taken.delete(`${item.id}@${name}`);
        for (const [name, files] of repository?.snapshots ?? []) sameFiles(`${key}@${name}`, this.known.get(`${key}@${name}`), files);
        const count = new Set([...(kept?.keys() ?? [])].flatMap((path) => /^all\/snapshots\/([^/]+)/.exec(path)?.[1] ?? [])).size;
        if (repository?.snapshots.size !== count)
          throw new Error(`${key} came back with ${repository?.snapshots.size} of ${count} snapshots`);
        const model = this.repositories.find((one) => one.id === item.id);
        const away = this.away.get(key);
        if (model !== undefined && away !== undefined) Object.assign(model, away);
        this.away.delete(key);
      }
      if (item.kind === 'package') {
        const gone = this.gone.get(key);
        const repository = this.repository(item.id);
        if (gone === undefined) continue;
        this.gone.delete(key);
        if (repository.listed.has(gone.path)) continue;
        repository.listed.set(gone.path, gone.sha256);
        if (gone.dropped !== undefined) repository.dropped.set(gone.path, gone.dropped);
      }
    }
    for (const text of done.accepted) {
      const [id, name] = text.split(':') as [string, string];
      const repository = this.repository(id);
      for (const one of this.pool.values()) if (basename(one.path, '.rpm') === name) repository.refused.delete(one.sha256);
    }
  }

  private isTaken(item: LedgerEntry['item'], before: Observed): boolean {
    return item.kind === 'release' ? before.releases.has(item.id) : before.repositories.has(item.id);
  }

  /** Bytes of a stored package change; the scrub brings them back. */
  private async scrub(a: number): Promise<void> {
    const before = this.look();
    const offered = this.repositories.filter(({ declared }) => declared).flatMap(({ id, offers }) => {
      const listed = before.repositories.get(id)?.listed;
      return [...offers].map((name) => this.pool.get(name) as { sha256: string; path: string; file: string }).filter(({ path, sha256 }) => listed?.get(path) === sha256);
    }); // prettier-ignore
    const damaged = at(offered, a);
    if (damaged !== undefined) {
      const path = join(this.mirror.root, 'store/sha256', damaged.sha256.slice(0, 2), damaged.sha256);
      const bytes = readFileSync(path);
      bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
      writeFileSync(path, bytes);
    }
    const { definitions, layout } = await this.history.context();
    const outcome = await runScrub(definitions, layout.state, { all: true, waitSeconds: 0 }, () => undefined);
    this.did(`scrubbed, repaired ${outcome.repaired.length}`);
    if (damaged !== undefined && outcome.repaired.length === 0) throw new Error(`${damaged.path} was damaged, and not repaired`);
    if (outcome.lost.length > 0) throw new Error(`the scrub lost ${JSON.stringify(outcome.lost)}`);
  }

  private get ledgerPath(): string {
    return join(this.mirror.state, 'retention.json');
  }

  ledger(): Record<string, LedgerEntry> {
    if (!existsSync(this.ledgerPath)) return {};
    return (JSON.parse(readFileSync(this.ledgerPath, 'utf8')) as { entries: Record<string, LedgerEntry> }).entries;
  }

  private readTerms(): void {
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
  private readonly pinned = new Set<string>();

  private readonly known = new Map<string, Files>();

  /** Of those, the ones that retention took. */
  private readonly taken = new Set<string>();

  /** Snapshots never change. */
  private requireAsItWas(key: string, files: Files): void {
    const before = this.known.get(key);
    if (before === undefined) this.known.set(key, files);
    else if (before.size !== files.size || [...before].some(([path, digest]) => files.get(path) !== digest)) sameFiles(key, before, files);
  }

  /** Whatever is in quarantine comes back with its bytes; then, with everything forgotten, nothing is left. */
  async end(): Promise<void> {
    const { layout } = await this.history.context();
    for (const id of this.frozen.keys()) {
      const { differences } = await verifyRelease(layout, id, () => undefined);
      if (differences.length > 0) throw new Error(`${id}: ${JSON.stringify(differences)}`);
    }
    for (const key of Object.keys(this.ledger())
      .sort()
      .filter((_, index) => index % 2 === 0)) {
      if (!(key in this.ledger())) continue;
      this.log.push(`restore ${key}`);
      await this.restore(key);
      this.judge(this.look());
    }
    this.log.push('quiet days with the declaration as it is');
    await this.quiet(10);
    this.requireTidy();
    this.log.push('everything is forgotten');
    this.releases.clear();
    for (const repository of this.repositories) repository.declared = false;
    this.declareAll();
    rmSync(join(this.mirror.configuration, 'definitions/codenames'), { recursive: true });
    this.hosts = false;
    for (const id of [...this.frozen.keys()]) await this.forget(`releases/${id}`, 1);
    await this.quiet(12);
    for (const id of this.look().repositories.keys()) {
      if (!(id in this.ledger())) await this.forget(id, 1);
    }
    await this.quiet(12);
    const left = this.look();
    const rest: string[] = [
      ...left.repositories.keys(),
      ...left.releases.keys(),
      ...left.quarantine.keys(),
      ...left.store.keys(),
      ...left.pins.keys(),
    ];
    if (rest.length > 0) throw new Error(`for ever left: ${rest.join(', ')}`);
  }

  private async quiet(days: number): Promise<void> {
    for (let day = 0; day < days; day++) {
      await this.day('acc', 'ver', 'unused');
    }
  }

  /** After quiet days: what nothing uses is gone, and so is what rules do not keep. */
  private requireTidy(): void {
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

function at<T>(list: readonly T[], index: number): T {
  return list[index % Math.max(1, list.length)] as T;
}

function timeOf(snapshot: string): number {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-/.exec(snapshot) ?? [];
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
}

/** `Packages/a-3-1.noarch.rpm` is newer than `Packages/a-1-1.noarch.rpm`. */
function isNewer(one: string, other: string): boolean {
  const [name, version] = basename(one).split('-') as [string, string];
  const [otherName, otherVersion] = basename(other).split('-') as [string, string];
  return name === otherName && Number(version) > Number(otherVersion);
}

function keyOfPackage(id: string, path: string): string {
  return `${id}:${basename(path, '.rpm')}`;
}

function keysOf(entries: readonly { readonly item: object }[]): string[] {
  return entries
    .map(({ item }) => {
      const { kind, id, nevra, snapshot } = item as { kind: string; id: string; nevra?: string; snapshot?: string };
      return kind === 'package' ? `${id}:${nevra}` : kind === 'snapshot' ? `${id}@${snapshot}` : kind === 'release' ? `releases/${id}` : id;
    })
    .sort();
}

/** Keys of what was in service and is no more. */
function leaving(before: Observed, after: Observed): string[] {
  const left: string[] = [];
  for (const [id, { listed, snapshots }] of before.repositories) {
    // What a release pins goes with it.
    if (id.startsWith('releases/')) continue;
    const now = after.repositories.get(id);
    if (now === undefined) {
      left.push(id);
      continue;
    }
    for (const path of listed.keys()) if (!now.listed.has(path)) left.push(keyOfPackage(id, path));
    for (const name of snapshots.keys()) if (!now.snapshots.has(name)) left.push(`${id}@${name}`);
  }
  for (const id of before.releases.keys()) if (!after.releases.has(id)) left.push(`releases/${id}`);
  return [...new Set(left)].sort();
}

/** Of a release that never was frozen there are pins at most. */
function wasThere(before: Observed, key: string): boolean {
  return !key.startsWith('releases/') || before.releases.has(key.slice('releases/'.length));
}

function same(what: string, one: readonly string[], other: readonly string[]): void {
  if ([...one].sort().join() !== [...other].sort().join())
    throw new Error(`${what}: ${JSON.stringify(one)} is not ${JSON.stringify(other)}`);
}

function sameFiles(what: string, wanted: Files | undefined, found: Files | undefined): void {
  const missing = [...(wanted ?? [])].filter(([path, digest]) => found?.get(path) !== digest).map(([path]) => path);
  const more = [...(found ?? [])].filter(([path]) => wanted?.has(path) !== true).map(([path]) => path);
  if (missing.length + more.length > 0)
    throw new Error(`${what}: missing or other bytes: ${missing.join(', ')}; not expected: ${more.join(', ')}`);
}

function refusal(error: unknown): MirrorError {
  if (error instanceof MirrorError) return error;
  throw error;
}

export function poolOf(files: ReadonlyMap<string, string>): Pool {
  return new Map(
    [...files].map(([name, file]) => [
      name,
      { file, path: `Packages/${basename(file)}`, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') },
    ]),
  );
}
