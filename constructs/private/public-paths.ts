import type { IConstruct } from 'constructs';
import { invalid } from './check';

/**
 * Who serves what of a site: no path is under, above or the same as another's, but that a copy may lie in one that was claimed before it. Paths are
 * decoded, without slashes at their ends.
 */
export class PublicPaths {
  /** Path → construct that claimed it. */
  private readonly claimed = new Map<string, string>();
  /** Those of them that may have others in them. */
  private readonly copies = new Set<string>();
  /** Directory above claimed paths → one of them. */
  private readonly below = new Map<string, string>();
  /** Other places of what is public elsewhere, which yield to whoever claims them: path → the links that have it. */
  private readonly yielding = new Map<string, Record<string, string>>();

  /** Claims a path for one construct; refuses one that is taken. */
  claim(scope: IConstruct, path: string): void {
    const over = [...ancestorsOf(path)].reverse().find((ancestor) => this.claimed.has(ancestor));
    const other = over ?? this.below.get(path);
    if (other !== undefined) {
      const relation = path === other ? 'is the same as' : over === undefined ? 'lies above' : 'lies under';
      throw invalid(scope, 'public path', JSON.stringify(`/${path}`), {
        allowed: `it ${relation} "/${other}" of ${this.claimed.get(other)}`,
        fix: 'Give every repository and customer a path of its own.',
      });
    }
    this.take(scope, path);
  }

  /** Claims the path of a copy: as `claim`, but that it may lie in another copy's, as upstreams' repositories do. Returns whether it does. */
  claimCopy(scope: IConstruct, path: string): boolean {
    const isInside = !this.claimed.has(path) && this.liesInCopies(path);
    const inner = this.below.get(path);
    if (isInside && inner === undefined) this.take(scope, path);
    else if (!this.claimed.has(path) && inner !== undefined && this.copies.has(inner))
      throw invalid(scope, 'public path', JSON.stringify(`/${path}`), {
        allowed: `it lies above "/${inner}" of ${this.claimed.get(inner)}, which was declared before it`,
        fix: 'Declare this one first: what lies in another one is served in its place there.',
      });
    else this.claim(scope, path);
    this.copies.add(path);
    return isInside;
  }

  /** Whether `path` is a copy's, so that another one may claim what it has below, name by name. */
  isCopy(path: string): boolean {
    return this.copies.has(path);
  }

  private liesInCopies(path: string): boolean {
    const outer = ancestorsOf(path).filter((ancestor) => ancestor !== path && this.claimed.has(ancestor));
    return outer.length > 0 && outer.every((one) => this.copies.has(one));
  }

  private take(scope: IConstruct, path: string): void {
    this.claimed.set(path, scope.node.path);
    for (const ancestor of ancestorsOf(path)) this.below.set(ancestor, path);
    for (const [place, links] of this.yielding) {
      if (!related(place, path)) continue;
      delete links[place];
      this.yielding.delete(place);
    }
  }

  /** Puts a link to `target` among `links`, unless something else is there, or will be declared there: then that answers. */
  linkWhereFree(path: string, target: string, links: Record<string, string>): void {
    if (this.below.has(path) || ancestorsOf(path).some((ancestor) => this.claimed.has(ancestor))) return;
    if ([...this.yielding.keys()].some((place) => related(place, path))) return;
    links[path] = target;
    this.yielding.set(path, links);
  }
}

/** The path itself is among them. */
function ancestorsOf(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

function related(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
}
