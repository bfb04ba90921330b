import type { IConstruct } from 'constructs';
import {
  DOWNLOADS_WAIVERS,
  type DownloadsWaiver,
  LISTS_WAIVERS,
  type ListsWaiver,
  REPOSITORY_WAIVERS,
  type RepositoryWaiver,
  TREE_WAIVERS,
  type TreeWaiver,
} from '../desired-state/definitions';
import { reason, type Problem } from '../desired-state/validate';
import { check, checkList, checkMade, checkProps, invalid } from './private/check';

/** What a waiver is declared on: a MirrorServer, or an RpmRepository. */
type Bearer = 'server' | 'repository';

/**
 * What a deploy or a sync refuses as a likely accident or attack, declared to be meant. The plan shows it with its reason. A server's is
 * removed after the deploy; a repository's stays as long as its reason does.
 */
export class Waiver<On extends Bearer = Bearer> {
  /** Takes over a server that another deployment owns; what that one published and this one does not declare is unpublished. */
  static takeOver(props: { readonly from: string; readonly reason: string }): Waiver<'server'> {
    checkProps('Waiver.takeOver', props, { from: true, reason: true });
    check('Waiver.takeOver', 'from', props.from, owner);
    check('Waiver.takeOver', 'reason', props.reason, reason);
    return new Waiver('server', 'takeOver', props.reason, `takes over from ${props.from}: ${props.reason}`, props.from);
  }

  /** Unpublishes these elements although they are more than half of what the server publishes; their content stays there. */
  static unpublish(props: { readonly elements: readonly string[]; readonly reason: string }): Waiver<'server'> {
    checkProps('Waiver.unpublish', props, { elements: true, reason: true });
    checkList('Waiver.unpublish', 'elements', props.elements, 'element', element, 'Name each, for instance "repository/epel-7".');
    check('Waiver.unpublish', 'reason', props.reason, reason);
    const text = `unpublishes ${props.elements.join(', ')}: ${props.reason}`;
    return new Waiver('server', 'unpublish', props.reason, text, undefined, props.elements);
  }

  /** Upstream's metadata names files by sha1, which forgers can make collide. */
  static weakChecksums(why: string): Waiver<'repository'> {
    return Waiver.ofRepository('weakChecksums', why);
  }

  /** Upstream's metadata is older than what is published: a replay, or an upstream that went back on purpose. */
  static olderRevision(why: string): Waiver<'repository'> {
    return Waiver.ofRepository('olderRevision', why);
  }

  /** Upstream lists less than half of the packages that it listed before, or none. */
  static shrunk(why: string): Waiver<'repository'> {
    return Waiver.ofRepository('shrunk', why);
  }

  /** Upstream's metadata is older than `maxAgeDays`. */
  static staleMetadata(why: string): Waiver<'repository'> {
    return Waiver.ofRepository('staleMetadata', why);
  }

  /** Upstream serves other content under the name, version and architecture of a package that was published before. */
  static changedPackages(why: string): Waiver<'repository'> {
    return Waiver.ofRepository('changedPackages', why);
  }

  /** Redirects and mirror lists may lead to private, link-local or loopback addresses. */
  static privateAddresses(why: string): Waiver<'repository'> {
    return Waiver.ofRepository('privateAddresses', why);
  }

  /** Packages or files that cannot be had, or do not verify, are left out: a verbatim repository is published all the same, none is degraded. */
  static incomplete(why: string): Waiver<'repository'> {
    return Waiver.ofRepository('incomplete', why);
  }

  private static ofRepository(name: RepositoryWaiver, why: string): Waiver<'repository'> {
    check(`Waiver.${name}`, 'reason', why, reason);
    return new Waiver('repository', name, why, `${name}: ${why}`);
  }

  private constructor(
    readonly on: On,
    /** As main.ts calls it. */
    readonly name: 'takeOver' | 'unpublish' | RepositoryWaiver,
    readonly reason: string,
    /** As the plan shows it. */
    readonly text: string,
    /** @internal */
    readonly owner?: string,
    /** @internal */
    readonly elements: readonly string[] = [],
  ) {}
}

/** What to write, by what it is declared on. */
const HOW: Readonly<Record<Bearer, string>> = {
  server: 'Waiver.takeOver({ from, reason }) or Waiver.unpublish({ elements, reason }).',
  repository: `Waiver.<name>(reason), where <name> is one of ${REPOSITORY_WAIVERS.join(', ')}.`,
};
const BEARERS: Readonly<Record<Bearer, string>> = { server: 'a MirrorServer', repository: 'an RpmRepository' };

/** Validates the waivers of a server: made by this class for servers, one take-over at most. */
export function checkServerWaivers(where: IConstruct, waivers: readonly Waiver[]): void {
  checkMadeFor(where, 'server', waivers);
  if (waivers.filter((waiver) => waiver.owner !== undefined).length > 1)
    throw invalid(where, 'waivers', '(two take-overs)', {
      allowed: 'a server has one owner',
      fix: 'Name the one that mirror-host status prints.',
    });
}

/** Validates the waivers of a repository: each once. Returns them as `mirrorctl` reads them, in an order that does not depend on main.ts. */
export function repositoryWaivers(
  where: IConstruct,
  waivers: readonly Waiver[],
): { readonly allow: RepositoryWaiver; readonly reason: string }[] {
  checkMadeFor(where, 'repository', waivers);
  waivers.forEach((waiver, index) => {
    const first = waivers.findIndex((other) => other.name === waiver.name);
    if (first === index) return;
    throw invalid(where, `waivers[${index}]`, `Waiver.${waiver.name}`, {
      allowed: `each waiver once; waivers[${first}] is the same`,
      fix: 'Remove one of the two, and keep the reason that holds.',
    });
  });
  return REPOSITORY_WAIVERS.flatMap((allow) =>
    waivers.filter((waiver) => waiver.name === allow).map((waiver) => ({ allow, reason: waiver.reason })),
  );
}

/** Validates the waivers of a file tree: those of a repository that mean something for one. */
export function treeWaivers(where: IConstruct, waivers: readonly Waiver[]): { readonly allow: TreeWaiver; readonly reason: string }[] {
  return waiversAmong(where, waivers, TREE_WAIVERS, 'a file tree');
}

/** Validates the waivers of downloads, likewise. */
export function downloadsWaivers(
  where: IConstruct,
  waivers: readonly Waiver[],
): { readonly allow: DownloadsWaiver; readonly reason: string }[] {
  return waiversAmong(where, waivers, DOWNLOADS_WAIVERS, 'downloads');
}

/** Validates the waivers of package lists, likewise. */
export function listsWaivers(where: IConstruct, waivers: readonly Waiver[]): { readonly allow: ListsWaiver; readonly reason: string }[] {
  return waiversAmong(where, waivers, LISTS_WAIVERS, 'package lists');
}

function waiversAmong<W extends RepositoryWaiver>(
  where: IConstruct,
  waivers: readonly Waiver[],
  known: readonly W[],
  what: string,
): { readonly allow: W; readonly reason: string }[] {
  return repositoryWaivers(where, waivers).map(({ allow, reason }) => {
    const found = known.find((name) => name === allow);
    if (found !== undefined) return { allow: found, reason };
    throw invalid(where, 'waivers', `Waiver.${allow}`, {
      allowed: `it is for an RpmRepository; of ${what} there are ${known.join(', ')}`,
      fix: 'Remove it.',
    });
  });
}

function checkMadeFor(where: IConstruct, on: Bearer, waivers: readonly Waiver[]): void {
  const fix = HOW[on];
  checkMade(where, 'waivers', waivers, Array.isArray(waivers), { allowed: 'a list of waivers', fix: `Write [${fix.replace(/\.$/, '')}].` });
  waivers.forEach((waiver, index) => {
    const made = (waiver as unknown) instanceof Waiver;
    checkMade(where, `waivers[${index}]`, waiver, made, { allowed: 'a waiver is made by Waiver', fix });
    if (waiver.on !== on)
      throw invalid(where, `waivers[${index}]`, `Waiver.${waiver.name}`, {
        allowed: `it is for ${BEARERS[waiver.on]}, and this is ${BEARERS[on]}`,
        fix: `Move it to the waivers of ${waiver.on === 'server' ? 'the server' : 'the repository that it is meant for'}.`,
      });
  });
}

function owner(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[\x21-\x7e]{1,200}$/.test(value)) return undefined;
  return { allowed: 'an owner is what mirror-host status prints, for instance "mirror/server"', fix: 'Copy it from the refusal.' };
}

function element(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[a-z]+\/[A-Za-z0-9._/-]{1,200}$/.test(value)) return undefined;
  return {
    allowed: 'an element is "<kind>/<id>", for instance "repository/epel-7", "release/3.0" or "codename/<owner>/<codename>"',
    fix: 'Copy the list from the refusal, which names each.',
  };
}
