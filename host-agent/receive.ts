import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sha256 } from '../desired-state/canonical';
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { ProgramsRequest, ProgramsResult } from '../desired-state/model';
import { programsDigestBy, SERVER_PROGRAMS } from '../desired-state/programs';
import { syncDirectory, writeBytesSynced } from './files';
import type { HostPaths } from './paths';
import { digestOfPrograms, keepCompiled, linkPrograms } from './programs';

/** Installs server programs under the digest they come with, whole or not at all. Throws MirrorError when they are not what it says. */
export function receivePrograms(paths: HostPaths, request: ProgramsRequest): ProgramsResult {
  const bytes = new Map(SERVER_PROGRAMS.map((name) => [name, Buffer.from(request.programs[name], 'base64')]));
  const digest = programsDigestBy((name) => sha256(bytes.get(name) as Buffer));
  if (digest !== request.digest) {
    throw new MirrorError({
      code: 'PROGRAMS_DAMAGED',
      message: `the programs that arrived are ${digest.slice(0, 12)}, not ${request.digest.slice(0, 12)}`,
      remedy: 'Deploy again. If it repeats, synthesize again (cdktf synth): the files beside the stack are damaged.',
      exitCode: ExitCode.untrusted,
    });
  }
  const target = join(paths.programs, digest);
  if (digestOfPrograms(target) !== digest) {
    mkdirSync(paths.programs, { recursive: true, mode: 0o755 });
    const upload = join(paths.programs, `.upload-${randomBytes(8).toString('hex')}`);
    try {
      mkdirSync(upload, { mode: 0o755 });
      for (const [name, content] of bytes) writeBytesSynced(join(upload, name), content, 0o755);
      chmodSync(upload, 0o755);
      syncDirectory(upload);
      // A damaged directory of this name cannot be replaced in one step; nothing runs from it.
      rmSync(target, { recursive: true, force: true });
      renameSync(upload, target);
      syncDirectory(paths.programs);
    } catch (error) {
      rmSync(upload, { recursive: true, force: true });
      // Another deploy of the same programs may have been quicker.
      if (digestOfPrograms(target) !== digest) throw error;
    }
  }
  keepCompiled(target);
  linkPrograms(paths, digest, 'ifMissing');
  return { kind: 'programs', digest };
}
