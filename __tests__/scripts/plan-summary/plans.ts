/** Terraform plans as small as the sentences need them. */
import { FORESEEN_LINE, type Foreseen } from '../../../desired-state/model';
import type { TerraformPlan } from '../../../scripts/plan-summary';

export type Resource = NonNullable<TerraformPlan['resource_changes']>[number];
type Triggers = Readonly<Record<string, string>>;

export function change(before: Triggers | null, after: Triggers | null, actions?: string[]): Resource {
  const same = JSON.stringify(before) === JSON.stringify(after);
  const derived = before === null ? ['create'] : after === null ? ['delete'] : same ? ['no-op'] : ['delete', 'create'];
  return {
    address: 'null_resource.x',
    type: 'null_resource',
    change: { actions: actions ?? derived, before: before && { triggers: before }, after: after && { triggers: after } },
  };
}

export const plan = (...resource_changes: Resource[]): TerraformPlan => ({ resource_changes });

/** A plan that the server was asked for. */
export function answered(foreseen: Partial<Foreseen>, ...resources: Resource[]): TerraformPlan {
  const answer: Foreseen = {
    generation: 3,
    owner: 'mirror/server',
    deviations: [],
    pending: { added: [], changed: [], removed: [] },
    secrets: {},
    unchanged: false,
    samePrograms: true,
    ...foreseen,
  };
  const observation = { address: 'data.local_command.o', mode: 'data', type: 'local_command' };
  const values = { stdout: '', stderr: `${FORESEEN_LINE}${JSON.stringify(answer)}\n` };
  return {
    ...plan(...resources),
    prior_state: { values: { root_module: { resources: [{ ...observation, values }] } } },
    configuration: { root_module: { resources: [observation] } },
  };
}

export const activation = (over: Triggers = {}): Triggers => ({
  element: 'activation',
  server: 'root@m:22 K',
  desired_state: 'a',
  programs: 'p',
  secrets: 'signing-key version 1',
  confirm: 'within 60 s',
  last_drift: 'generation 3: intact',
  ...over,
});

export const timer = (time: string): Triggers => ({ element: 'timer/epel-7', timer: `[Timer]\nOnCalendar=*-*-* ${time}:00 UTC\n` });

export const repository = (id: string, fields = '', path = id): Triggers => ({
  element: `repository/${id}`,
  definition: `kind: repository\nid: ${id}\npublicPath: mirror/${path}\n${fields}`,
});

export const codename = (id: string, fields = '', architectures = ['x86_64'], path = id.replace(/^apex/, 'acme')): Triggers => ({
  element: `codename/${id}`,
  definition: `kind: codename\nid: ${id}\n${fields}publicPath: ${path}\ncomponents:\n${['os', 'updates', 'security', 'holdback', 'cr'].map((name) => `  - ${name}\n`).join('')}architectures:\n${architectures.map((name) => `  - ${name}\n`).join('')}`,
});
