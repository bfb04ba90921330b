import { join } from 'node:path';
import { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { SCHEMA_VERSION } from '../desired-state/model';
import { readIfPresent } from './files';

/** `manifest.json` of a generation: what it contains and what it was made from. */
export const ManifestSchema = z.object({
  schemaVersion: z.literal(SCHEMA_VERSION),
  generation: z.number().int().min(0),
  /** Empty for generation 0, which nobody deployed. */
  owner: z.string(),
  created: z.string(),
  /** Digest of the desired state, with its elements in the order of their ids. */
  desiredState: z.string(),
  /** Digest of the server programs: a directory of `ServerPaths.programs`. */
  programs: z.string(),
  storage: z.object({ root: z.string(), ownMount: z.boolean() }).optional(),
  probe: z.object({ serverName: z.string(), port: z.number() }).optional(),
  tls: z.object({ port: z.number(), certificate: z.enum(['declared', 'made', 'acme']) }).optional(),
  /** Element id → SHA-256 of its canonical JSON. */
  elements: z.record(z.string(), z.string()),
  /** Path in the generation → SHA-256. */
  files: z.record(z.string(), z.string()),
  /** Public path → target relative to the storage root. */
  links: z.record(z.string(), z.string()),
  /** Secret name → HMAC-SHA-256 by the host key. */
  secrets: z.record(z.string(), z.string()),
  /** Of those, the ones that this server made: secret name → version. */
  generatedKeys: z.record(z.string(), z.string()).optional(),
  /** Element id → its public paths. */
  published: z.record(z.string(), z.array(z.string())),
  deployAccount: z.string().optional(),
  /** Account that uploads → its directories below `UPLOADS.root/<account>`. */
  uploads: z.record(z.string(), z.array(z.string())).optional(),
  /** Of those, the ones that upload by rsync. */
  uploadsByRsync: z.array(z.string()).optional(),
  /** False until the generation was confirmed. */
  activated: z.boolean(),
});
export type Manifest = z.infer<typeof ManifestSchema>;

/** The accounts that upload, of a generation. */
export type UploadAccounts = Pick<Manifest, 'uploads' | 'uploadsByRsync'>;

/** What generation 0 is made from: nothing. It is the previous generation of the first one. */
export const EMPTY_MANIFEST: Manifest = {
  schemaVersion: SCHEMA_VERSION,
  generation: 0,
  owner: '',
  created: '1970-01-01T00:00:00.000Z',
  desiredState: '',
  programs: '',
  elements: {},
  files: {},
  links: {},
  secrets: {},
  published: {},
  activated: true,
};

/** Reads a generation's manifest; undefined when it has none. Throws MirrorError when it is damaged, or of newer programs than these. */
export function readManifest(generationDirectory: string): Manifest | undefined {
  const path = join(generationDirectory, 'manifest.json');
  const text = readIfPresent(path);
  if (text === undefined) return undefined;
  try {
    const document = JSON.parse(text) as { schemaVersion?: unknown } | null;
    const version = document?.schemaVersion;
    if (typeof version === 'number' && version > SCHEMA_VERSION) throw newerPrograms(path, version);
    return ManifestSchema.parse(document);
  } catch (error) {
    if (error instanceof MirrorError) throw error;
    throw new MirrorError({
      code: 'MANIFEST_DAMAGED',
      message: `${path} is damaged`,
      remedy: `Point /etc/mirror/current at an older generation (ls /etc/mirror/generations; ln -sfn generations/N /etc/mirror/current) and deploy again.`,
      exitCode: ExitCode.environment,
      cause: error,
    });
  }
}

function newerPrograms(path: string, version: number): MirrorError {
  return new MirrorError({
    code: 'PROGRAMS_TOO_OLD',
    message: `${path} was written by newer server programs (schema version ${version}, these know ${SCHEMA_VERSION}): nothing was changed`,
    remedy: 'Deploy from the checkout that this server was deployed from last, or a newer one (git pull), and plan again.',
    exitCode: ExitCode.invalid,
  });
}

/** Names of the unit files of a generation. */
export function unitsOf(manifest: Manifest): string[] {
  return Object.keys(manifest.files)
    .filter((path) => path.startsWith('systemd/'))
    .map((path) => path.slice('systemd/'.length));
}

/** True for a timer, socket or watch of paths that can be started: not a template. Services are started by these. */
export function isStartable(unit: string): boolean {
  return /(?<!@)\.(socket|timer|path)$/.test(unit);
}

/** What a new set of elements means for the old one, by id, each list sorted. Pure. */
export function compareElements(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): { added: string[]; changed: string[]; removed: string[] } {
  return {
    added: Object.keys(after)
      .filter((id) => before[id] === undefined)
      .sort(),
    changed: Object.keys(after)
      .filter((id) => before[id] !== undefined && before[id] !== after[id])
      .sort(),
    removed: Object.keys(before)
      .filter((id) => after[id] === undefined)
      .sort(),
  };
}
