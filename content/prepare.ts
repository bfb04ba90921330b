import { existsSync, mkdirSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import type { KeyReference } from '../desired-state/definitions';
import { SOURCE } from '../desired-state/mos-scheme';
import { forEachParallel } from '../downloads/parallel';
import { type KeySource, openSigner, type Signer } from '../signatures/sign';
import { adopt, type Adoption, declaredAdoptions } from './adopt';
import { announce } from './announcements';
import { removeOrphanedRecords } from './build-snapshot';
import { adoptCodenameState } from './codename-state';
import { buildComponent, type ComponentShape, difference, findComponent, keysOf, shapeOf } from './component';
import { missingNoarch, takeOverRecord } from './component-record';
import { type Definitions, hostedComponents } from './definitions';
import { flushFileSystem, writeAtomically } from './files';
import { requireUnchanged } from './freeze';
import type { Layout } from './layout';
import { type Froze, freezeReleases } from './release-command';
import { Lock, usingStore } from './lock';
import { updatePublicSnapshots, withdrawOtherSnapshots } from './public-snapshots';
import { freeName, pointTo, removeUnfinished } from './snapshot';
import { requireStorage } from './storage';
import { type Incoming, Store } from './store';

export interface PrepareContext {
  readonly layout: Layout;
  /** The mirror's secret keys. */
  readonly signingKeys: KeySource;
  readonly now: () => Date;
}

export interface PrepareOutcome {
  /** Ids that go on with the content of a former one. */
  readonly adopted: readonly Adoption[];
  readonly created: readonly string[];
  readonly changed: readonly { readonly id: string; readonly why: string }[];
  readonly unchanged: number;
  /** Architectures that are new, or declared again, without packages that belong there. */
  readonly incomplete: readonly Incomplete[];
  /** What became of the declared releases. */
  readonly releases: readonly Froze[];
  readonly seconds: number;
}

/** Packages for all architectures that a tree lacks, and others of its component have: whoever publishes them again completes it. */
export interface Incomplete {
  readonly id: string;
  readonly tree: string;
  /** NEVRAs. */
  readonly packages: readonly string[];
}

interface Job {
  readonly shape: ComponentShape;
  readonly published: string | undefined;
  readonly why: string;
}

const PARALLEL = 4;
/** A deploy waits so long for packages that are being published. In seconds. */
const WAIT_SECONDS = 300;

/**
 * Makes every declared hosted component exist: empty, valid and signed; and brings a change of its keys or architectures into a new
 * snapshot. What was declared under another id goes on with that one's content. Packages are never touched. All components are built first, flushed once, and then published.
 */
export async function prepare(context: PrepareContext, definitions: Definitions): Promise<PrepareOutcome> {
  const started = Date.now();
  const components = hostedComponents(definitions);
  const adoptions = declaredAdoptions(definitions);
  const result = { adopted: [] as Adoption[], created: [] as string[], changed: [] as { id: string; why: string }[] };
  await requireStorage(context.layout, definitions.server);
  let releases: readonly Froze[] = [];
  let incomplete: readonly Incomplete[] = [];
  const lock = await Lock.take(context.layout.lockFile('prepare'), 'the preparation of hosted components', {
    waitSeconds: WAIT_SECONDS,
  });
  try {
    await requireUnchanged(context.layout, definitions.releases);
    const signer = await openSigner(context.signingKeys, context.layout.signingIdentities);
    try {
      for (const adoption of adoptions) if (await adopt(context.layout, adoption)) result.adopted.push(adoption);
      for (const { id, formerId } of definitions.codenames)
        if (formerId !== undefined) await adoptCodenameState(context.layout, id, formerId);
      const jobs = await jobsOf(context, signer, definitions);
      if (jobs.length > 0) incomplete = await usingStore(context.layout, () => publishAll(context, signer, jobs));
      for (const { id } of components) await updatePublicSnapshots(context.layout, id);
      for (const { id, components: names } of [...definitions.codenames, ...definitions.packages])
        await withdrawOtherSnapshots(context.layout, id, names);
      await publishKey(context.layout, signer);
      if (!existsSync(context.layout.announcements)) await announce(context.layout, definitions, { entries: {} }, context.now());
      for (const { shape, published, why } of jobs) {
        if (published === undefined) result.created.push(shape.id);
        else result.changed.push({ id: shape.id, why });
      }
      // Last: an empty component may be a part of one.
      releases = await freezeReleases(context.layout, definitions, definitions.releases, () => Promise.resolve(signer), context.now());
    } finally {
      await signer.close();
    }
  } finally {
    await lock.release();
  }
  return {
    ...result,
    unchanged: components.length - result.created.length - result.changed.length,
    incomplete,
    releases,
    seconds: (Date.now() - started) / 1000,
  };
}

/** Clients fetch the keys that sign now from a place that stays. */
async function publishKey(layout: Layout, signer: Signer): Promise<void> {
  const { publicKeys } = signer.identity;
  const present = await readFile(layout.mirrorKey, 'utf8').catch(() => undefined);
  if (present !== publicKeys) await writeAtomically(layout.mirrorKey, publicKeys);
}

async function jobsOf(context: PrepareContext, signer: Signer, definitions: Definitions): Promise<readonly Job[]> {
  const own = signer.identity.publicKeys;
  const texts = new Map<string, string>();
  const ownerKeys = async (keys: readonly KeyReference[]): Promise<string> => {
    const parts: string[] = [];
    for (const { file } of keys) {
      const text = texts.get(file) ?? (await readFile(join(context.layout.configuration, file), 'utf8'));
      texts.set(file, text);
      parts.push(text.endsWith('\n') ? text : `${text}\n`);
    }
    return parts.join('');
  };
  const jobs: Job[] = [];
  for (const { id, codename, component } of hostedComponents(definitions)) {
    const shape = shapeOf(id, codename, own + (await ownerKeys(keysOf(codename, component))));
    const existing = await findComponent(context.layout, shape);
    const why = difference(shape, existing?.found);
    if (why !== undefined) jobs.push({ shape, published: existing?.name, why });
  }
  return jobs;
}

async function publishAll({ layout, now }: PrepareContext, signer: Signer, jobs: readonly Job[]): Promise<readonly Incomplete[]> {
  const store = new Store(layout.store);
  const at = now();
  const incoming = await store.incoming('prepare');
  const keep = keeper(store, incoming);
  const sign = (bytes: Uint8Array): Promise<string> => signer.sign(bytes);
  const built: ({ readonly shape: ComponentShape; readonly published: string | undefined } & Awaited<ReturnType<typeof buildComponent>>)[] =
    [];
  await forEachParallel(jobs, PARALLEL, async ({ shape, published }) => {
    await removeUnfinished(layout, shape.id);
    await removeOrphanedRecords(layout, shape.id);
    built.push({ shape, published, ...(await buildComponent(layout, store, shape, published, { sign, keep }, at)) });
  });
  const named: { readonly id: string; readonly directory: string; readonly name: string }[] = [];
  const incomplete: Incomplete[] = [];
  for (const { shape, published, directory, digest, index, origins } of built) {
    const { id, trees } = shape;
    const name = await freeName(layout, id, digest, at);
    const tables = await takeOverRecord(layout, id, published, { snapshot: name, origins, index, at });
    for (const tree of trees) {
      if (tree === SOURCE || origins.get(tree) === published) continue;
      const packages = missingNoarch(tables, tree);
      if (packages.length > 0) incomplete.push({ id, tree, packages });
    }
    named.push({ id, directory, name });
  }
  await flushFileSystem(layout.root);
  for (const { id, directory, name } of named) await rename(directory, join(layout.snapshots(id), name));
  for (const { id, name } of named) await pointTo(layout, id, name);
  // A power cut before this leaves the old links or the new ones, each to a tree that is on disk.
  await flushFileSystem(layout.root);
  await incoming.close();
  return incomplete;
}

/** Writes bytes into the store, once. Their flush comes with that of the trees, before anything is published. */
function keeper(store: Store, incoming: Incoming): (bytes: Uint8Array) => Promise<string> {
  const kept = new Map<string, Promise<string>>();
  return (bytes) => {
    const hex = sha256(bytes);
    const known = kept.get(hex);
    if (known !== undefined) return known;
    const made = keepNow(store, incoming, hex, bytes);
    kept.set(hex, made);
    return made;
  };
}

async function keepNow(store: Store, incoming: Incoming, hex: string, bytes: Uint8Array): Promise<string> {
  const checksum = { algorithm: 'sha256', hex } as const;
  const path = store.path(checksum);
  // Always written anew when the old one is not whole: it may be from a run that a power cut ended before its flush.
  const old = await readFile(path).catch(() => undefined);
  if (old !== undefined && sha256(old) === hex) return hex;
  mkdirSync(dirname(path), { recursive: true });
  const temporary = incoming.path(checksum);
  await rm(temporary, { force: true });
  await writeFile(temporary, bytes, { mode: 0o444 });
  await rename(temporary, path);
  return hex;
}
