import { ExitCode, MirrorError } from '../desired-state/errors';
import type { CodenameDefinition } from '../desired-state/definitions';
import { calledSo, shortId } from '../desired-state/mos-scheme';
import { byDistance } from '../desired-state/nearest';
import { type Definitions, type HostedComponent, hostedComponents } from './definitions';
import { someOf } from './lines';

/**
 * The component with a name as people write it: its id, `acme/mos7.0-centos6/os`, or of the product without its owner, `mos7.0-centos6/os`.
 * Throws a MirrorError that says which there are.
 */
export function componentNamed(definitions: Definitions, name: string): HostedComponent {
  const all = hostedComponents(definitions);
  const found = calledSo(all, name);
  if (found !== undefined) return found;
  const near = byDistance(
    name,
    all.map(({ id }) => shortId(id)),
  ).map((one) => one.name);
  throw new MirrorError({
    code: 'NOT_DECLARED',
    message: `no hosted component is called ${JSON.stringify(name.slice(0, 200))}`,
    remedy:
      near.length === 0
        ? 'None is declared on this server: add a MosCodename, a Customer or ModifiedPackages to main.ts, and deploy.'
        : `There are ${someOf(near, 5)}. A new one is declared in main.ts and deployed.`,
    exitCode: ExitCode.usage,
  });
}

/** The codename that a command names: `acme/mos9.0-centos7`, or `mos9.0-centos7` of the product. Throws a MirrorError that says which there are. */
export function codenameNamed({ codenames }: Pick<Definitions, 'codenames'>, name: string): CodenameDefinition {
  const found = calledSo(codenames, name);
  if (found !== undefined) return found;
  const there = codenames.map(({ id }) => shortId(id));
  throw new MirrorError({
    code: 'NOT_DECLARED',
    message: `no codename ${JSON.stringify(name)} is declared on this server`,
    remedy: there.length === 0 ? 'A codename is declared in main.ts and deployed: new MosCodename(…).' : `There is ${there.join(', ')}.`,
    exitCode: ExitCode.usage,
  });
}
