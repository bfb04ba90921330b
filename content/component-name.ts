import { ExitCode, MirrorError } from '../desired-state/errors';
import { byDistance } from '../desired-state/nearest';
import { type Definitions, type HostedComponent, hostedComponents } from './definitions';
import { someOf } from './lines';

/** Whose codenames may be called without their owner. */
const PRODUCT = 'mos';

/**
 * The component with a name as people write it: its id, `acme/mos7.0-centos6/os`, or of the product without its owner, `mos7.0-centos6/os`.
 * Throws a MirrorError that says which there are.
 */
export function componentNamed(definitions: Definitions, name: string): HostedComponent {
  const all = hostedComponents(definitions);
  const found = all.find(({ id }) => id === name) ?? all.find(({ id }) => id === `${PRODUCT}/${name}`);
  if (found !== undefined) return found;
  const near = byDistance(name, all.map(shortName)).map((one) => one.name);
  throw new MirrorError({
    code: 'NOT_DECLARED',
    message: `no hosted component is called ${JSON.stringify(name.slice(0, 200))}`,
    remedy:
      near.length === 0
        ? 'None is declared on this server: add a MosCodename or a Customer to main.ts, and deploy.'
        : `There are ${someOf(near, 5)}. A new one is declared in main.ts and deployed.`,
    exitCode: ExitCode.usage,
  });
}

/** A component as people call it. */
export function shortName({ id }: Pick<HostedComponent, 'id'>): string {
  return id.startsWith(`${PRODUCT}/`) ? id.slice(PRODUCT.length + 1) : id;
}
