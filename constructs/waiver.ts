import type { IConstruct } from 'constructs';
import { reason, type Problem } from '../desired-state/validate';
import { check, checkList, checkMade, checkProps, invalid } from './private/check';

/** What a server refuses as a likely accident, declared to be meant. The plan shows it with its reason; remove it after the deploy. */
export class Waiver {
  /** Takes over a server that another deployment owns; what that one published and this one does not declare is unpublished. */
  static takeOver(props: { readonly from: string; readonly reason: string }): Waiver {
    checkProps('Waiver.takeOver', props, { from: true, reason: true });
    check('Waiver.takeOver', 'from', props.from, owner);
    check('Waiver.takeOver', 'reason', props.reason, reason);
    return new Waiver(`takes over from ${props.from}: ${props.reason}`, props.from, []);
  }

  /** Unpublishes these elements although they are more than half of what the server publishes; their content stays there. */
  static unpublish(props: { readonly elements: readonly string[]; readonly reason: string }): Waiver {
    checkProps('Waiver.unpublish', props, { elements: true, reason: true });
    checkList('Waiver.unpublish', 'elements', props.elements, 'element', element, 'Name each, for instance "repository/epel-7".');
    check('Waiver.unpublish', 'reason', props.reason, reason);
    return new Waiver(`unpublishes ${props.elements.join(', ')}: ${props.reason}`, undefined, props.elements);
  }

  private constructor(
    /** As the plan shows it. */
    readonly text: string,
    /** @internal */
    readonly owner: string | undefined,
    /** @internal */
    readonly elements: readonly string[],
  ) {}
}

/** Validates the waivers of a server: made by this class, one take-over at most. */
export function checkWaivers(where: IConstruct, waivers: readonly Waiver[]): void {
  const fix = 'Waiver.takeOver({ from, reason }) or Waiver.unpublish({ elements, reason }).';
  checkMade(where, 'waivers', waivers, Array.isArray(waivers), { allowed: 'a list of waivers', fix: `Write [${fix}].` });
  waivers.forEach((waiver, index) => {
    const made = (waiver as unknown) instanceof Waiver;
    checkMade(where, `waivers[${index}]`, waiver, made, { allowed: 'a waiver is made by Waiver', fix });
  });
  if (waivers.filter((waiver) => waiver.owner !== undefined).length > 1)
    throw invalid(where, 'waivers', '(two take-overs)', {
      allowed: 'a server has one owner',
      fix: 'Name the one that mirror-host status prints.',
    });
}

function owner(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^[\x21-\x7e]{1,200}$/.test(value)) return undefined;
  return { allowed: 'an owner is what mirror-host status prints, for instance "mirror/server"', fix: 'Copy it from the refusal.' };
}

function element(value: unknown): Problem | undefined {
  if (typeof value === 'string' && /^(repository|codename)\/[A-Za-z0-9._/-]{1,200}$/.test(value)) return undefined;
  return {
    allowed: 'an element is "repository/<id>" or "codename/<owner>/<codename>"',
    fix: 'Copy the list from the refusal, which names each.',
  };
}
