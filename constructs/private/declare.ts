import { Resource } from '@cdktf/provider-null/lib/resource';
import type { Construct } from 'constructs';
import type { Element } from '../../desired-state/model';
import { MirrorServer } from '../mirror-server';

/**
 * Declares one thing on the server that `scope` belongs to, and shows it in the plan.
 *
 * The only maker of `null_resource` besides the activation. Its triggers hold the rendered text itself, so that a pull request's plan is a
 * readable diff from state alone.
 *
 * @param texts trigger name (snake case) → text shown in the plan
 */
export function declare(scope: Construct, element: Element, texts: Readonly<Record<string, string>>): void {
  const triggers: Record<string, string> = { element: element.id };
  for (const [name, text] of Object.entries(texts)) triggers[name] = literal(text);
  const resource = new Resource(scope, 'Resource', { triggers });
  MirrorServer.of(scope).register(scope, element, resource);
}

/** Terraform reads `${` and `%{` in a string as templates. */
export function literal(text: string): string {
  return text.replaceAll('${', '$${').replaceAll('%{', '%%{');
}
