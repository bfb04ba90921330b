/** Which packages must be rebuilt, and why. Pure: what is made of what, what the last builds used, and what is built there already are given. */
import { compareEvr } from '../../rpm-metadata/version';
import { type BuildManifest, type PackageInputs, sorted } from '../../starlingx/build-manifest';
import { type RpmFileName, splitRpmFileName } from '../../starlingx/package-list';

export const INPUT_CAUSES = ['inputChanged', 'inputNew', 'inputVanished'] as const;
export const PACKAGE_CAUSES = ['packageMissing', 'packageWrongVersion', 'packageOlderThanSource'] as const;

/** A digest that is not there is null. */
export interface InputCause {
  readonly cause: (typeof INPUT_CAUSES)[number];
  readonly input: string;
  readonly recorded: string | null;
  readonly now: string | null;
}
export interface PackageCause {
  readonly cause: (typeof PACKAGE_CAUSES)[number];
  /** File name of the package, as the manifest names it. */
  readonly package: string;
  /** Version and release; of one that is older than its source, the time at which that was built. */
  readonly wanted: string;
  /** The newest there is, by version; of one that is older than its source, its own time. Null: there is none. */
  readonly built: string | null;
}
export type Cause = InputCause | PackageCause;

/** A package that is built. */
export interface BuiltPackage extends RpmFileName {
  /** Unix seconds; undefined where it says none. */
  readonly builtAt: number | undefined;
}
/** By name and architecture (`builtKey`). */
export type Built = ReadonlyMap<string, readonly BuiltPackage[]>;

export interface Rebuild {
  readonly package: string;
  /** At least one, in the order of the six, then by name. */
  readonly causes: readonly Cause[];
}
export interface Needs {
  /** What must be rebuilt, by name. */
  readonly rebuild: readonly Rebuild[];
  readonly unchanged: readonly string[];
  /** Recorded, and no longer in the manifest: nothing is to be done, but they may still be published. */
  readonly gone: readonly string[];
}

/** Source packages whose sources are not inside are called nosrc by their file, and src by their header. */
export function builtKey({ name, arch }: Pick<RpmFileName, 'name' | 'arch'>): string {
  return `${name}.${arch === 'nosrc' ? 'src' : arch}`;
}

export function builtOf(packages: Iterable<BuiltPackage>): Built {
  const built = new Map<string, BuiltPackage[]>();
  for (const one of packages) {
    const key = builtKey(one);
    const same = built.get(key);
    if (same === undefined) built.set(key, [one]);
    else same.push(one);
  }
  return built;
}

export function needsBuild(inputs: BuildManifest, record: BuildManifest, built: Built): Needs {
  const rebuild: Rebuild[] = [];
  const unchanged: string[] = [];
  for (const name of sorted(inputs.keys())) {
    const wanted = inputs.get(name) as PackageInputs;
    const causes = [...inputCauses(wanted, record.get(name)), ...packageCauses(wanted, built)];
    if (causes.length === 0) unchanged.push(name);
    else rebuild.push({ package: name, causes });
  }
  return { rebuild, unchanged, gone: sorted(record.keys()).filter((name) => !inputs.has(name)) };
}

/** Of a package that was never built every input is new. */
function inputCauses({ inputs }: PackageInputs, recorded: PackageInputs | undefined): InputCause[] {
  const changed: InputCause[] = [];
  const added: InputCause[] = [];
  const vanished: InputCause[] = [];
  for (const [input, now] of inputs) {
    const before = recorded?.inputs.get(input) ?? null;
    if (before === null) added.push({ cause: 'inputNew', input, recorded: null, now });
    else if (before !== now) changed.push({ cause: 'inputChanged', input, recorded: before, now });
  }
  for (const [input, before] of recorded?.inputs ?? [])
    if (!inputs.has(input)) vanished.push({ cause: 'inputVanished', input, recorded: before, now: null });
  return [changed, added, vanished].flatMap((causes) => causes.sort((a, b) => (a.input < b.input ? -1 : 1)));
}

function packageCauses({ source, binaries }: PackageInputs, built: Built): PackageCause[] {
  const causes: Record<PackageCause['cause'], PackageCause[]> = { packageMissing: [], packageWrongVersion: [], packageOlderThanSource: [] };
  const found = (file: string): readonly BuiltPackage[] => {
    const wanted = splitRpmFileName(file) as RpmFileName;
    const there = built.get(builtKey(wanted)) ?? [];
    const right = there.filter((one) => compareEvr(one, wanted) === 0);
    if (right.length > 0) return right;
    const newest = [...there].sort((a, b) => compareEvr(b, a))[0];
    const cause = newest === undefined ? 'packageMissing' : 'packageWrongVersion';
    causes[cause].push({ cause, package: file, wanted: versionOf(wanted), built: newest === undefined ? null : versionOf(newest) });
    return [];
  };
  const sourceTime = newestTime(found(source));
  for (const file of sorted(binaries)) {
    const there = found(file);
    const time = newestTime(there);
    if (there.length > 0 && sourceTime !== undefined && (time ?? -Infinity) < sourceTime)
      causes.packageOlderThanSource.push({
        cause: 'packageOlderThanSource',
        package: file,
        wanted: timeText(sourceTime),
        built: time === undefined ? null : timeText(time),
      });
  }
  return PACKAGE_CAUSES.flatMap((cause) => causes[cause]);
}

/** Several builds of one version may be there: a rebuilt source makes rebuilt packages, so that the newest of both belong together. */
function newestTime(packages: readonly BuiltPackage[]): number | undefined {
  const times = packages.flatMap(({ builtAt }) => (builtAt === undefined ? [] : [builtAt]));
  return times.length === 0 ? undefined : Math.max(...times);
}

function versionOf({ version, release }: Pick<RpmFileName, 'version' | 'release'>): string {
  return `${version}-${release}`;
}

function timeText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}
