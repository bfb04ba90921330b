/** Sentences about customers, who may read what is theirs, codenames, and the account that deploys. Pure. */
import { besides, differing, fieldsOf, linesOf, listField, plural, textField, UNKNOWN_BEFORE, UNPUBLISHED, type Change } from './changes';
import type { Triggers } from './terraform-plan';

/** The field that says where something is public. */
const PATH_FIELD: Readonly<Record<string, string>> = { customer: 'prefix', codename: 'publicPath', packages: 'publicPath' };
/** What has hosted repositories, by kind. */
const NOUNS: Readonly<Record<string, string>> = { codename: 'codename', packages: 'modified packages' };

/** A customer is one sentence together with its codenames; a codename of a customer that stays, or of the product, is one of its own. */
export function ownerSentences(changes: readonly Change[]): string[] {
  const customers = changes.filter((one) => one.kind === 'customer');
  const codenames = changes.filter((one) => one.kind === 'codename');
  const told = new Set<Change>();
  const formerOf = (one: Change): Change | undefined => {
    const formerId = textField(one.after, 'formerId');
    return formerId === '' ? undefined : changes.find((o) => o.kind === one.kind && o.action === 'remove' && o.id === formerId);
  };
  const sentences = customers.flatMap((customer) => {
    if (told.has(customer)) return [];
    const own = codenames.filter(
      (one) => one.action === customer.action && one.action !== 'change' && one.id.startsWith(`${customer.id}/`),
    );
    if (customer.action === 'change') return changedCustomer(customer);
    const former = customer.action === 'add' ? formerOf(customer) : undefined;
    if (former !== undefined) {
      told.add(former);
      const pairs = own.filter((one) => formerOf(one) !== undefined);
      for (const one of pairs) [one, formerOf(one)].forEach((side) => side && told.add(side));
      return [`renames customer ${former.id} to ${customer.id}: its content stays, and ${movedPath(former, customer, 'prefix')}`];
    }
    // The one that is renamed to says so.
    if (customers.some((one) => one.action === 'add' && formerOf(one) === customer)) return [];
    own.forEach((one) => told.add(one));
    const repositories = own.reduce((sum, one) => sum + componentCount(one), 0);
    const size = own.length === 0 ? '' : ` (${plural(own.length, 'codename')}, ${plural(repositories, 'repository')})`;
    return customer.action === 'add'
      ? [`adds customer ${customer.id}${size}${readableBy(customer)}`]
      : [`removes customer ${customer.id}${size}: ${UNPUBLISHED}`];
  });
  const renamed = codenames.flatMap((one) => {
    const former = one.action === 'add' && !told.has(one) ? formerOf(one) : undefined;
    if (former === undefined) return [];
    told.add(one).add(former);
    return [`renames codename ${former.id} to ${one.id}: its content stays, and ${movedPath(former, one, 'publicPath')}`];
  });
  const others = [...codenames.filter((one) => !told.has(one)), ...changes.filter((one) => one.kind === 'packages')];
  return [...sentences, ...renamed, ...others.flatMap(hostedSentences)];
}

function movedPath(former: Change, one: Change, field: 'prefix' | 'publicPath'): string {
  const [from, to] = [textField(former.before, field), textField(one.after, field)];
  return from === '' || from === to ? 'stays public' : `moves to /${to}/; /${from}/ stops answering`;
}

type Readers = readonly string[] | 'everybody';

function accessOf(triggers: Triggers | undefined): Readers {
  return fieldsOf(triggers)['access'] === 'public' ? 'everybody' : listField(triggers, 'access');
}

function readers(access: Readers): string {
  if (access === 'everybody') return 'by everybody';
  const networks = access.filter((who) => !isOtherWay(who));
  const from = networks.length === 0 ? [] : [`from ${networks.join(', ')}`];
  return `${[...from, ...access.filter(isOtherWay)].join(', ')} only`;
}

/** A password or a certificate; the rest are networks. */
function isOtherWay(who: string): boolean {
  return who.startsWith('with ');
}

function client(who: string): string {
  return isOtherWay(who) ? `clients ${who}` : who;
}

function readableBy(customer: Change): string {
  const access = accessOf(customer.after);
  return access.length === 0 ? '' : `, readable ${readers(access)}`;
}

function changedCustomer(one: Change): string[] {
  if (one.before === undefined) return [`changes customer ${one.id} ${UNKNOWN_BEFORE}`];
  const names = differing(one);
  const sentences = names.flatMap((name): string[] => {
    switch (name) {
      case 'access':
        return accessSentences(one.id, accessOf(one.before), accessOf(one.after));
      // Follows from the others.
      case 'nginx':
        return names.length === 1 ? [`changes how customer ${one.id} is served (nginx)`] : [];
      default:
        return [ownedField(one, name)];
    }
  });
  return sentences.length > 0 ? sentences : [`changes customer ${one.id}`];
}

function accessSentences(id: string, before: Readers, after: Readers): string[] {
  if (after === 'everybody') return [`opens customer ${id} to everybody (was ${readers(before)})`];
  if (before === 'everybody') return [`closes customer ${id}: readable ${readers(after)} (was by everybody)`];
  return [
    ...besides(before, after).map((who) => `lets ${client(who)} read customer ${id}`),
    ...besides(after, before).map((who) => `lets ${client(who)} read customer ${id} no longer`),
  ];
}

function hostedSentences(one: Change): string[] {
  const what = `${NOUNS[one.kind]} ${one.id}`;
  if (one.action === 'add') {
    const formerId = textField(one.after, 'formerId');
    return [
      `adds ${what} (${plural(componentCount(one), 'repository')})${formerId === '' ? '' : `; it goes on with the content of ${formerId}`}`,
    ];
  }
  if (one.action === 'remove') return [`removes ${what}: ${UNPUBLISHED}`];
  if (one.before === undefined) return [`changes ${what} ${UNKNOWN_BEFORE}`];
  const names = differing(one).filter((name) => name !== 'repo_file');
  return names.flatMap((name): string[] => {
    const [was, now] = [listField(one.before, name), listField(one.after, name)];
    if (name === 'architectures' || (name === 'components' && one.kind === 'packages'))
      return [
        ...besides(was, now).map((added) => `adds ${added} to ${what}`),
        ...besides(now, was).map((removed) => `removes ${removed} from ${what}: its packages stay on the server`),
      ];
    if (one.kind !== 'packages') return [ownedField(one, name)];
    if (name === 'replaces')
      return [
        ...besides(was, now).map((layer) => `lets rebuilt packages replace others in ${layer} of ${what}`),
        ...besides(now, was).map((layer) => `refuses rebuilt packages in ${layer} of ${what} from now on`),
      ];
    return name === 'trust' ? [trustSentence(what, one)] : [ownedField(one, name)];
  });
}

function trustSentence(what: string, one: Change): string {
  const [before, after] = [one.before, one.after].map((side) => (fieldsOf(side)['trust'] ?? {}) as { mode?: string; reason?: string });
  if (after?.mode === 'digestsOnly')
    return `${before?.mode === 'digestsOnly' ? 'gives another reason to take' : 'takes'} unsigned packages in ${what}: ${after.reason}`;
  return before?.mode === 'digestsOnly'
    ? `takes signed packages only in ${what} from now on`
    : `changes whose signatures count in ${what}: clients import the keys once`;
}

/** What a field changes that customers and codenames have alike. */
function ownedField({ kind: element, id, before, after }: Change, name: string): string {
  const kind = NOUNS[element] ?? element;
  switch (name) {
    case PATH_FIELD[element]:
      return `moves ${kind} ${id} from /${textField(before, name)}/ to /${textField(after, name)}/: the old paths stop answering`;
    case 'keys':
      return `hands out other keys for ${kind} ${id}: its clients import them once`;
    case 'formerId':
      return `forgets that ${kind} ${id} was called ${textField(before, name)}: nothing changes for clients`;
    default:
      return `changes ${kind} ${id} (${name})`;
  }
}

export function componentCount(one: Change): number {
  return listField(one.after ?? one.before, 'components').length;
}

/** Who may deploy. */
export function accountSentences(changes: readonly Change[]): string[] {
  return changes
    .filter((one) => one.kind === 'account')
    .flatMap((one) => {
      const [before, after] = [people(one.before), people(one.after)];
      if (one.action === 'add') return [`makes the deploy account ${one.id}: lets ${after.join(', ')} deploy`];
      if (one.action === 'remove') return [`removes the deploy account ${one.id}`];
      if (one.before === undefined) return [`changes who may deploy as ${one.id} ${UNKNOWN_BEFORE}`];
      return [
        ...besides(before, after).map((who) => `lets ${who} deploy`),
        ...besides(after, before).map((who) => `lets ${who} deploy no longer`),
      ];
    });
}

/** Each key by its comment and its last characters: two keys of one person are two. */
export function people(triggers: Triggers | undefined): string[] {
  return linesOf(triggers, 'authorized_keys')
    .filter((line) => !line.startsWith('#'))
    .map((line) => {
      const [type, key, ...comment] = line.split(' ');
      const tail = `${type} …${key?.slice(-8)}`;
      return comment.length === 0 ? `the key ${tail}` : `${comment.join(' ')} (${tail})`;
    });
}
