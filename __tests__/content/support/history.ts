import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readDefinitions } from '../../../content/definitions';
import { Layout } from '../../../content/layout';
import { BandwidthShare } from '../../../content/bandwidth-share';
import { type Applied, applyRetention, type Plan, planRetention, type RetentionContext } from '../../../content/retention';
import { type Froze, freezeReleases } from '../../../content/release-command';
import { type Verified, verifyRelease } from '../../../content/release-verify';
import { explain, type Explanation } from '../../../content/explain';
import { forget, type Forgotten, restore, type Restored } from '../../../content/retention-operator';
import { type SyncOutcome, syncRepository } from '../../../content/sync';
import { copied } from '../../../content/definitions';
import { HttpClient } from '../../../downloads/http';
import { namedKeys } from '../../../content/signing-keys';
import { openSigner, type Signer } from '../../../signatures/sign';
import type { TestMirror } from './mirror';

export const DAY = 24 * 3600 * 1000;

/** A mirror that is run at times of the test's choosing, in this process: what happens in years takes seconds. */
export class History {
  /** Now, for whatever runs next: later than what upstreams make in truth. */
  at: Date;
  readonly said: string[] = [];
  private signer: Promise<Signer> | undefined;
  private readonly client = new HttpClient({});

  constructor(
    readonly mirror: TestMirror,
    start = '2030-01-01T00:00:00.000Z',
  ) {
    this.at = new Date(start);
  }

  /** Lets days pass. */
  pass(days: number): this {
    this.at = new Date(this.at.getTime() + days * DAY);
    return this;
  }

  /** Lets days pass, with the daily run of retention on each; returns what the last one did. */
  async live(days: number): Promise<Applied> {
    for (let day = 1; day < days; day++) await this.pass(1).apply();
    return this.pass(1).apply();
  }

  /** The server's own definition. */
  server(retention: Readonly<Record<string, number>>): void {
    this.mirror.write('definitions/server.yaml', { kind: 'server', storageRoot: this.mirror.root, ownMount: false, retention });
  }

  /** Takes a declaration away. */
  undeclare(id: string, kind = 'repositories'): void {
    rmSync(join(this.mirror.configuration, `definitions/${kind}/${id}.yaml`));
  }

  /** Declares a release of one repository. */
  release(id: string, of: string, at: Date): void {
    const members = [{ id: of, publicPath: `mirror/centos/example.org/${of}` }];
    this.mirror.write(`definitions/releases/${id}.yaml`, { kind: 'release', id, at: at.toISOString(), members });
  }

  async sync(id: string): Promise<SyncOutcome> {
    const { definitions, layout, ...context } = await this.context();
    const definition = copied(definitions).find((one) => one.id === id);
    if (definition === undefined) throw new Error(`${id} is not declared`);
    // Each run is a second after what was before, as in life.
    this.at = new Date(this.at.getTime() + 1000);
    const { client } = this;
    return syncRepository(
      { ...context, layout, server: definitions.server, definitions, client, share: new BandwidthShare(client.bandwidth), retry: {} },
      definition,
    );
  }

  async plan(...confirmed: string[]): Promise<Plan> {
    return planRetention(await this.context(), confirmed);
  }

  async apply(...confirmed: string[]): Promise<Applied> {
    return applyRetention(await this.context(), confirmed);
  }

  async restore(what: string): Promise<Restored> {
    return restore(await this.context(), what);
  }

  async forget(what: string, now = false, reason?: string): Promise<Forgotten> {
    return forget(await this.context(), what, { now, reason });
  }

  /** Freezes the declared releases that are due. */
  async freeze(): Promise<readonly Froze[]> {
    const { layout, definitions, signer } = await this.context();
    return freezeReleases(layout, definitions, definitions.releases, signer, this.at);
  }

  async verify(release: string): Promise<Verified> {
    const { layout, say } = await this.context();
    return verifyRelease(layout, release, say);
  }

  async explain(what?: string): Promise<readonly Explanation[]> {
    return explain(await this.context(), what);
  }

  async context(): Promise<RetentionContext> {
    const definitions = await readDefinitions(this.mirror.configuration);
    const layout = new Layout(this.mirror.root, this.mirror.state, definitions.directory);
    return {
      layout,
      definitions,
      signer: () =>
        (this.signer ??= openSigner(namedKeys([join(this.mirror.configuration, 'secrets/signing-key')]), layout.signingIdentities)),
      now: () => new Date(this.at),
      say: (line) => void this.said.push(line),
      graceSeconds: 72 * 3600,
      waitSeconds: 0,
    };
  }

  /** Names of the packages that are published, `name-version`. */
  published(id: string): readonly string[] {
    const current = this.mirror.currentTarget(id)?.split('/').at(-1) as string;
    return this.listed(id, current);
  }

  listed(id: string, snapshot: string): readonly string[] {
    const text = readFileSync(join(this.mirror.root, 'repositories', id, 'records', `${snapshot}.packages`), 'utf8');
    const lines = text.split('\n').map((line) => line.split('\t'));
    return lines
      .filter((line) => line.length > 5)
      .map((line) => `${line[3]}-${line[5]}`)
      .sort();
  }

  /** Every file of the store. */
  stored(): readonly string[] {
    const store = join(this.mirror.root, 'store/sha256');
    return readdirSync(store).flatMap((shard) => readdirSync(join(store, shard)));
  }

  async close(): Promise<void> {
    await (await this.signer)?.close();
    await this.client.close();
  }
}
