import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { foreignKey } from './foreign-key';
import type { KeyRing } from './pinned-keys';
import { run, type RunResult } from './run';

/** Checks signatures inside RPM packages against an rpm data base that holds exactly the pinned keys. */
export class PackageVerifier {
  private constructor(private readonly database: string) {}

  /** Makes the data base in `directory` (emptied first). Without a ring no signature is good. */
  static async create(ring: KeyRing | undefined, directory: string): Promise<PackageVerifier> {
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const database = join(directory, 'rpmdb');
    await mkdir(database);
    if (ring === undefined) return new PackageVerifier(database);
    const result = await run('rpmkeys', ['--dbpath', database, '--import', ...ring.armoured]);
    if (result.code !== 0) {
      throw new MirrorError({
        code: 'KEY_UNUSABLE',
        message: `rpm cannot use a pinned key: ${(result.stderr + result.stdout).trim()}`,
        remedy: 'Check the key files with rpmkeys --import.',
        exitCode: ExitCode.untrusted,
      });
    }
    return new PackageVerifier(database);
  }

  /**
   * Checks files (at most some hundreds: they are arguments of one process). Returns those without a good signature by a pinned key,
   * with the reason.
   */
  async failures(paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return this.unproven(paths, SIGNED);
  }

  /** The same of packages that are not as their own digests over header and payload say; whoever signed them. */
  async damaged(paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return this.unproven(paths, INTACT);
  }

  private async unproven(paths: readonly string[], check: Check): Promise<ReadonlyMap<string, string>> {
    const failed = new Map<string, string>();
    if (paths.length === 0) return failed;
    const proven = provenPaths((await this.checksig(paths, check)).stdout, check.good);
    for (const path of paths) {
      // What the batch did not prove is looked at alone, for the reason: rpmkeys mixes lines after a damaged package.
      if (proven.has(path)) continue;
      const alone = await this.checksig([path], check, '-v');
      if (alone.code !== 0) failed.set(path, failureReason(alone.stdout + alone.stderr));
    }
    return failed;
  }

  private async checksig(paths: readonly string[], { options }: Check, ...more: readonly string[]): Promise<RunResult> {
    return run('rpmkeys', ['--dbpath', this.database, ...options, '--checksig', ...more, '--', ...paths]);
  }
}

/** What rpmkeys is asked, and what it says of a package that is as it must be. */
interface Check {
  readonly options: readonly string[];
  readonly good: string;
}

/** "all" wants a signature and digests over header and payload: without it an unsigned package passes as "digests OK". */
const SIGNED: Check = { options: ['--define', '_pkgverify_level all'], good: ': digests signatures OK' };
const INTACT: Check = { options: ['--define', '_pkgverify_level digest', '--nosignature'], good: ': digests OK' };

/** The paths of which `rpmkeys --checksig` says exactly what is said of a good one: `: digests signatures OK`. */
export function provenPaths(stdout: string, good: string): ReadonlySet<string> {
  return new Set(
    stdout
      .split('\n')
      .filter((line) => line.endsWith(good))
      .map((line) => line.slice(0, -good.length)),
  );
}

const UNSIGNED = 'it is not signed';

/** Whether a package fails for want of a signature alone. */
export function isUnsigned(reason: string): boolean {
  return reason === UNSIGNED;
}

/** Why a package fails, from the output of `rpmkeys --checksig -v`. */
export function failureReason(output: string): string {
  const lines = output.split('\n').map((l) => l.trim());
  const bad = lines.find((l) => !l.startsWith('error:') && /(signature|digest).*: BAD/i.test(l));
  if (bad !== undefined) return `it is damaged (${bad.replace(/\s*\(Expected.*$/, '')})`;
  const foreign = lines.map((l) => /key ID ([0-9a-f]+): NOKEY/i.exec(l)?.[1]).find((k) => k !== undefined);
  if (foreign !== undefined) return foreignKey(foreign);
  const distrusted = lines.find((l) => /signature.*: NOTTRUSTED/i.test(l));
  if (distrusted !== undefined) return `its signature is not accepted (${distrusted})`;
  if (lines.some((l) => /signature: NOTFOUND/i.test(l))) return UNSIGNED;
  const error = lines.find((l) => l.startsWith('error:'));
  return error === undefined ? 'rpmkeys does not accept it' : `it is no intact package (${error.replace(/^error:\s*(\S+:\s*)?/, '')})`;
}
