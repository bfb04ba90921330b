/** A Terraform plan of a mirror, in sentences that say what changes on the server. Pure: from `terraform show -json`. */

/** The part of Terraform's JSON plan (format 1.x) that is read here. */
export interface TerraformPlan {
  readonly resource_changes?: readonly {
    readonly address: string;
    readonly type: string;
    readonly change: {
      readonly actions: readonly string[];
      readonly before: { readonly triggers?: Readonly<Record<string, string>> | null } | null;
      readonly after: { readonly triggers?: Readonly<Record<string, string>> | null } | null;
    };
  }[];
}

export interface PlanSummary {
  readonly changes: boolean;
  /** One sentence a change, in the order of reading: server, added, changed, removed, drift. */
  readonly sentences: readonly string[];
}

interface ElementChange {
  readonly kind: string;
  readonly id: string;
  readonly action: 'add' | 'change' | 'remove';
  readonly before: Readonly<Record<string, string>>;
  readonly after: Readonly<Record<string, string>>;
}

export function summarize(plan: TerraformPlan): PlanSummary {
  const changes = (plan.resource_changes ?? []).flatMap(elementChange);
  const sentences = [
    ...changes.filter((c) => c.kind === 'server' || c.kind === 'vhost').map(serverSentence),
    ...customerSentences(changes),
    ...changes.filter((c) => c.kind === 'repository').map((c) => repositorySentence(c, changes)),
    ...changes.filter((c) => c.kind === 'timer').flatMap((c) => timerSentence(c, changes)),
    ...changes.filter((c) => c.kind === 'activation').flatMap((c) => activationSentences(c, changes)),
  ];
  return { changes: changes.length > 0, sentences };
}

function elementChange(resource: NonNullable<TerraformPlan['resource_changes']>[number]): ElementChange[] {
  const { actions, before, after } = resource.change;
  const action = actions.includes('create')
    ? actions.includes('delete')
      ? 'change'
      : 'add'
    : actions.includes('delete')
      ? 'remove'
      : undefined;
  if (resource.type !== 'null_resource' || action === undefined) return [];
  const element = after?.triggers?.['element'] ?? before?.triggers?.['element'];
  if (element === undefined) return [];
  const slash = element.indexOf('/');
  const [kind, id] = slash < 0 ? [element, ''] : [element.slice(0, slash), element.slice(slash + 1)];
  return [{ kind, id, action, before: before?.triggers ?? {}, after: after?.triggers ?? {} }];
}

const VERB = { add: 'adds', change: 'changes', remove: 'removes' } as const;

function serverSentence(change: ElementChange): string {
  const what = change.kind === 'vhost' ? `vhost ${change.id}` : 'sync services and packages of the server';
  return `${VERB[change.action]} ${what}${changedParts(change)}`;
}

/** A customer is one sentence together with its codenames; a codename of an unchanged customer, or of the product, is one of its own. */
function customerSentences(changes: readonly ElementChange[]): string[] {
  const customers = changes.filter((c) => c.kind === 'customer');
  const codenames = changes.filter((c) => c.kind === 'codename');
  const told = new Set<ElementChange>();
  const sentences = customers.map((customer) => {
    const own = codenames.filter((c) => c.action === customer.action && c.action !== 'change' && c.id.startsWith(`${customer.id}/`));
    own.forEach((c) => told.add(c));
    const repositories = own.reduce((sum, c) => sum + componentCount(c), 0);
    const size = own.length === 0 ? '' : ` (${plural(own.length, 'codename')}, ${plural(repositories, 'repository')})`;
    return `${VERB[customer.action]} customer ${customer.id}${size}${changedParts(customer)}${kept(customer)}`;
  });
  const rest = codenames
    .filter((c) => !told.has(c))
    .map(
      (c) =>
        `${VERB[c.action]} codename ${c.id}${c.action === 'add' ? ` (${plural(componentCount(c), 'repository')})` : ''}${changedParts(c)}${kept(c)}`,
    );
  return [...sentences, ...rest];
}

function repositorySentence(change: ElementChange, changes: readonly ElementChange[]): string {
  if (change.action !== 'add') return `${VERB[change.action]} repository ${change.id}${changedParts(change)}${kept(change)}`;
  const timer = changes.find((c) => c.kind === 'timer' && c.id === change.id);
  const schedule = timer ? calendar(timer.after) : undefined;
  return `adds repository ${change.id}${schedule ? `, synced ${schedule}` : ''}; its first sync starts in the background`;
}

function timerSentence(change: ElementChange, changes: readonly ElementChange[]): string[] {
  const repository = changes.find((c) => c.kind === 'repository' && c.id === change.id);
  if (repository?.action === change.action) return [];
  if (change.action === 'change')
    return [`changes the schedule of ${change.id} from ${calendar(change.before)} to ${calendar(change.after)}`];
  return [`${VERB[change.action]} the schedule of ${change.id}`];
}

function activationSentences(change: ElementChange, changes: readonly ElementChange[]): string[] {
  if (change.action === 'remove') return ['forgets the server: nothing is dismantled there'];
  if (change.action === 'add') return [`deploys to ${change.after['server'] ?? 'the server'} for the first time from this state`];
  const differs = (name: string): boolean => change.before[name] !== change.after[name];
  const sentences: string[] = [];
  if (differs('server')) sentences.push(`deploys to another server: ${change.after['server']} (was ${change.before['server']})`);
  if (differs('programs')) sentences.push('upgrades the server programs');
  if (differs('last_drift')) sentences.push(driftSentence(change.after['last_drift'] ?? '', changes.length > 1));
  if (sentences.length === 0 && changes.length === 1) {
    sentences.push(
      differs('desired_state') ? 'activates a changed desired state' : 'activates again, since the last activation did not finish',
    );
  }
  return sentences.filter((s) => s !== '');
}

function driftSentence(observed: string, withOtherChanges: boolean): string {
  if (observed.startsWith('no generation')) return `sets up the server from nothing: ${observed}`;
  if (observed === '') return '';
  // What is pending because of this very plan is said by its own sentences.
  const findings = observed.split('; ').filter((finding) => !(withOtherChanges && / ?pending: /.test(finding)));
  const generation = /^(generation \d+: )/.exec(observed)?.[1] ?? '';
  if (findings.length === 0) return '';
  const text = findings.join('; ');
  return `repairs drift: ${text.startsWith('generation') ? text : `${generation}${text}`}`;
}

/** Names what differs: "(fetchFrom, trust)" for YAML definitions, else the name of the text. */
function changedParts(change: ElementChange): string {
  if (change.action !== 'change') return '';
  const names = [...new Set([...Object.keys(change.before), ...Object.keys(change.after)])].filter(
    (n) => change.before[n] !== change.after[n],
  );
  const parts = names.flatMap((name) =>
    name === 'definition' ? changedFields(change.before[name] ?? '', change.after[name] ?? '') : [name.replaceAll('_', ' ')],
  );
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function changedFields(before: string, after: string): string[] {
  const fields = (text: string): Map<string, string> =>
    new Map(text.split(/\n(?=\S)/).map((block) => [block.split(':')[0] as string, block.trimEnd()]));
  const [old, now] = [fields(before), fields(after)];
  return [...new Set([...old.keys(), ...now.keys()])].filter((f) => old.get(f) !== now.get(f));
}

function componentCount(change: ElementChange): number {
  const definition = change.after['definition'] ?? change.before['definition'] ?? '';
  const list = /^components:\n((?: +- .*\n?)+)/m.exec(definition)?.[1] ?? '';
  return list.split('\n').filter((line) => line.includes('- ')).length;
}

/** "*-*-* 03:00:00 UTC" → "daily at 03:00 UTC"; anything else as it stands. */
function calendar(triggers: Readonly<Record<string, string>>): string {
  const expression = /^OnCalendar=(.*)$/m.exec(triggers['timer'] ?? '')?.[1] ?? 'an unknown time';
  const daily = /^\*-\*-\* (\d\d:\d\d):00 UTC$/.exec(expression);
  return daily ? `daily at ${daily[1]} UTC` : expression;
}

function kept(change: ElementChange): string {
  return change.action === 'remove' ? ': unpublished at once, its content stays on the server' : '';
}

function plural(count: number, word: string): string {
  return `${count} ${count === 1 ? word : word.endsWith('y') ? `${word.slice(0, -1)}ies` : `${word}s`}`;
}
