import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { SettledResult } from '../desired-state/model';
import { keepAccounts } from './account';
import { findContentUser } from './bootstrap';
import type { Reporter } from './events';
import { kindOf } from './files';
import { currentGeneration, manifestsOnDisk } from './generation';
import { readJournal } from './journal';
import { EMPTY_MANIFEST } from './manifest';
import { reloadNginx } from './nginx';
import type { HostPaths } from './paths';
import { removeRevertUnit } from './revert-unit';
import { run } from './run';
import { lastStorageRoot, takeBack } from './settle';
import { switchTo } from './switch';
import { systemctl } from './units';
import { keepUploads } from './uploads';

/** What is removed, and what stays, before anything is. Pure. */
export function decommissionText(storageRoot: string | undefined, generatedKeys: readonly string[]): string {
  return [
    'This dismantles the mirror on this server: everything is unpublished at once; its timers and units, nginx site, programs, generations,',
    'secrets and accounts (for deploys, for uploads) are removed.',
    ...(generatedKeys.length === 0
      ? []
      : [
          `The signing keys that this server made are removed too, for good: copy ${generatedKeys.join(', ')} first, if clients are to go on trusting them.`,
        ]),
    `What stays: the content${storageRoot === undefined ? '' : ` (${storageRoot})`}, its state (/var/lib/mirror), uploads that were not taken (/var/lib/mirror-uploads), the user mirror and the Debian packages.`,
    'Terraform does not know of it: remove the stack from main.ts, or its state, too.',
    'Nothing was done. To do it: mirror-host decommission --yes',
  ].join('\n');
}

/** Dismantles the mirror. The caller holds the host lock. Throws MirrorError while a sync runs, or uploads are taken: none is killed. */
export async function decommission(paths: HostPaths, report: Reporter): Promise<SettledResult> {
  await refuseRunningSyncs();
  const journal = readJournal(paths);
  if (journal !== undefined) await takeBack(paths, journal, report);
  const current = currentGeneration(paths);
  const user = findContentUser(paths);
  const known = manifestsOnDisk(paths);
  const root = lastStorageRoot(known);
  if (user !== undefined && root !== undefined) {
    report.progress(`unpublishing generation ${current.generation}`);
    await switchTo({ paths, user, storageRoot: root, known }, EMPTY_MANIFEST);
  }
  rmSync(paths.nginxLink, { force: true });
  if (kindOf(join(paths.nginxLink, '..')) === 'directory') await reloadNginx();
  report.progress('removing units, programs, generations and secrets');
  await removeRevertUnit(paths);
  await systemctl(['daemon-reload'], 'reload the unit files');
  // What failed once is remembered as a unit that is not found.
  await run('systemctl', ['reset-failed', 'mirror-*']);
  await keepAccounts(paths, [], report);
  await keepUploads(paths, {}, report);
  rmSync(paths.accountHomes, { recursive: true, force: true });
  for (const link of [paths.hostProgramLink, paths.contentProgramLink]) rmSync(link, { force: true });
  for (const directory of [paths.hostState, paths.programs, paths.configuration, paths.acme])
    rmSync(directory, { recursive: true, force: true });
  return { kind: 'settled', outcome: 'decommissioned', generation: 0, from: current.generation };
}

/** Units that publish, and would be cut off. */
const CHANGES_CONTENT = ['mirror-sync*.service', 'mirror-uploads@*.service'];

async function refuseRunningSyncs(): Promise<void> {
  const listed = await run('systemctl', ['list-units', '--plain', '--no-legend', '--state=activating,active', ...CHANGES_CONTENT]);
  const running = listed.stdout.split('\n').flatMap((line) => line.trim().split(/\s+/)[0] || []);
  if (running.length === 0) return;
  throw new MirrorError({
    code: 'SYNC_RUNNING',
    message: `syncs, or what takes uploads, are running: ${running.join(', ')}: nothing was changed`,
    remedy: 'Wait for their end, or stop them: systemctl stop <unit>.',
    exitCode: ExitCode.locked,
  });
}
