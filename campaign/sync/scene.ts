/** A mirror with a history: what it published, what clients may still ask for, and the round that comes next. */
import { join } from 'node:path';
import { expectedOf, readTree, RpmKeys, shapesOf, type Expected } from './checker';
import { CampaignError } from '../errors';
import { choice, mirrorOf, type Ground } from './ground';
import { endedAs, type Round } from './judge';
import type { Mirror, View } from './mirror';
import type { UpstreamState } from './upstream';

export class Scene {
  readonly mirror: Mirror;
  readonly rpm: RpmKeys;
  private states: UpstreamState[] = [];
  private old: Expected | undefined;
  private keep = new Map<string, string>();
  private readonly shapes = new Set<string>();
  private readonly saved = new Map<string, { states: UpstreamState[]; old: Expected | undefined; keep: Map<string, string> }>();

  constructor(
    readonly ground: Ground,
    readonly view: View,
  ) {
    this.mirror = mirrorOf(ground, view);
    this.rpm = new RpmKeys(join(ground.workshop.directory, 'rpmdb'), ground.keys.upstream);
  }

  /** An empty storage root; nothing was ever published. */
  async begin(): Promise<void> {
    await this.mirror.clear();
    this.mirror.prepare();
    this.states = [];
    this.old = undefined;
    this.keep = new Map();
  }

  /** Makes the n-th state and shows it to the mirror. */
  async offer(number: number, revision?: number): Promise<Round> {
    const state = await this.ground.upstream.make(choice(this.ground.pool, number), revision ?? Math.floor(Date.now() / 1000));
    this.ground.upstream.show(state);
    return this.against(state);
  }

  /** A round that ends with a state that upstream shows. */
  against(state: UpstreamState): Round {
    this.states.push(state);
    const { mirror, rpm, old, keep, shapes } = this;
    return { mirror, rpm, old, keep, shapes, next: expectedOf(`new ${state.number}`, this.view, this.states) };
  }

  /** The round's content is published: it is what the next one starts from. Returns what is wrong with it. */
  async settle(round: Round): Promise<string[]> {
    const tree = await readTree(this.mirror.tree, this.mirror.signer);
    this.old = { ...round.next, label: round.next.label.replace('new', 'old') };
    this.keep = new Map([...this.keep, ...(tree?.files ?? [])]);
    return [...(tree?.problems ?? ['nothing is published'])];
  }

  /** Only the last so many files are asked for: more would only slow it down. */
  trim(files: number): void {
    this.keep = new Map([...this.keep].slice(-files));
  }

  /** An undisturbed sync of a round; what it leaves is what a sync may leave. */
  async undisturbed(round: Round, env: NodeJS.ProcessEnv = {}): Promise<void> {
    const ended = await this.mirror.sync(env);
    if (ended.code !== 0) throw new CampaignError(`an undisturbed sync ended with ${endedAs(ended)}: ${ended.stdout}${ended.stderr}`);
    this.learn();
    const problems = await this.settle(round);
    if (problems.length > 0) throw new CampaignError(`what an undisturbed sync published is wrong: ${problems.join('; ')}`);
  }

  learn(): void {
    for (const shape of shapesOf(this.mirror.root, this.mirror.state)) this.shapes.add(shape);
  }

  async save(name: string): Promise<void> {
    await this.mirror.save(name);
    this.saved.set(name, { states: [...this.states], old: this.old, keep: new Map(this.keep) });
  }

  async restore(name: string): Promise<void> {
    const { states, old, keep } = this.saved.get(name) ?? { states: [], old: undefined, keep: new Map<string, string>() };
    this.states = [...states];
    this.old = old;
    this.keep = new Map(keep);
    await this.mirror.restore(name);
  }
}
