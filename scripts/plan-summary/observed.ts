/** What is known of the server while a plan is read: its own answer, or what the trigger and the state tell. Pure. */
import { NOT_OBSERVED, type Foreseen } from '../../desired-state/model';
import { describeUnpublished, needsWaiver, unpublished } from '../../desired-state/unpublish';
import { takenOver, waivedElements, waivers } from './activation';
import { fieldsOf, listField, textField, type Pending } from './changes';
import type { Planned, Triggers } from './terraform-plan';

export interface Observed {
  /** Undefined when nobody knows; 0: the server has none. */
  readonly generation: number | undefined;
  readonly owner: string | undefined;
  readonly deviations: readonly string[];
  readonly pending: Pending;
  /** Undefined when nobody knows. */
  readonly unchanged: boolean | undefined;
  readonly samePrograms: boolean | undefined;
  readonly refused: string | undefined;
}

/** From the server's own answer. */
export function observedBy(foreseen: Foreseen): Observed {
  const { generation, owner, deviations, pending, unchanged, samePrograms, refused } = foreseen;
  return {
    generation,
    owner: owner === '' ? undefined : owner,
    deviations,
    pending: { exact: true, ...pending },
    unchanged,
    samePrograms,
    refused:
      refused &&
      `${refused.message.replace(/: nothing was changed$/, '').replace(/^this would unpublish/, 'unpublishes')}. ${refused.remedy}`,
  };
}

/** From the trigger `last_drift` and Terraform's state: the server was not asked, or has programs that say no more. */
export function observedInTrigger(planned: readonly Planned[], activation: Planned): Observed {
  const text = activation.after?.['last_drift'] ?? '';
  const intact = text === '' || text === NOT_OBSERVED || text === activation.before?.['last_drift'];
  const none = { exact: false, added: [], changed: [], removed: [] };
  if (intact || text.startsWith('no generation')) {
    const generation = intact ? undefined : 0;
    const refused = intact ? refusedByState(planned, activation) : undefined;
    return { generation, owner: undefined, deviations: [], pending: none, unchanged: undefined, samePrograms: undefined, refused };
  }
  const [, number, rest = text] = /^generation (\d+): (.*)$/s.exec(text) ?? [];
  const parts = rest.split('; ');
  const other = parts.map((part) => /^deployed by (\S+), not by (\S+)$/.exec(part)).find((match) => match !== null);
  const pending =
    parts
      .find((part) => part.startsWith('pending: '))
      ?.slice('pending: '.length)
      .split(', ') ?? [];
  const marked = (sign: string): string[] => pending.filter((item) => item.startsWith(`${sign} `)).map((item) => item.slice(2));
  const takeOver = waivers(activation.after).map(takenOver);
  const foreign = other && !takeOver.includes(other[1]) ? `this server belongs to ${other[1]}, not to ${other[2]}` : undefined;
  return {
    generation: number === undefined ? undefined : Number(number),
    owner: other?.[1],
    deviations: parts.filter((part) => part !== other?.[0] && !part.startsWith('pending: ')),
    pending: { exact: false, added: marked('+'), changed: marked('~'), removed: marked('-') },
    unchanged: undefined,
    samePrograms: undefined,
    refused: foreign ?? refusedByState(planned, activation),
  };
}

/** The server's rule, applied to what the state says is published. */
function refusedByState(planned: readonly Planned[], activation: Planned): string | undefined {
  const before = publishedBy(planned.map((one) => [one.element, one.before]));
  const after = publishedBy(planned.map((one) => [one.element, one.after]));
  const waived = waivers(activation.after).flatMap(waivedElements);
  const going = unpublished(before, Object.values(after).flat());
  const count = Object.keys(before).length;
  if (!needsWaiver(going, count, waived)) return undefined;
  const { what, waiver } = describeUnpublished(going, count, waived);
  return `${what.replace(/^unpublish/, 'unpublishes')}. If that is meant, say so in main.ts: ${waiver} of the MirrorServer.`;
}

function publishedBy(things: readonly (readonly [string, Triggers | undefined])[]): Record<string, string[]> {
  const paths = things.flatMap(([element, triggers]): [string, string[]][] => {
    if (triggers === undefined || !/^(repository|codename|packages)\//.test(element)) return [];
    const path = textField(triggers, 'publicPath');
    const components = listField(triggers, 'components');
    return [[element, 'components' in fieldsOf(triggers) ? components.map((component) => `${path}/${component}`) : [path]]];
  });
  return Object.fromEntries(paths);
}
