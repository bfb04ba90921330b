/**
 * Pins: package versions asked for by name, as `rpm -q` prints them: `name-[epoch:]version-release[.arch]`. One without an epoch or an
 * architecture means any.
 */
import type { Problem } from './validate';

/** What of a package a pin can name. */
export interface Pinnable {
  readonly name: string;
  readonly epoch: string;
  readonly version: string;
  readonly release: string;
  readonly arch: string;
}

/** Validates one pin, as validators of validate.ts do. */
export function packageVersion(value: unknown): Problem | undefined {
  if (
    typeof value === 'string' &&
    value.length <= 300 &&
    /^[A-Za-z0-9_][A-Za-z0-9._+-]*-(\d+:)?[A-Za-z0-9._+~^]+-[A-Za-z0-9._+~^]+$/.test(value)
  )
    return undefined;
  return {
    allowed:
      'a package version is name-version-release, with an epoch before the version and an architecture behind the release where they matter',
    fix: 'For instance "bash-4.2.46-34.el7" or "bind-32:9.11.4-26.P2.el7.x86_64", without ".rpm".',
  };
}

/** Which of the pins name a package. */
export function pinsOf(pins: ReadonlySet<string>, item: Pinnable): readonly string[] {
  const { name, epoch, version, release, arch } = item;
  const plain = `${name}-${version}-${release}`;
  const full = `${name}-${epoch}:${version}-${release}`;
  return [plain, `${plain}.${arch}`, full, `${full}.${arch}`].filter((text) => pins.has(text));
}

export function isPinned(pins: ReadonlySet<string>, item: Pinnable): boolean {
  return pins.size > 0 && pinsOf(pins, item).length > 0;
}
