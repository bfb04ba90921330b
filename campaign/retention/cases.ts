/** What is killed: each command by which content leaves, comes back, is frozen or is repaired, on a mirror whose clock is the campaign's. */
import { existsSync, linkSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { CampaignError } from '../errors';
import { choice, type Ground } from '../sync/ground';
import { endedAs } from '../sync/judge';
import { ID, type Mirror } from '../sync/mirror';
import { clockAt } from '../sync/strike';

export const CASES = [
  'package leaves',
  'package restored',
  'package forgotten',
  'snapshot leaves',
  'snapshot restored',
  'last steps',
  'id forgotten',
  'id restored',
  'release frozen',
  'repaired from a copy',
  'repaired from upstream',
] as const;
export type CaseName = (typeof CASES)[number];

/** A mirror that is saved under the name, and the command that is struck. */
export interface Case {
  readonly name: CaseName;
  readonly command: readonly string[];
  readonly clock: Date;
  /** The repository is no longer declared. */
  readonly undeclared: boolean;
  /** What the same command says when it is run again, and had done its work. */
  readonly done?: RegExp;
}

const DAY = 24 * 3600_000;
const APPLY = ['retention', 'apply', '--json'];
const RELEASE = 'r1';
const OLD_PACKAGE = 'alpha-1-1.noarch';

/** Lives through some days, and saves what each case begins with. */
export class Life {
  private readonly start = new Date(Math.ceil(Date.now() / DAY) * DAY);

  constructor(
    private readonly ground: Ground,
    private readonly mirror: Mirror,
  ) {}

  private day(number: number): Date {
    return new Date(this.start.getTime() + number * DAY);
  }

  private write(path: string, content: object): void {
    const file = join(this.mirror.configuration, 'definitions', path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, stringify(content));
  }

  /** Declares the repository, or takes it away, and its release. */
  declare(undeclared: boolean): void {
    const repository = join(this.mirror.configuration, `definitions/repositories/${ID}.yaml`);
    const kept = join(this.mirror.configuration, `${ID}.yaml`);
    if (!existsSync(kept)) linkSync(repository, kept);
    rmSync(repository, { force: true });
    if (!undeclared) linkSync(kept, repository);
  }

  private frozen = '';

  /** Declares a release of the oldest snapshot, or none. */
  release(declared: boolean): void {
    rmSync(join(this.mirror.configuration, 'definitions/releases'), { recursive: true, force: true });
    const members = [{ id: ID, publicPath: `mirror/centos/example.org/${ID}`, snapshot: this.frozen }];
    if (declared) this.write(`releases/${RELEASE}.yaml`, { kind: 'release', id: RELEASE, members, pins: ['alpha-2-1'] });
  }

  private async run(day: number, ...command: string[]): Promise<void> {
    const ended = await this.mirror.start({ command, env: clockAt(this.day(day)) }).done;
    if (ended.code !== 0)
      throw new CampaignError(`mirrorctl ${command.join(' ')} ended with ${endedAs(ended)}: ${ended.stdout}${ended.stderr}`);
  }

  private snapshots(): string[] {
    return readdirSync(join(this.mirror.root, 'repositories', ID, 'snapshots')).sort();
  }

  async cases(): Promise<Case[]> {
    const { ground, mirror } = this;
    const cases: Case[] = [];
    const add = async (name: CaseName, day: number, command: readonly string[], more: Partial<Case> = {}): Promise<void> => {
      await mirror.save(name);
      cases.push({ name, command, clock: this.day(day), undeclared: false, ...more });
    };
    this.write('server.yaml', {
      kind: 'server',
      storageRoot: mirror.root,
      ownMount: false,
      retention: { droppedDays: 1, snapshotDays: 1, graceDays: 1, quarantineDays: 1, sharePercent: 100 },
    });
    await mirror.clear();
    mirror.prepare();
    for (const number of [0, 1]) {
      const revision = Math.floor(Date.now() / 1000) + number;
      ground.upstream.show(await ground.upstream.make(choice(ground.pool, number), revision));
      await this.run(number, 'sync', ID);
    }
    const [oldest = ''] = this.snapshots();
    await this.run(3, ...APPLY);

    await add('package forgotten', 3, ['retention', 'forget', `${ID}:beta-1-1.noarch`, '--now', '--json'], { done: /publishes no/ });
    this.frozen = oldest;
    await add('release frozen', 4, ['release', 'freeze', '--json']);
    await this.damage('repaired from a copy', add);
    await this.damage('repaired from upstream', add);

    await add('package leaves', 4, APPLY);
    await this.run(4, ...APPLY);
    await add('package restored', 4, ['retention', 'restore', `${ID}:${OLD_PACKAGE}`, '--json'], {
      done: /is neither announced nor in quarantine/,
    });
    await this.run(5, ...APPLY);
    await add('snapshot leaves', 6, APPLY);
    await this.run(6, ...APPLY);
    await add('snapshot restored', 6, ['retention', 'restore', `${ID}@${oldest}`, '--json'], {
      done: /is neither announced nor in quarantine/,
    });
    await add('last steps', 7, APPLY);

    this.declare(true);
    await add('id forgotten', 6, ['retention', 'forget', ID, '--now', '--json'], {
      undeclared: true,
      done: /nothing here is called|in quarantine still/,
    });
    await this.run(6, 'retention', 'forget', ID, '--now');
    await add('id restored', 6, ['retention', 'restore', ID, '--json'], {
      undeclared: true,
      done: /is neither announced nor in quarantine/,
    });
    return cases;
  }

  /** Changes bytes of a package in the store: with all its links, or of the store's file alone. */
  private async damage(
    name: 'repaired from a copy' | 'repaired from upstream',
    add: (name: CaseName, day: number, command: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const { mirror } = this;
    await mirror.save('whole');
    const found = this.ground.pool.find((one) => one.name === 'beta' && one.version === 1) as { sha256: string };
    const path = join(mirror.root, 'store/sha256', found.sha256.slice(0, 2), found.sha256);
    const bytes = readFileSync(path);
    bytes[0] = (bytes[0] as number) ^ 1;
    if (name === 'repaired from a copy') rmSync(path);
    writeFileSync(path, bytes);
    await add(name, 4, ['scrub', '--all', '--json']);
    await mirror.restore('whole');
  }
}
