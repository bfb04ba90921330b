/** Is a stored plan the plan of what is checked out? Pure: files in, reasons out. */
import { sha256 } from '../../desired-state/canonical';
import type { PlanSummary } from '../plan-summary';
import { plannedConfiguration } from './plan-file';

/** What is stored of a stack's directory, beside the plan: the files that decide what is sent to the server, and how. */
export const STACK_FILES = [
  'cdk.tf.json',
  'mirror/desired-state.json',
  'mirror/target.json',
  'mirror/apply.cjs',
  'mirror/mirror-host.cjs',
  'mirror/mirrorctl.cjs',
  'mirror/mirrorctl-body.cjs',
  'mirror/observe.cjs',
] as const;

/** The providers that the plan was made with. Not synthesized, so nothing to compare: a changed one makes `terraform init` fail. */
export const LOCK_FILE = '.terraform.lock.hcl';
export const STORED_PLAN = 'plan.tfplan';

/** Text of the stored `summary.json`: `review apply` compares it byte for byte. */
export function summaryJson(stack: string, summary: PlanSummary): string {
  return `${JSON.stringify({ stack, ...summary }, null, 2)}\n`;
}

/**
 * Compares a stored plan with what the checkout synthesizes.
 *
 * @param stored files of the stored plan: `stack/…` and `plan.tfplan`
 * @param synthesized files of the synthesized stack, by the same names without `stack/`
 * @returns why it is not the plan of this source; undefined where it is
 */
export function differs(stored: ReadonlyMap<string, Buffer>, synthesized: ReadonlyMap<string, Buffer>): string | undefined {
  for (const name of STACK_FILES) {
    const [theirs, ours] = [stored.get(`stack/${name}`), synthesized.get(name)];
    if (theirs === undefined) return `${name} is missing in it`;
    if (ours === undefined) return `this commit does not synthesize ${name}`;
    // Bytes: synthesis is deterministic, and two parsers may read one JSON text differently (Terraform heeds a key that is there twice).
    if (!theirs.equals(ours))
      return `its ${name} (sha256 ${sha256(theirs).slice(0, 12)}) is not what this commit synthesizes (${sha256(ours).slice(0, 12)})`;
  }
  const plan = stored.get(STORED_PLAN);
  if (plan === undefined) return `${STORED_PLAN} is missing in it`;
  return differsInside(plan, synthesized.get('cdk.tf.json') as Buffer);
}

/** Terraform runs the configuration that is inside of the plan file. */
function differsInside(plan: Buffer, configuration: Buffer): string | undefined {
  let files: Map<string, Buffer>;
  try {
    files = plannedConfiguration(plan);
  } catch (error) {
    return `its plan file cannot be read: ${(error as Error).message}`;
  }
  const inside = files.get('m-/cdk.tf.json');
  const others = [...files.keys()].filter((name) => name !== 'm-/cdk.tf.json' && name !== 'modules.json');
  if (inside === undefined || others.length > 0) return `its plan file was made from other files: ${others.join(', ') || 'none'}`;
  return inside.equals(configuration) ? undefined : 'its plan file was made from another configuration than this commit synthesizes';
}
