import { join } from 'node:path';
import type { ContentUser } from './bootstrap';
import { linkTarget, replaceSymlink, syncDirectory } from './files';
import { asContentUser, foundLinks, placeLinks, planLinks, removeLinks } from './links';
import { unitsOf, type Manifest } from './manifest';
import { probe, reloadNginx } from './nginx';
import type { HostPaths } from './paths';
import { linkPrograms } from './programs';
import { tellSshd } from './sshd';
import { installUnits, planUnits, startUnits, unitFacts } from './units';

/** What a server is switched with. */
export interface SwitchContext {
  readonly paths: HostPaths;
  readonly user: ContentUser;
  /** Storage root for a target that has none, generation 0. */
  readonly storageRoot: string;
  /** Every generation on disk: what they installed and the target does not have is removed. */
  readonly known: readonly Manifest[];
  /** After a crash: systemd may not have read the files that are on disk. */
  readonly afterCrash?: boolean;
}

/**
 * Makes the server match a generation that is on disk, from whatever state it is in: forward, back, or after a crash. It computes from
 * what it finds, so that doing it twice does nothing the second time.
 *
 * The order keeps clients safe: links that go away go before the locations that guarded them, new links come after theirs; timers and
 * sockets start last, when the definitions that their services read are current.
 */
export async function switchTo(context: SwitchContext, target: Manifest): Promise<void> {
  const { paths, user, known } = context;
  const storageRoot = target.storage?.root ?? context.storageRoot;
  const directory = join(paths.generations, String(target.generation));
  const wanted = Object.fromEntries(unitsOf(target).map((unit) => [unit, target.files[`systemd/${unit}`] ?? '']));
  const plan = planUnits(new Set(known.flatMap(unitsOf)), wanted, await unitFacts(paths));
  const units = context.afterCrash === true ? { ...plan, reload: true } : plan;
  await installUnits(paths, directory, units);
  if (target.programs !== '') linkPrograms(paths, target.programs, 'always');

  const links = asContentUser(user, () => {
    const found = foundLinks(storageRoot);
    const plan = planLinks(
      known.map((manifest) => manifest.links),
      target.links,
      found,
    );
    removeLinks(storageRoot, plan.remove);
    return plan;
  });

  const text = `generations/${target.generation}`;
  if (linkTarget(paths.current) !== text) {
    replaceSymlink(paths.current, text);
    syncDirectory(paths.configuration);
  }
  await reloadNginx();
  if (target.probe !== undefined) await probe(target.probe, target.generation, target.tls?.port);
  asContentUser(user, () => placeLinks(storageRoot, links.place));
  await startUnits(units);
  // At the end, so that a configuration of sshd that somebody broke keeps nothing else from being restored.
  const deployers = ['root', ...new Set([target, ...known].flatMap(({ deployAccount }) => deployAccount ?? []))];
  await tellSshd(paths, target, deployers, context.afterCrash === true);
}
