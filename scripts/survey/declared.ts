/** What main.ts declares, as synthesis writes it: definitions, public keys, and the lines that declare trust. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { RepositoryDefinitionSchema } from '../../desired-state/definitions';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { readDesiredState, STACK_FILES } from '../deploy/inputs';
import type { DeclaredRepository } from './types';
import { usage } from './units';

export interface DeclaredServer {
  readonly stack: string;
  /** Sorted by id. */
  readonly repositories: readonly DeclaredRepository[];
  /** `keys/<name>` → armoured text. */
  readonly keys: ReadonlyMap<string, string>;
}

const DIRECTORY = 'cdktf.out';

/** Synthesizes main.ts. Needs no server, no secret and no Terraform. */
export function synthesize(): void {
  const result = spawnSync(process.execPath, [join('scripts', 'synth.mjs')], { encoding: 'utf8', maxBuffer: 1 << 28 });
  const said = `${result.stdout}${result.stderr}`.trim();
  if (result.status !== 0) {
    throw new MirrorError({
      code: 'SYNTHESIS_FAILED',
      message: `main.ts cannot be synthesized:\n${result.error?.message ?? said}`,
      remedy: 'Nothing was looked at.',
      exitCode: ExitCode.invalid,
    });
  }
  if (said !== '') process.stderr.write(`${said}\n`);
}

/** Every server of the synthesized app, in the order of main.ts. */
export function declaredServers(): readonly DeclaredServer[] {
  return serverStacks().map(({ name, directory }) => declaredServer(name, directory));
}

/** The stacks that are servers, with the directories of what was synthesized. */
export function serverStacks(): readonly { readonly name: string; readonly directory: string }[] {
  const manifest = JSON.parse(readFileSync(join(DIRECTORY, 'manifest.json'), 'utf8')) as {
    stacks: Record<string, { workingDirectory: string }>;
  };
  return Object.entries(manifest.stacks)
    .map(([name, { workingDirectory }]) => ({ name, directory: join(DIRECTORY, workingDirectory) }))
    .filter(({ directory }) => existsSync(join(directory, STACK_FILES.desiredState)));
}

/** Reads the synthesized directory of one stack. */
function declaredServer(stack: string, directory: string): DeclaredServer {
  const { elements } = readDesiredState(directory).desiredState;
  const sources = sourcesIn(directory);
  const files = elements.flatMap((element) => Object.entries(element.files));
  const repositories = files
    .filter(([path]) => /^definitions\/repositories\/[^/]+\.yaml$/.test(path))
    .map(([path, text]) => {
      const definition = RepositoryDefinitionSchema.parse(parse(text));
      return { definition, trustAt: sources[basename(path, '.yaml')] };
    });
  return { stack, repositories, keys: new Map(files.filter(([path]) => path.startsWith('keys/'))) };
}

function sourcesIn(directory: string): Readonly<Record<string, string>> {
  const path = join(directory, 'mirror', 'sources.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { trust: Record<string, string> }).trust : {};
}

/** The servers with only the named repositories; all of them when none is named. Throws for a name that nothing has. */
export function only(servers: readonly DeclaredServer[], ids: readonly string[]): readonly DeclaredServer[] {
  if (ids.length === 0) return servers;
  const known = new Set(servers.flatMap((server) => server.repositories.map((r) => r.definition.id)));
  const unknown = ids.find((id) => !known.has(id));
  if (unknown !== undefined) {
    throw usage(
      `no copied repository is declared with the id ${JSON.stringify(unknown)}`,
      known.size === 0 ? 'main.ts declares no copied repository.' : `Declared: ${[...known].sort().join(', ')}.`,
    );
  }
  return servers
    .map((server) => ({ ...server, repositories: server.repositories.filter((r) => ids.includes(r.definition.id)) }))
    .filter((server) => server.repositories.length > 0);
}
