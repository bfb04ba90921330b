import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { freezeReleases } from '../../../content/release-command';
import { verifyRelease } from '../../../content/release-verify';
import { runScrub } from '../../../content/scrub-command';
import { MirrorError } from '../../../desired-state/errors';
import { at, keysOf, leaving, refusal, same, sameFiles, wasThere } from './compare';
import { DAY } from './history';
import { HOSTED, type LedgerEntry, Model, type Repository, WEEK } from './model';
import type { Files, Observed } from './observed';
import { createrepo, Upstream } from './upstream';

/** What a history may do. Numbers choose among what is there at that time. */
export const KINDS = [
  'add', 'add', 'drop', 'drop', 'drop', 'replace', 'waive', 'sync', 'sync', 'sync', 'sync', 'replay', 'down', 'live', 'live', 'live', 'live', 'live',
  'confirm', 'confirm', 'pin', 'pin', 'unpin', 'rules', 'policy', 'release', 'release', 'freeze', 'freeze', 'withdraw release', 'undeclare', 'declare', 'forget package',
  'forget snapshot', 'forget id', 'forget release', 'forget all', 'restore', 'restore', 'restore', 'clock', 'lose the ledger', 'scrub',
] as const; // prettier-ignore
export interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly a: number;
  readonly b: number;
}

/** A mirror with its upstreams, to which things happen. */
export class World extends Model {
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
        rules: view === 'accumulate' ? { newestVersions: 1, droppedDays: 1, snapshotDays: 1 } : { snapshotDays: 1 },
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
    this.judge(this.look());
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
      case 'add': {
        const name = at(rest, b);
        // Upstreams have one of a name.
        if (name !== 'a-2' || !repository.offers.has('a-2*')) repository.offers.add(name);
        return;
      }
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
      case 'pin': {
        // Most often one that goes else.
        const { listed, dropped } = this.repository('acc');
        const path = at([...(dropped.size > 0 ? dropped : listed).keys()].sort(), b);
        this.repository('acc').pins = path === undefined ? [] : [basename(path, '.noarch.rpm')];
        return this.declareAll();
      }
      case 'unpin':
        this.repository('acc').pins = [];
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
            { graceDays: 1, quarantineDays: 6, sharePercent: 25 },
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
    await this.quiet(this.policy.graceDays * 2 + this.policy.quarantineDays + 3);
    this.requireTidy();
    this.log.push('everything is forgotten');
    this.releases.clear();
    for (const repository of this.repositories) repository.declared = false;
    this.declareAll();
    rmSync(join(this.mirror.configuration, 'definitions/codenames'), { recursive: true });
    this.hosts = false;
    for (const id of [...this.frozen.keys()]) await this.forget(`releases/${id}`, 1);
    await this.quiet(this.policy.graceDays * 2 + this.policy.quarantineDays + 3);
    for (const id of this.look().repositories.keys()) {
      if (!(id in this.ledger())) await this.forget(id, 1);
    }
    await this.quiet(this.policy.graceDays * 2 + this.policy.quarantineDays + 3);
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
}
