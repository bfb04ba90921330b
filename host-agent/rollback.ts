/** An older generation is made to serve, by hand. The caller holds the host lock. */
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { SettledResult } from '../desired-state/model';
import { ensureAccount } from './account';
import { asMirrorError, type Reporter } from './events';
import { currentGeneration, manifestsOnDisk } from './generation';
import { restoreHosted } from './hosted';
import { closeJournal, openJournal, readJournal } from './journal';
import type { Manifest } from './manifest';
import type { HostPaths } from './paths';
import { armRevert, disarmRevert } from './revert-unit';
import { contextFor, fallback, recordLeft, recover, takeBack, takeBackFailed } from './settle';
import { judgeStorage, storageFacts } from './storage';
import { switchTo } from './switch';
import { ensureUploads } from './uploads';

/** A rollback that dies is taken back after this many seconds: it waits for no confirmation, since who does it is on the server. */
const TAKEN_BACK_AFTER_S = 60;

/** An emergency: an older generation serves, and shows as drift until the next deploy. On failure the one that served is restored. */
export async function rollback(paths: HostPaths, to: number | undefined, by: string, report: Reporter): Promise<SettledResult> {
  const pending = readJournal(paths);
  if (pending !== undefined && (to === undefined || to === pending.from)) return takeBack(paths, pending, report);
  const unrestored = await recover(paths, report);
  const known = manifestsOnDisk(paths);
  const current = fallback(currentGeneration(paths), known, unrestored);
  const target = rollbackTarget(known, current.generation, to);
  const context = contextFor(paths, known);
  if (target.storage !== undefined) judgeStorage(target.storage, storageFacts(paths, target.storage.root));
  if (target.deployAccount !== undefined) await ensureAccount(paths, target.deployAccount, current.deployAccount, report);
  await ensureUploads(paths, target, context.user, report);
  await armRevert(TAKEN_BACK_AFTER_S);
  openJournal(paths, { from: current.generation, to: target.generation, by, lastDrift: '' });
  try {
    await switchTo({ ...context, afterCrash: unrestored !== undefined }, target);
  } catch (error) {
    throw await takeBackFailed(context, current, target, asMirrorError(error), report);
  }
  recordLeft(paths, `rolled back from generation ${current.generation}`);
  closeJournal(paths);
  await disarmRevert();
  await restoreHosted(paths, target, context.user, report);
  const other = otherLogin(current, target);
  if (other !== undefined) report.warning(other);
  return { kind: 'settled', outcome: 'rolled back', generation: target.generation, from: current.generation };
}

/** What whoever rolled back must know before he ends his session: others may log in now than before. Pure. */
export function otherLogin(from: Manifest, to: Manifest): string | undefined {
  const keys = 'ssh/authorized_keys';
  if (from.deployAccount === to.deployAccount && from.files[keys] === to.files[keys]) return undefined;
  const who =
    to.deployAccount === undefined
      ? `no deploy account: ${from.deployAccount} can log in no more`
      : `the account ${to.deployAccount}, with the keys of generation ${to.generation}`;
  return `deploys log in as then: ${who}. Try it before you end this session`;
}

/** The generation to roll back to: the one asked for, else the newest confirmed one before the current. Throws MirrorError. Pure. */
export function rollbackTarget(manifests: readonly Manifest[], current: number, to: number | undefined): Manifest {
  const candidates = manifests.filter((m) => m.activated && m.generation !== 0 && m.generation !== current);
  const older = candidates.filter((m) => m.generation < current).sort((a, b) => b.generation - a.generation);
  const found = to === undefined ? older[0] : candidates.find((m) => m.generation === to);
  if (found !== undefined) return found;
  const there = candidates.map((m) => m.generation).sort((a, b) => a - b);
  throw new MirrorError({
    code: 'NO_SUCH_GENERATION',
    message:
      to === undefined
        ? `there is no confirmed generation before ${current}`
        : to === current
          ? `generation ${to} serves already`
          : `generation ${to} is not on this server, or never was confirmed`,
    remedy: there.length === 0 ? 'Deploy instead.' : `Generations to roll back to: ${there.join(', ')} (mirror-host generations).`,
    exitCode: ExitCode.invalid,
  });
}
