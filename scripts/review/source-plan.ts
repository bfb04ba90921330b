/** A plan from the source alone: two synthesized stacks, compared. Pure but for nothing: texts in, changes and texts out. */
import { canonicalJson } from '../../desired-state/canonical';
import type { TerraformPlan, Triggers } from '../plan-summary/terraform-plan';

/** A file of the text diff: `repository/epel-7/definition` → text. */
export type Texts = ReadonlyMap<string, string>;

/** Elements of a synthesized stack: resource name → its triggers, without what only a server can answer. */
export function elementsOf(cdkTfJson: string | undefined): ReadonlyMap<string, Triggers> {
  if (cdkTfJson === undefined) return new Map();
  const json = JSON.parse(cdkTfJson) as { resource?: { null_resource?: Record<string, { triggers?: Record<string, string> }> } };
  return new Map(
    Object.entries(json.resource?.null_resource ?? {}).map(([name, resource]) => {
      const triggers = Object.entries(resource.triggers ?? {}).filter(([trigger]) => trigger !== 'last_drift');
      return [name, Object.fromEntries(triggers.map(([trigger, text]) => [trigger, unescaped(text)]))];
    }),
  );
}

/** What Terraform would plan with a state that is exactly what the base declares. */
export function sourcePlan(base: ReadonlyMap<string, Triggers>, head: ReadonlyMap<string, Triggers>): TerraformPlan {
  const names = [...new Set([...base.keys(), ...head.keys()])].sort();
  const changes = names.map((name) => {
    const [before, after] = [base.get(name), head.get(name)];
    const actions =
      before === undefined
        ? ['create']
        : after === undefined
          ? ['delete']
          : canonicalJson(before) === canonicalJson(after)
            ? ['no-op']
            : ['delete', 'create'];
    return {
      address: `null_resource.${name}`,
      type: 'null_resource',
      change: { actions, before: before ? { triggers: before } : null, after: after ? { triggers: after } : null },
    };
  });
  return { resource_changes: changes };
}

/** Each text of a stack as a file: its name is made from declared names, which may be anybody's. */
export function textFiles(elements: ReadonlyMap<string, Triggers>): Texts {
  const texts = new Map<string, string>();
  for (const [name, triggers] of elements) {
    for (const [trigger, text] of Object.entries(triggers)) {
      if (trigger === 'element') continue;
      texts.set(`${safePath(triggers['element'] ?? name)}/${safePath(trigger)}`, text.endsWith('\n') ? text : `${text}\n`);
    }
  }
  return texts;
}

function safePath(name: string): string {
  return name
    .split('/')
    .map((part) => encodeURIComponent(part.slice(0, 80)).replace(/^\.*$/, (dots) => '%2E'.repeat(dots.length) || '%00'))
    .join('/');
}

function unescaped(text: string): string {
  return text.replaceAll('$${', '${').replaceAll('%%{', '%{');
}
