/** What may be published in a component: pure rules on what packages say of themselves, and on what is published already. */
import { ExitCode } from '../desired-state/errors';
import type { Checksum } from '../rpm-metadata/checksum';
import { quoted } from '../rpm-metadata/errors';
import { nevra, type Nevra } from '../rpm-metadata/nevra';
import { compareEvr } from '../rpm-metadata/version';
import { packagesFolder, SOURCE } from '../desired-state/mos-scheme';

/** Why a file is not published. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly exitCode: ExitCode;
}

/**
 * A package of 4 GiB or more is refused: the headers of rpm before 4.6, and yum of EL 5 and 6, count its bytes in 32 bits, and such a package
 * breaks the installation of every other one.
 */
export const MAX_PACKAGE_BYTES = 2 ** 32 - 1;

export function invalid(code: string, message: string, remedy: string): Refusal {
  return { code, message, remedy, exitCode: ExitCode.invalid };
}

export function untrusted(code: string, message: string, remedy: string): Refusal {
  return { code, message, remedy, exitCode: ExitCode.untrusted };
}

/** What rpm itself allows in a name, a version, a release and an architecture. They become the name of a file. */
const WORD = /^[A-Za-z0-9][A-Za-z0-9._+~^-]{0,200}$/;
const VERSION = /^[A-Za-z0-9._+~^]{1,200}$/;

/** Judges what a package calls itself, beside the name of its file. Source packages are named `.src.rpm` or `.nosrc.rpm`. */
export function judgeName(file: string, item: Nevra): Refusal | undefined {
  const odd = (['name', 'version', 'release', 'arch', 'epoch'] as const).find((field) => {
    if (field === 'epoch') return !/^\d{1,10}$/.test(item.epoch);
    return !(field === 'name' || field === 'arch' ? WORD : VERSION).test(item[field]);
  });
  if (odd !== undefined)
    return invalid(
      'PACKAGE_ODD_NAME',
      `its header has the ${odd} ${quoted(item[odd])}`,
      'Build it with a name, version and release of letters, digits and . _ + ~ ^ (and - in the name).',
    );
  const names = fileNamesOf(item);
  if (names.includes(file)) return undefined;
  return invalid(
    'PACKAGE_MISNAMED',
    `the file is called ${quoted(file)}, and by its header it is ${names[0]}`,
    `Call it ${names[0]}, if that is what you mean to publish.`,
  );
}

/** How the file of a package may be called. */
export function fileNamesOf({ name, version, release, arch }: Nevra): readonly string[] {
  const stem = `${name}-${version}-${release}`;
  return arch === 'src' ? [`${stem}.src.rpm`, `${stem}.nosrc.rpm`] : [`${stem}.${arch}.rpm`];
}

/** 32-bit packages run on x86_64. */
const INTEL_32 = /^i[3-6]86$/;

/** The trees that a package belongs to; a refusal where there is none. */
export function treesFor({ arch }: Pick<Nevra, 'arch'>, trees: readonly string[]): readonly string[] | Refusal {
  const found = trees.filter((tree) => {
    if (tree === SOURCE || arch === 'src') return tree === SOURCE && arch === 'src';
    return arch === 'noarch' || tree === arch || (INTEL_32.test(arch) && (tree === 'x86_64' || INTEL_32.test(tree)));
  });
  if (found.length > 0) return found;
  const binary = trees.filter((tree) => tree !== SOURCE);
  return invalid(
    'PACKAGE_ARCHITECTURE',
    `it is of architecture ${quoted(arch)}, and the component has ${binary.join(', ')}`,
    'Publish it in a codename with that architecture, or declare it there (architectures) and deploy.',
  );
}

/** A package that is to be published. */
export interface Candidate extends Nevra {
  /** How its file is told of. */
  readonly file: string;
  readonly fileName: string;
  readonly sha256: string;
  readonly trees: readonly string[];
  /** Folder of its own in the folder of the packages, where other content has its place; see `ownFolder`. */
  readonly folder?: string;
}

/** A package as a tree lists it. */
export interface Listed extends Nevra {
  readonly path: string;
  readonly size: number;
  readonly checksum: Checksum;
}

/** What is to become of a package in a tree. `undefined`: it is new there. */
export type Verdict = 'same' | Refusal | { readonly replaces: Listed } | undefined;

/** What of the rules does not hold. */
export interface Allowed {
  /** What is older than what is published, or was replaced there. */
  readonly downgrade: boolean;
  /** A package that was built anew takes the place of the one with its name and version. */
  readonly replacing: boolean;
}

/** What a tree publishes of the packages with some names. */
export class Present {
  private readonly byNevra = new Map<string, Listed>();
  private readonly byPath = new Map<string, Listed>();
  private readonly newest = new Map<string, Listed>();

  constructor(
    readonly tree: string,
    packages: Iterable<Listed>,
    names: ReadonlySet<string>,
  ) {
    for (const item of packages) if (names.has(item.name)) this.add(item);
  }

  /** Where the tree has what is the same. */
  placeOf(item: Candidate): string | undefined {
    return this.byNevra.get(nevra(item))?.path;
  }

  judge(item: Candidate, { downgrade, replacing }: Allowed): Verdict {
    const known = this.byNevra.get(nevra(item));
    if (known?.checksum.hex === item.sha256) return 'same';
    if (known !== undefined) return replacing ? { replaces: known } : changed(item, known.checksum.hex);
    const there = this.byPath.get(pathOf(this.tree, item.fileName));
    if (there !== undefined)
      return invalid(
        'PLACE_TAKEN',
        `${nevra(there)} lies at ${this.tree}/${there.path}, where ${nevra(item)} would lie: the epoch is in no file name`,
        'Build it with another version or release.',
      );
    const newest = this.newest.get(`${item.name}.${item.arch}`);
    if (newest === undefined || downgrade || compareEvr(item, newest) >= 0) return undefined;
    return invalid(
      'PACKAGE_OLDER',
      `it is older than ${nevra(newest)}, which is published`,
      'Build it with a higher version, release or epoch. If the older one is meant, say --allow-downgrade: clients that have the newer one keep it.',
    );
  }

  private add(item: Listed): void {
    this.byNevra.set(nevra(item), item);
    this.byPath.set(item.path, item);
    const key = `${item.name}.${item.arch}`;
    const newest = this.newest.get(key);
    if (newest === undefined || compareEvr(item, newest) > 0) this.newest.set(key, item);
  }
}

function changed(item: Candidate, published: string): Refusal {
  return invalid(
    'PACKAGE_CHANGED',
    `${nevra(item)} is published with other content (SHA-256 ${published.slice(0, 12)}…, and this is ${item.sha256.slice(0, 12)}…)`,
    'A version is published once: build it anew with another release. Signing again changes a package, too.',
  );
}

/** It was published before, and another content took its place: who publishes it once more may not know. */
export function superseded(item: Candidate, since: string, served: string): Refusal {
  return invalid(
    'PACKAGE_SUPERSEDED',
    `${nevra(item)} with this content (SHA-256 ${item.sha256.slice(0, 12)}…) was replaced on ${since.slice(0, 10)}; what is served is ${served.slice(0, 12)}…`,
    'Publish what was built last. If this one is to be served again, say --allow-downgrade.',
  );
}

/** Where a file lies in its tree. */
export function pathOf(tree: string, fileName: string, folder?: string): string {
  return `${packagesFolder(tree)}/${folder === undefined ? '' : `${folder}/`}${fileName}`;
}

/** Where other content has a package's place, it lies in a folder that is called by its own digest: no URL ever has two contents. */
export function ownFolder({ sha256 }: Pick<Candidate, 'sha256'>): string {
  return sha256.slice(0, 12);
}

/**
 * Judges the files of one call beside each other: of two with the same content the later is the same, two that contradict each other are both
 * refused.
 */
export function contradictions(items: readonly Candidate[]): ReadonlyMap<Candidate, 'same' | Refusal> {
  const found = new Map<Candidate, 'same' | Refusal>();
  const first = new Map<string, Candidate>();
  for (const item of items) {
    // Source packages may be called by two names.
    const keys = [item.fileName, nevra(item)];
    const other = keys.map((key) => first.get(key)).find((found) => found !== undefined);
    if (other === undefined) for (const key of keys) first.set(key, item);
    else if (other.sha256 === item.sha256) found.set(item, 'same');
    else {
      found.set(item, contradicts(item, other));
      found.set(other, contradicts(other, item));
    }
  }
  return found;
}

function contradicts(item: Candidate, other: Candidate): Refusal {
  return invalid(
    'PACKAGE_CONTRADICTS',
    `${other.file} has the same name and other content`,
    `Give one of the two: they are both ${nevra(item)}.`,
  );
}
