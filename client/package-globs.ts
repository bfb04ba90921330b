/** `exclude` and `includepkgs` of a repository, as yum and dnf read them. Pure. */
import type { Identity } from './wanted';

/** Whether a package may be taken from a repository. A glob is meant of the name, of `name.arch`, or of the version, too, as far as it goes. */
export function takes(
  { exclude, includepkgs }: { readonly exclude: readonly string[]; readonly includepkgs: readonly string[] },
  { name, version, release, arch }: Identity,
): boolean {
  const full = `${name}-${version}-${release}`;
  const forms = [name, `${name}.${arch}`, `${name}-${version}`, full, `${full}.${arch}`];
  const matched = (globs: readonly string[]): boolean => globs.some((glob) => forms.some((form) => pattern(glob).test(form)));
  return !matched(exclude) && (includepkgs.length === 0 || matched(includepkgs));
}

/** Several stars are one, or a pattern of many would take for ever. */
function pattern(glob: string): RegExp {
  const translated = glob.replace(/\[!?[\w.+-]+\]|\*+|[^\w]/g, (part) => {
    if (part.startsWith('*')) return '.*';
    if (part === '?') return '.';
    if (part.length > 1) return part.replace('[!', '[^').replaceAll('.', '\\.');
    return `\\${part}`;
  });
  try {
    return new RegExp(`^${translated}$`);
  } catch {
    // A range that runs backwards: no package has such a name.
    return /^$/;
  }
}
