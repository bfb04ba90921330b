import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ISynthesisSession } from 'cdktf';
import { TerraformStack } from 'cdktf';
import { addCustomSynthesis } from 'cdktf/lib/synthesize/synthesizer';
import type { Construct } from 'constructs';
import { canonicalJson, sha256 } from '../../desired-state/canonical';
import type { DesiredState } from '../../desired-state/model';
import { programsDigestBy } from '../../desired-state/programs';
import type { Target } from '../../desired-state/target';
import type { Releasable } from './releasable';
import { LIST_SOURCE, type ListSource, TRUST_SOURCE, type TrustSource } from './source';

const PROGRAMS = ['mirror-host.cjs', 'mirrorctl.cjs', 'mirrorctl-body.cjs', 'apply.cjs', 'observe.cjs'] as const;

/**
 * Writes what the activation needs beside the synthesized JSON, in `stacks/<stack>/mirror/`: the desired state, the connection and the
 * programs. A synthesized directory is complete: it can be planned here and applied elsewhere.
 *
 * The desired state goes through a file, since an environment string ends at 128 KiB.
 */
export function deploymentFiles(
  scope: Construct,
  content: () => { target: Target; desiredState: DesiredState },
): { desiredStateDigest(): string; programsDigest: string } {
  const directory = join(process.cwd(), 'dist', 'programs');
  const text = () => canonicalJson(content().desiredState);
  addCustomSynthesis(scope, {
    onSynthesize: (session: ISynthesisSession) => {
      const stack = session.manifest.forStack(TerraformStack.of(scope));
      const target = join(session.outdir, dirname(stack.synthesizedStackPath), 'mirror');
      mkdirSync(target, { recursive: true });
      writeFileSync(join(target, 'desired-state.json'), text());
      writeFileSync(join(target, 'target.json'), `${JSON.stringify(content().target, null, 2)}\n`);
      writeFileSync(
        join(target, 'sources.json'),
        `${JSON.stringify({ trust: trustSources(scope), lists: listSources(scope) }, null, 2)}\n`,
      );
      for (const name of PROGRAMS) copyFileSync(join(directory, name), join(target, name));
    },
  });
  return {
    desiredStateDigest: () => sha256(text()),
    programsDigest: programsDigestBy((name) => sha256(readProgram(directory, name))),
  };
}

/** Repository → line of main.ts, for `npm run preflight`. Beside the desired state, not in it: what moves in main.ts changes no plan. */
function trustSources(scope: Construct): Readonly<Record<string, string>> {
  const found = scope.node.findAll().flatMap((c) => c.node.metadata.filter((m) => m.type === TRUST_SOURCE));
  return Object.fromEntries(
    found.map(({ data }): [string, string] => [(data as TrustSource).repository, (data as TrustSource).position]).sort(),
  );
}

/** Id of what is made from lists → those files of the project, for `npm run check-requests`. Beside the desired state, as above. */
function listSources(scope: Construct): Readonly<Record<string, readonly ListSource[]>> {
  const found = scope.node.findAll().flatMap((construct): [string, readonly ListSource[]][] => {
    const sources = construct.node.metadata.filter((m) => m.type === LIST_SOURCE).map(({ data }) => data as ListSource);
    const [made] = (construct as { readonly releasable?: readonly Releasable[] }).releasable ?? [];
    return made === undefined || sources.length === 0 ? [] : [[made.id, sources]];
  });
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function readProgram(directory: string, name: string): Buffer {
  try {
    return readFileSync(join(directory, name));
  } catch (error) {
    throw new Error(`${join(directory, name)} is missing: synthesis puts the server programs into the deployment. Run: npm run build`, {
      cause: error,
    });
  }
}
