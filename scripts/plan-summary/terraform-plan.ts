/** The part of Terraform's JSON plan (format 1.x, `terraform show -json`) that the sentences are made from. Pure. */
import { FORESEEN_LINE, ForeseenSchema, type Foreseen } from '../../desired-state/model';

export type Triggers = Readonly<Record<string, string>>;

export interface TerraformPlan {
  readonly resource_changes?: readonly ResourceChange[];
  readonly prior_state?: { readonly values?: { readonly root_module?: { readonly resources?: readonly StateResource[] } } };
  readonly configuration?: { readonly root_module?: { readonly resources?: readonly ConfiguredResource[] } };
}

interface ResourceChange {
  readonly address: string;
  readonly type: string;
  /** `replace_because_tainted` after an apply that failed. */
  readonly action_reason?: string;
  readonly change: {
    readonly actions: readonly string[];
    readonly before: { readonly triggers?: Triggers | null } | null;
    readonly after: { readonly triggers?: Triggers | null } | null;
  };
}

interface StateResource {
  readonly address: string;
  readonly mode: string;
  readonly type: string;
  readonly values: Readonly<Record<string, unknown>>;
}

interface ConfiguredResource {
  readonly address: string;
  readonly mode: string;
  readonly type: string;
}

/** One declared thing, as Terraform's state has it and as main.ts declares it. */
export interface Planned {
  /** `<kind>/<id>`, or `activation`. */
  readonly element: string;
  readonly action: 'add' | 'change' | 'remove' | 'keep';
  readonly before: Triggers | undefined;
  readonly after: Triggers | undefined;
  readonly tainted: boolean;
}

/** Everything that is declared, or was. */
export function plannedElements(plan: TerraformPlan): Planned[] {
  return (plan.resource_changes ?? []).flatMap((resource) => {
    const { actions } = resource.change;
    const before = resource.change.before?.triggers ?? undefined;
    const after = resource.change.after?.triggers ?? undefined;
    const element = (after ?? before)?.['element'];
    if (resource.type !== 'null_resource' || element === undefined) return [];
    const [creates, deletes] = [actions.includes('create'), actions.includes('delete')];
    const action = creates ? (deletes ? 'change' : 'add') : deletes ? 'remove' : 'keep';
    return [{ element, action, before, after, tainted: resource.action_reason === 'replace_because_tainted' } as const];
  });
}

function isObservation({ mode, type }: ConfiguredResource): boolean {
  return mode === 'data' && type === 'local_command';
}

/** What the server answered while the plan was made; undefined when it was not asked, or has programs that say no more than the trigger. */
export function foreseenIn(plan: TerraformPlan): Foreseen | undefined {
  // A plan without the server (MIRROR_OBSERVE=0) keeps an old answer in its state.
  if (!plan.configuration?.root_module?.resources?.some(isObservation)) return undefined;
  const said = plan.prior_state?.values?.root_module?.resources?.find(isObservation)?.values['stderr'];
  const line = typeof said === 'string' ? said.split('\n').find((text) => text.startsWith(FORESEEN_LINE)) : undefined;
  if (line === undefined) return undefined;
  try {
    return ForeseenSchema.parse(JSON.parse(line.slice(FORESEEN_LINE.length)));
  } catch {
    return undefined;
  }
}

/** Texts that only a difference is read of. */
const COMPARED_ONLY = /^(repo_file|serving|.+_(service|socket|timer))$/;

/** The plan without what the sentences do not read: of what stays as it is, only what it publishes. */
export function trimPlan(plan: TerraformPlan): TerraformPlan {
  const pending = foreseenIn(plan)?.pending;
  const differs = new Set(pending === undefined ? [] : Object.values(pending).flat());
  const resources = plan.prior_state?.values?.root_module?.resources ?? [];
  return {
    resource_changes: (plan.resource_changes ?? [])
      .filter(({ type }) => type === 'null_resource')
      .map(({ address, type, action_reason, change }) => {
        const { actions } = change;
        const kept = (side: ResourceChange['change']['before']): ResourceChange['change']['before'] =>
          side?.triggers ? { triggers: read(side.triggers, actions, differs) } : null;
        return {
          address,
          type,
          ...(action_reason === undefined ? {} : { action_reason }),
          change: { actions, before: kept(change.before), after: kept(change.after) },
        };
      }),
    prior_state: {
      values: {
        root_module: {
          resources: resources.filter(isObservation).map(({ address, mode, type, values }) => ({
            address,
            mode,
            type,
            values: { stdout: values['stdout'], stderr: values['stderr'] },
          })),
        },
      },
    },
    configuration: {
      root_module: {
        resources: (plan.configuration?.root_module?.resources ?? [])
          .filter(isObservation)
          .map(({ address, mode, type }) => ({ address, mode, type })),
      },
    },
  };
}

function read(triggers: Triggers, actions: readonly string[], differs: ReadonlySet<string>): Triggers {
  if (actions.includes('no-op') && !differs.has(triggers['element'] ?? '')) return published(triggers);
  if (actions.length > 1) return triggers;
  return Object.fromEntries(Object.entries(triggers).filter(([name]) => !COMPARED_ONLY.test(name)));
}

function published(triggers: Triggers): Triggers {
  const { element, definition } = triggers;
  if (element === 'activation' || element === undefined) return triggers;
  const lines = /^(publicPath: .*|components:\n( +- .*\n?)+)/gm;
  const kept = /^(repository|codename|packages)\//.test(element) ? (definition?.match(lines) ?? []).join('\n') : '';
  return kept === '' ? { element } : { element, definition: kept };
}
