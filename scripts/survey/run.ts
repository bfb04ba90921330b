/** All declared repositories, some at a time, and what the server would need for them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RepositoryDefinition } from '../../desired-state/definitions';
import { ExitCode } from '../../desired-state/errors';
import { HttpClient } from '../../downloads/http';
import { forEachParallel } from '../../downloads/parallel';
import { PackageVerifier } from '../../signatures/packages';
import { buildKeyRing, type KeyRing } from '../../signatures/pinned-keys';
import type { DeclaredServer } from './declared';
import { lookAt } from './look';
import { type Needs, NeedsOfServer } from './needs';
import { Progress } from './progress';
import type { RepositoryReport } from './types';

export interface RunOptions {
  /** Seconds in which an upstream has to answer, or to bring 1,000 bytes for each. */
  readonly timeout: number;
  /** Repositories at a time. */
  readonly concurrency: number;
  /** Bytes that the server has for content. */
  readonly free: number | undefined;
  /** Text of main.ts. */
  readonly main: string;
  readonly say: (line: string) => void;
  readonly now: () => Date;
}

/** A repository is given up after so many times `timeout`. */
export const DEADLINE_FACTOR = 10;

export interface ServerReport {
  readonly stack: string;
  /** Sorted by id. */
  readonly repositories: readonly RepositoryReport[];
  readonly needs: Needs;
  /** Repositories whose size is unknown: they are not in `needs`. */
  readonly notCounted: readonly string[];
  /** Present when a free space was given; `missing` is 0 where it is enough. */
  readonly space?: { readonly free: number; readonly missing: number };
}

/** Looks at every repository of a server. */
export async function preflight(server: DeclaredServer, options: RunOptions): Promise<ServerReport> {
  const temporary = mkdtempSync(join(tmpdir(), 'preflight-'));
  // Interrupted, too, nothing stays behind.
  const clean = (): void => rmSync(temporary, { recursive: true, force: true });
  process.once('exit', clean);
  const milliseconds = options.timeout * 1000;
  const client = new HttpClient({
    connections: 2,
    connectTimeout: milliseconds,
    headersTimeout: milliseconds,
    idleTimeout: milliseconds,
    lowSpeedSeconds: options.timeout,
    userAgent: 'mirror-preflight',
  });
  const progress = new Progress(
    server.repositories.map((r) => r.definition.id),
    options.say,
  );
  const reports = new Map<string, RepositoryReport>();
  const needs = new NeedsOfServer();
  const counted = new Set<string>();
  const inTurn = queue();
  const verification = keyRings(server, temporary);
  try {
    await forEachParallel(server.repositories, options.concurrency, async (repository) => {
      const { id } = repository.definition;
      progress.begin(id);
      const report = await lookAt(repository, {
        client,
        verification,
        temporary: join(temporary, 'repositories'),
        deadline: options.timeout * DEADLINE_FACTOR,
        main: options.main,
        now: options.now,
        declared: server.repositories,
        onBytes: (_id, count) => progress.bytes(id, count),
        onTree: (tree) => {
          counted.add(id);
          needs.add(tree, options.now().getTime() / 1000);
        },
        inTurn,
      });
      reports.set(id, report);
      progress.end(id);
    });
  } finally {
    progress.stop();
    await client.close();
    process.off('exit', clean);
    clean();
  }
  const total = needs.total();
  const { free } = options;
  return {
    stack: server.stack,
    repositories: server.repositories.map((r) => reports.get(r.definition.id) as RepositoryReport),
    needs: total,
    notCounted: server.repositories.map((r) => r.definition.id).filter((id) => !counted.has(id)),
    ...(free === undefined ? {} : { space: { free, missing: Math.max(0, total.total.bytes - free) } }),
  };
}

/** Runs work one after the other. */
function queue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work);
    last = next.catch(() => undefined);
    return next;
  };
}

/** Key rings by what is pinned, each made once: many repositories share a key. */
export function keyRings(
  server: DeclaredServer,
  temporary: string,
): (repository: {
  readonly definition: Pick<RepositoryDefinition, 'trust'>;
}) => Promise<{ ring: KeyRing; verifier: PackageVerifier } | undefined> {
  const made = new Map<string, Promise<{ ring: KeyRing; verifier: PackageVerifier }>>();
  const make = async (keys: readonly { readonly file: string; readonly fingerprint: string }[], directory: string) => {
    const files = join(directory, 'files');
    mkdirSync(join(files, 'keys'), { recursive: true, mode: 0o700 });
    for (const { file } of keys) writeFileSync(join(files, file), server.keys.get(file) ?? '');
    const ring = await buildKeyRing(
      keys.map(({ file, fingerprint }) => ({ path: join(files, file), fingerprint })),
      join(directory, 'ring'),
    );
    return { ring, verifier: await PackageVerifier.create(ring, join(directory, 'rpm')) };
  };
  return async ({ definition: { trust } }) => {
    if (trust.mode === 'digestsOnly') return undefined;
    const name = JSON.stringify(trust.keys);
    let ready = made.get(name);
    if (ready === undefined) {
      ready = make(trust.keys, join(temporary, `keys-${made.size}`));
      made.set(name, ready);
    }
    return ready;
  };
}

/** 6 where something does not fit, else 5 where something cannot be reached, else 0. */
export function exitCodeOf(servers: readonly ServerReport[]): ExitCode {
  const results = servers.flatMap((server) => server.repositories.map((r) => r.result));
  if (results.includes('does not fit') || servers.some((s) => (s.space?.missing ?? 0) > 0)) return ExitCode.untrusted;
  return results.includes('unreachable') ? ExitCode.unreachable : ExitCode.ok;
}
