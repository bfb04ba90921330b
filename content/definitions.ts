import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import {
  type AliasDefinition,
  AliasDefinitionSchema,
  type BackupDefinition,
  BackupDefinitionSchema,
  type BuildsDefinition,
  BuildsDefinitionSchema,
  type CodenameDefinition,
  CodenameDefinitionSchema,
  type CopiedDefinition,
  type DownloadsDefinition,
  DownloadsDefinitionSchema,
  type HostedDefinition,
  type ListsDefinition,
  ListsDefinitionSchema,
  type PackagesDefinition,
  PackagesDefinitionSchema,
  type ReleaseDefinition,
  ReleaseDefinitionSchema,
  type RepositoryDefinition,
  RepositoryDefinitionSchema,
  type ServerDefinition,
  ServerDefinitionSchema,
  type SiteDefinition,
  SiteDefinitionSchema,
  type TreeDefinition,
  TreeDefinitionSchema,
  type UploadDefinition,
  UploadDefinitionSchema,
} from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { STARLINGX_OWNER } from '../desired-state/mos-scheme';

/** Everything that is declared for this server. */
export interface Definitions {
  /** The generation, with symlinks resolved: a deploy in between does not mix two. */
  readonly directory: string;
  readonly server: ServerDefinition;
  /** Sorted by id. */
  readonly repositories: readonly RepositoryDefinition[];
  /** Sorted by id. */
  readonly trees: readonly TreeDefinition[];
  /** Sorted by id. */
  readonly downloads: readonly DownloadsDefinition[];
  /** Package lists. Sorted by id. */
  readonly lists: readonly ListsDefinition[];
  /** Sorted by id. */
  readonly codenames: readonly CodenameDefinition[];
  /** Modified packages of branches. Sorted by id. */
  readonly packages: readonly PackagesDefinition[];
  /** Sorted by id. */
  readonly releases: readonly ReleaseDefinition[];
  /** Builds of branches. Sorted by id. */
  readonly builds: readonly BuildsDefinition[];
  /** Old URLs. Sorted by id. */
  readonly aliases: readonly AliasDefinition[];
  /** Accounts that upload, sorted by name. */
  readonly uploads: readonly UploadDefinition[];
  /** Undefined where none is declared. */
  readonly backup?: BackupDefinition;
  /** Undefined where the site answers plain HTTP only. */
  readonly site?: SiteDefinition;
}

interface Schema<T> {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { issues: readonly { path: readonly (string | number)[]; message: string }[] } };
}

/** Reads `<configuration>/definitions/`. Throws a MirrorError that names the file and the field. */
export async function readDefinitions(configuration: string): Promise<Definitions> {
  const directory = await realpath(configuration).catch(() => {
    throw configurationError(
      `there is no configuration at ${configuration}`,
      'Deploy first (cdktf deploy), or name the directory by --configuration.',
    );
  });
  const base = join(directory, 'definitions');
  const server = await readOne(join(base, 'server.yaml'), ServerDefinitionSchema);
  const repositories: RepositoryDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'repositories'))) {
    repositories.push(withId(await readOne(join(base, 'repositories', `${name}.yaml`), RepositoryDefinitionSchema), name, base));
  }
  const trees: TreeDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'trees'))) {
    trees.push(withId(await readOne(join(base, 'trees', `${name}.yaml`), TreeDefinitionSchema), name, base));
  }
  const downloads: DownloadsDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'downloads'))) {
    downloads.push(withId(await readOne(join(base, 'downloads', `${name}.yaml`), DownloadsDefinitionSchema), name, base));
  }
  const lists: ListsDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'lists'))) {
    lists.push(withId(await readOne(join(base, 'lists', `${name}.yaml`), ListsDefinitionSchema), name, base));
  }
  const codenames: CodenameDefinition[] = [];
  for (const owner of await entries(join(base, 'codenames'))) {
    for (const name of await yamlFiles(join(base, 'codenames', owner))) {
      codenames.push(
        withId(await readOne(join(base, 'codenames', owner, `${name}.yaml`), CodenameDefinitionSchema), `${owner}/${name}`, base),
      );
    }
  }
  const packages: PackagesDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'packages'))) {
    packages.push(
      withId(await readOne(join(base, 'packages', `${name}.yaml`), PackagesDefinitionSchema), `${STARLINGX_OWNER}/${name}`, base),
    );
  }
  const releases: ReleaseDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'releases'))) {
    releases.push(withId(await readOne(join(base, 'releases', `${name}.yaml`), ReleaseDefinitionSchema), name, base));
  }
  const builds: BuildsDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'builds'))) {
    builds.push(withId(await readOne(join(base, 'builds', `${name}.yaml`), BuildsDefinitionSchema), name, base));
  }
  const aliases: AliasDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'aliases'))) {
    aliases.push(withId(await readOne(join(base, 'aliases', `${name}.yaml`), AliasDefinitionSchema), name, base));
  }
  const uploads: UploadDefinition[] = [];
  for (const name of await yamlFiles(join(base, 'uploads'))) {
    uploads.push(withId(await readOne(join(base, 'uploads', `${name}.yaml`), UploadDefinitionSchema), name, base, ACCOUNT));
  }
  const present = await entries(base);
  const backup = present.includes('backup.yaml') ? await readOne(join(base, 'backup.yaml'), BackupDefinitionSchema) : undefined;
  const site = present.includes('site.yaml') ? await readOne(join(base, 'site.yaml'), SiteDefinitionSchema) : undefined;
  const optional = { ...(backup === undefined ? {} : { backup }), ...(site === undefined ? {} : { site }) };
  return { directory, server, repositories, trees, downloads, lists, codenames, packages, releases, builds, aliases, uploads, ...optional };
}

/** Everything that is copied from an upstream: one name space of ids. Sorted by id. */
export function copied({
  repositories,
  trees,
  downloads,
  lists,
}: Pick<Definitions, 'repositories' | 'trees' | 'downloads' | 'lists'>): readonly CopiedDefinition[] {
  return [...repositories, ...trees, ...downloads, ...lists].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Reads the definitions, and again only when another generation is the current one, or a repository came or went. */
export function definitionsReader(configuration: string): () => Promise<Definitions> {
  let known: { readonly mark: string; readonly definitions: Definitions } | undefined;
  return async () => {
    const directory = await realpath(configuration).catch(() => configuration);
    const changed = (await stat(join(directory, 'definitions/repositories')).catch(() => undefined))?.mtimeMs;
    const mark = `${directory} ${changed}`;
    if (known?.mark !== mark) known = { mark, definitions: await readDefinitions(configuration) };
    return known.definitions;
  };
}

/** A hosted component. */
export interface HostedComponent {
  /** `<owner>/<codename>/<component>`; of modified packages `starlingx/<id>/<layer>`. */
  readonly id: string;
  /** What it belongs to. */
  readonly codename: HostedDefinition;
  /** Its name, for instance `os`. */
  readonly component: string;
}

export function hostedComponents({
  codenames,
  packages = [],
}: Pick<Definitions, 'codenames'> & Partial<Pick<Definitions, 'packages'>>): readonly HostedComponent[] {
  return [...codenames, ...packages].flatMap((codename) =>
    codename.components.map((component) => ({ id: `${codename.id}/${component}`, codename, component })),
  );
}

/** Ids become directory names. Synthesis allows less; this keeps a defect there from leaving the storage root. */
const SEGMENT = /^[a-z0-9][a-z0-9.-]*$/;
const ACCOUNT = /^[a-z_][a-z0-9_-]*$/;

function withId<T extends { readonly id: string }>(definition: T, expected: string, base: string, segment = SEGMENT): T {
  if (definition.id === expected && expected.split('/').every((s) => segment.test(s))) return definition;
  throw configurationError(
    `a definition below ${base} has the id ${JSON.stringify(definition.id)}; its file name says ${JSON.stringify(expected)}`,
    'The file name is the id. Deploy again; if it stays so, this is a defect.',
  );
}

async function readOne<T>(path: string, schema: Schema<T>): Promise<T> {
  let value: unknown;
  try {
    value = parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw configurationError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, 'Deploy again.');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw configurationError(
    `${path}: ${issue?.path.join('.') || 'the document'}: ${issue?.message ?? 'is not valid'}`,
    'Deploy again with the programs of the same version.',
  );
}

async function yamlFiles(directory: string): Promise<readonly string[]> {
  return (await entries(directory)).filter((name) => name.endsWith('.yaml')).map((name) => name.slice(0, -'.yaml'.length));
}

/** Names, sorted by code unit; none when the directory is absent: zero repositories are valid. */
async function entries(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function configurationError(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'CONFIGURATION', message, remedy, exitCode: ExitCode.invalid });
}
