/**
 * What `mirrorctl` reads in `/etc/mirror/current/definitions/`: the YAML that a pull request's plan shows is the file on the server.
 */
import { z } from 'zod';
import { STARLINGX_OWNER } from './mos-scheme';
import { fileInTheWay, LIST_NAME } from './served-names';

const key = z.strictObject({
  /** File in the generation: `keys/<name>` for upstreams, `owners/<owner>/<name>` for owners of hosted repositories. */
  file: z.string().regex(/^(keys|owners\/[^/]+)\/[^/]+$/),
  /** OpenPGP fingerprint of the primary key, upper-case hex. */
  fingerprint: z.string().regex(/^[0-9A-F]{40,64}$/),
});
export type KeyReference = z.infer<typeof key>;

/** Every package must carry a good signature by one of the keys; metadata is trusted for names and digests only. */
const signedPackages = z.strictObject({ mode: z.literal('signedPackages'), keys: z.array(key).min(1) });
/** Nothing is signed: digests protect against damage only. The reason is for the reviewer. */
const digestsOnly = z.strictObject({ mode: z.literal('digestsOnly'), reason: z.string().min(1) });

export const TrustSchema = z.discriminatedUnion('mode', [
  /** `repomd.xml.asc` must be a good signature by one of the keys. */
  z.strictObject({ mode: z.literal('signedMetadata'), keys: z.array(key).min(1) }),
  signedPackages,
  digestsOnly,
]);
export type TrustDefinition = z.infer<typeof TrustSchema>;

/** Where bytes come from: a base URL (http, https, rsync) that holds `repodata/`, or the address of a list of such. */
export const FetchSourceSchema = z.union([
  z.string().url(),
  z.strictObject({ mirrorlist: z.string().url() }),
  z.strictObject({ metalink: z.string().url() }),
]);
export type FetchSource = z.infer<typeof FetchSourceSchema>;

/**
 * What a sync refuses and a declaration may allow, each with a reason that the plan shows. `Waiver.<name>(reason)` in main.ts.
 *
 * - `weakChecksums`: sha1 in upstream's metadata
 * - `olderRevision`: metadata older than what is published (a replay)
 * - `shrunk`: upstream lists far fewer packages than before
 * - `staleMetadata`: metadata older than `maxAgeDays` (a freeze)
 * - `changedPackages`: a package with the name, version and architecture of another and different content
 * - `privateAddresses`: redirects and mirror lists that lead to private, link-local or loopback addresses
 * - `incomplete`: packages that cannot be had or do not verify hold up nothing
 */
export const REPOSITORY_WAIVERS = [
  'weakChecksums',
  'olderRevision',
  'shrunk',
  'staleMetadata',
  'changedPackages',
  'privateAddresses',
  'incomplete',
] as const;
export type RepositoryWaiver = (typeof REPOSITORY_WAIVERS)[number];

/** Which of upstream's packages an accumulated repository takes. What was taken before stays. */
export const FilterSchema = z.strictObject({
  /** Globs of package names (`*`, `?`); all when absent. */
  include: z.array(z.string().min(1)).min(1).optional(),
  exclude: z.array(z.string().min(1)).min(1).optional(),
  /** Of binary packages; `noarch` counts. All when absent. */
  architectures: z.array(z.string().min(1)).min(1).optional(),
  /** The newest so many versions of each name and architecture. */
  newest: z.number().int().min(1).optional(),
  /** Source packages. */
  sources: z.boolean(),
  /** `*-debuginfo` and `*-debugsource`. */
  debuginfo: z.boolean(),
});
export type Filter = z.infer<typeof FilterSchema>;

/** What of a copy is kept beside what it publishes. What is absent has no rule, but for `snapshotDays`, of which mirrorctl has a default. */
export const RetentionSchema = z.strictObject({
  /** Of what upstream dropped: the newest so many versions of each name and architecture, counting those that upstream still has. */
  newestVersions: z.number().int().min(1).optional(),
  /** What upstream dropped less than so many days ago. */
  droppedDays: z.number().int().min(1).optional(),
  /** Snapshots that were current less than so many days ago. */
  snapshotDays: z.number().int().min(1).optional(),
});
export type RetentionRules = z.infer<typeof RetentionSchema>;

/** A repository that is copied from an upstream. File `definitions/repositories/<id>.yaml`. */
export const RepositoryDefinitionSchema = z.strictObject({
  kind: z.literal('repository'),
  id: z.string(),
  /** The id that it had before: its content stays. */
  formerId: z.string().optional(),
  /** The original URL: names the repository for lists and clients, for ever. */
  publishedAs: z.string().url(),
  /** Decoded, relative to the document root. */
  publicPath: z.string(),
  /** Where the bytes come from today, first choice first. */
  fetchFrom: z.array(FetchSourceSchema).min(1),
  trust: TrustSchema,
  view: z.enum(['verbatim', 'accumulate']),
  /** Of the view `accumulate` only. */
  filter: FilterSchema.optional(),
  /** Metadata older than this is refused: upstream, or somebody in between, holds back updates. */
  maxAgeDays: z.number().int().min(1).optional(),
  /** In the place of the server's rules. */
  retention: RetentionSchema.optional(),
  /** Versions that stay in an accumulated repository whatever the rules say (pin.ts). */
  pins: z.array(z.string().min(1)).min(1).optional(),
  /** Why it is not synced any more: what is published stays. */
  retired: z.string().min(1).optional(),
  waivers: z.array(z.strictObject({ allow: z.enum(REPOSITORY_WAIVERS), reason: z.string().min(1) })).optional(),
});
export type RepositoryDefinition = z.infer<typeof RepositoryDefinitionSchema>;

/** A path below a tree's base: decoded, relative, without `.`, `..` or empty segments. `folders` may name the base itself: `.` */
const treePath = z.string().min(1).max(1024);

export const TreeTrustSchema = z.discriminatedUnion('mode', [
  /** Every file must be listed in one of these checksum files, each with a good signature by one of the keys. */
  z.strictObject({ mode: z.literal('signedChecksums'), files: z.array(treePath).min(1), keys: z.array(key).min(1) }),
  /** Every file must be listed in one of these (`.treeinfo`, `sha256sum.txt`), which nobody signed: they protect against damage only. */
  z.strictObject({ mode: z.literal('checksums'), files: z.array(treePath).min(1), reason: z.string().min(1) }),
  /** Upstream has no checksums at all: what TLS and the announced size protect is all there is. */
  z.strictObject({ mode: z.literal('none'), reason: z.string().min(1) }),
]);
export type TreeTrustDefinition = z.infer<typeof TreeTrustSchema>;

/**
 * What a sync of a tree refuses and a declaration may allow: as for repositories.
 *
 * - `olderRevision`: checksums that were signed, or a `.treeinfo` that was made, before what is published (a replay)
 * - `shrunk`: upstream has far fewer files than before
 */
export const TREE_WAIVERS = ['olderRevision', 'shrunk'] as const satisfies readonly RepositoryWaiver[];
export type TreeWaiver = (typeof TREE_WAIVERS)[number];

/** A tree of files that is copied from an upstream: an installer, tarballs, images. File `definitions/trees/<id>.yaml`. */
export const TreeDefinitionSchema = z.strictObject({
  kind: z.literal('tree'),
  /** Trees and repositories share one name space. */
  id: z.string(),
  formerId: z.string().optional(),
  /** The original URL of the tree's base. */
  publishedAs: z.string().url(),
  publicPath: z.string(),
  /** Base URLs (http, https, rsync), first choice first. */
  fetchFrom: z.array(z.string().url()).min(1),
  trust: TreeTrustSchema,
  /** Files to copy; `.treeinfo` stands for all that it names. With neither files nor folders: everything that the checksum files list. */
  files: z.array(treePath).min(1).optional(),
  /** Folders to copy with everything below: by the upstream's listings. */
  folders: z.array(treePath).min(1).optional(),
  /** Globs (`*`, `?`) of paths, or of names at any depth where there is no slash in it: not copied. */
  exclude: z.array(z.string().min(1)).min(1).optional(),
  /** In the place of the server's rules. */
  retention: RetentionSchema.pick({ snapshotDays: true }).optional(),
  /** As of a repository. */
  retired: z.string().min(1).optional(),
  waivers: z.array(z.strictObject({ allow: z.enum(TREE_WAIVERS), reason: z.string().min(1) })).optional(),
});
export type TreeDefinition = z.infer<typeof TreeDefinitionSchema>;

/**
 * What a sync of downloads refuses and a declaration may allow: as for repositories.
 *
 * - `incomplete`: files that cannot be had, or are not what was recorded, hold up nothing
 * - `privateAddresses`: redirects that lead to private, link-local or loopback addresses
 */
export const DOWNLOADS_WAIVERS = ['incomplete', 'privateAddresses'] as const satisfies readonly RepositoryWaiver[];
export type DownloadsWaiver = (typeof DOWNLOADS_WAIVERS)[number];

const NO_TREE = 'one path is a folder of another';
const isOneTree = (paths: readonly string[]): boolean => fileInTheWay(paths) === undefined;

const recordedDigest = z.string().regex(/^[0-9a-f]{64}$/);

/** A file that is copied from an address of its own. */
const WebFileSchema = z.strictObject({
  /** Below the public path. */
  path: treePath,
  url: z.string().url(),
  /** SHA-256 of the file; without it the first that comes is taken, and no other after it. */
  sha256: recordedDigest.optional(),
});

/** An archive that the mirror makes. Its digest is that of the uncompressed tar: what gzip makes of it differs from version to version. */
const MadeFileSchema = z.discriminatedUnion('method', [
  /** Of what the git repository at `url` has at `ref`: a commit, a tag or a branch. */
  WebFileSchema.extend({ method: z.literal('git'), ref: z.string().min(1), directory: treePath }),
  /** Of the files `members` below `url`. */
  WebFileSchema.extend({
    method: z.literal('filelist'),
    members: z.array(treePath).min(1).refine(isOneTree, NO_TREE),
    directory: treePath,
  }),
]);

export const DownloadedFileSchema = z.union([WebFileSchema, MadeFileSchema]);
export type DownloadedFile = z.infer<typeof DownloadedFileSchema>;
export type WebFile = z.infer<typeof WebFileSchema>;
/** In it, what an archive has is below `directory`. */
export type MadeFile = z.infer<typeof MadeFileSchema>;

/** Files that are copied from an address each: tarballs, an installer. File `definitions/downloads/<id>.yaml`. */
export const DownloadsDefinitionSchema = z.strictObject({
  kind: z.literal('downloads'),
  /** One name space with repositories and trees. */
  id: z.string(),
  formerId: z.string().optional(),
  publicPath: z.string(),
  files: z
    .array(DownloadedFileSchema)
    .min(1)
    .refine((files) => isOneTree(files.map(({ path }) => path)), NO_TREE),
  /** Below the public path: the digests of all files; beside it `<sums>.asc`, signed by the mirror. */
  sums: treePath,
  /** Name → text of the lists that ask for the files: served as they are, in `lists/` beside `sums`. */
  lists: z.record(z.string().regex(LIST_NAME), z.string()).optional(),
  /** In the place of the server's rules. */
  retention: RetentionSchema.pick({ snapshotDays: true }).optional(),
  /** As of a repository. */
  retired: z.string().min(1).optional(),
  waivers: z.array(z.strictObject({ allow: z.enum(DOWNLOADS_WAIVERS), reason: z.string().min(1) })).optional(),
});
export type DownloadsDefinition = z.infer<typeof DownloadsDefinitionSchema>;

/**
 * What a sync of lists refuses and a declaration may allow: as for repositories.
 *
 * - `incomplete`: packages that nobody has, or that are not what was recorded, hold up nothing
 * - `privateAddresses`: redirects that lead to private, link-local or loopback addresses
 */
export const LISTS_WAIVERS = ['incomplete', 'privateAddresses'] as const satisfies readonly RepositoryWaiver[];
export type ListsWaiver = (typeof LISTS_WAIVERS)[number];

/** Package lists: what they ask for is published in a repository of their own. File `definitions/lists/<id>.yaml`. */
export const ListsDefinitionSchema = z.strictObject({
  kind: z.literal('lists'),
  /** One name space with all that is copied. */
  id: z.string(),
  formerId: z.string().optional(),
  publicPath: z.string(),
  /** Name → text of each list: the packages that are asked for are read from it, and it is served as it is. */
  lists: z.record(z.string().regex(LIST_NAME), z.string()),
  /** File name → SHA-256 of packages with a URL of their own. */
  digests: z.record(z.string().regex(/^[^/\s]+\.rpm$/), recordedDigest).optional(),
  /** One of them must have signed packages with a URL of which no digest is recorded. */
  keys: z.array(key).min(1).optional(),
  /** In the place of the server's rules. */
  retention: RetentionSchema.optional(),
  /** As of a repository. */
  retired: z.string().min(1).optional(),
  waivers: z.array(z.strictObject({ allow: z.enum(LISTS_WAIVERS), reason: z.string().min(1) })).optional(),
});
export type ListsDefinition = z.infer<typeof ListsDefinitionSchema>;

/** What is copied from an upstream. */
export type CopiedDefinition = RepositoryDefinition | TreeDefinition | DownloadsDefinition | ListsDefinition;

/** Whether what is published grows: what the source no longer has stays, by the rules of retention, in metadata that the mirror writes and signs. */
export function accumulates(
  definition: CopiedDefinition,
): definition is ListsDefinition | (RepositoryDefinition & { readonly view: 'accumulate' }) {
  return definition.kind === 'lists' || (definition.kind === 'repository' && definition.view === 'accumulate');
}

/** A named set of snapshots that never changes. File `definitions/releases/<id>.yaml`. */
export const ReleaseDefinitionSchema = z
  .strictObject({
    kind: z.literal('release'),
    id: z.string(),
    /** Of each member the newest snapshot that is not younger (`2026-11-01T00:00:00Z`); absent where members name theirs. */
    at: z.string().datetime().optional(),
    members: z.array(
      z.strictObject({
        /** A copied repository or tree, or a hosted component `<owner>/<codename>/<component>`. */
        id: z.string(),
        /** Decoded, relative to the document root, and to the release. */
        publicPath: z.string(),
        snapshot: z.string().optional(),
      }),
    ),
    /** Package versions that clients of the release get instead, from a small repository of their own (pin.ts). */
    pins: z.array(z.string().min(1)).min(1).optional(),
    /** Builds that are released with it: their inputs and outputs. */
    builds: z
      .array(
        z.strictObject({
          series: z.string(),
          /** Name of the build. */
          timestamp: z.string(),
          /** Decoded, relative to the document root, and to the release: `mirror/starlingx/release/<N.M.P>/<distribution>[/<layer>]`. */
          publicPath: z.string(),
        }),
      )
      .min(1)
      .optional(),
    /** Of the release, as clients know it: `http://mirror.example.org/releases/3.0.1`; where it has builds. */
    url: z.string().optional(),
  })
  .refine(({ members, builds }) => members.length > 0 || builds !== undefined, 'a release has members or builds');
export type ReleaseDefinition = z.infer<typeof ReleaseDefinitionSchema>;

/** The base URLs among the sources. */
export function baseUrls({ fetchFrom }: Pick<RepositoryDefinition, 'fetchFrom'>): readonly string[] {
  return fetchFrom.filter((source): source is string => typeof source === 'string');
}

/** Whether the declaration allows what a sync would refuse. */
export function isWaived({ waivers = [] }: Pick<RepositoryDefinition, 'waivers'>, waiver: RepositoryWaiver): boolean {
  return waivers.some(({ allow }) => allow === waiver);
}

/** The end of a remedy: the waiver that allows what was refused. */
export function waiverFor(waiver: RepositoryWaiver): string {
  return `If it is meant, declare Waiver.${waiver}(reason) in its waivers.`;
}

/** A codename: hosted components of one owner. File `definitions/codenames/<owner>/<codename>.yaml`. */
export const CodenameDefinitionSchema = z.strictObject({
  kind: z.literal('codename'),
  /** `<owner>/<codename>`; a component's repository id is `<owner>/<codename>/<component>`. */
  id: z.string(),
  /** The id that it had before: its content stays. */
  formerId: z.string().optional(),
  owner: z.string(),
  release: z.string(),
  distribution: z.string(),
  version: z.string(),
  variant: z.literal('fuel').optional(),
  publicPath: z.string(),
  components: z.array(z.string()).min(1),
  architectures: z.array(z.string()).min(1),
  /** Name of the public key file in each component: `RPM-GPG-KEY-mos<release>`. */
  keyFile: z.string(),
  /** Keys that sign the owner's packages; handed out in `keyFile` after the mirror's own. */
  keys: z.array(key),
  /** Keys that sign packages of `holdback` besides, and are handed out with it: those of the distribution. */
  holdbackKeys: z.array(key).min(1).optional(),
});
export type CodenameDefinition = z.infer<typeof CodenameDefinitionSchema>;

/** Modified packages of a distribution, as the builds of a branch take them: a hosted component for each layer. File `definitions/packages/<id>.yaml`. */
export const PackagesDefinitionSchema = z.strictObject({
  kind: z.literal('packages'),
  /** `starlingx/<id>`; a component's repository id is `starlingx/<id>/<layer>`. */
  id: z.string(),
  owner: z.literal(STARLINGX_OWNER),
  /** As its repositories call it: `r/stx.3.0`. */
  branch: z.string().min(1),
  distribution: z.string(),
  publicPath: z.string(),
  /** The layers. */
  components: z.array(z.string()).min(1),
  architectures: z.array(z.string()).min(1),
  /** Name of the public key file in each component. */
  keyFile: z.string(),
  /** Who must have signed a package; with digests alone, the metadata that the mirror signs vouches for each. */
  trust: z.discriminatedUnion('mode', [signedPackages, digestsOnly]),
  /** Layers in which a package that was built anew takes the place of the one with its name and version. */
  replaces: z.array(z.string()).min(1).optional(),
});
export type PackagesDefinition = z.infer<typeof PackagesDefinitionSchema>;

/** What hosted components belong to. */
export type HostedDefinition = CodenameDefinition | PackagesDefinition;

/** How long builds stay. What is absent has a default of mirrorctl. */
export const BuildRetentionSchema = z.strictObject({
  /** Days from its start for which a build that was marked green stays. */
  greenDays: z.number().int().min(1).optional(),
  yellowDays: z.number().int().min(1).optional(),
  /** The same of a red one, of one that nobody marked, and of one that failed. */
  otherDays: z.number().int().min(1).optional(),
  /** So many builds of a series stay, the newest, however old they are. */
  atLeast: z.number().int().min(1).optional(),
});
export type BuildRetention = z.infer<typeof BuildRetentionSchema>;

/** The builds of a branch. File `definitions/builds/<id>.yaml`. */
export const BuildsDefinitionSchema = z.strictObject({
  kind: z.literal('builds'),
  id: z.string(),
  /** As its repositories call it: `r/stx.3.0`. */
  branch: z.string().min(1),
  distribution: z.string(),
  /** `<branch path>/<distribution>[/<layer>]` of each; public below `mirror/starlingx/`, kept at the same path below `builds/` of the storage root. */
  series: z.array(z.string().min(1)).min(1),
  /** The base URL that clients use, for the yum configuration of each build. */
  siteUrl: z.string().url().optional(),
  retention: BuildRetentionSchema.optional(),
});
export type BuildsDefinition = z.infer<typeof BuildsDefinitionSchema>;

/** Old URLs that lead to a codename. File `definitions/aliases/<id>.yaml`. */
export const AliasDefinitionSchema = z.strictObject({
  kind: z.literal('alias'),
  id: z.string(),
  /** Old directory above the repositories, decoded, relative to the document root. */
  path: z.string(),
  /** `<owner>/<codename>`. */
  codename: z.string(),
  /** Old name of a repository → component of the codename. */
  components: z.record(z.string(), z.string()),
  /** What answers where an old URL names no architecture. */
  architecture: z.string(),
});
export type AliasDefinition = z.infer<typeof AliasDefinitionSchema>;

/** How much of the host, the line and the upstreams all syncs together may take. What is absent has a default of mirrorctl. */
export const SyncLimitsSchema = z.strictObject({
  /** Repositories that are synced at a time, across units. */
  slots: z.number().int().min(1).optional(),
  /** Of those, from one upstream host. */
  slotsPerUpstream: z.number().int().min(1).optional(),
  /** Connections of one sync. */
  connections: z.number().int().min(1).optional(),
  /** Bytes a second, all syncs together. */
  bandwidth: z.number().int().min(1).optional(),
  proxy: z.strictObject({ url: z.string().url(), except: z.array(z.string().min(1)) }).optional(),
});
export type SyncLimits = z.infer<typeof SyncLimitsSchema>;

/** When the disk of the storage root is too full. What is absent has a default (disk-guard.ts). */
export const DiskGuardSchema = z.strictObject({
  stopAtPercent: z.number().int().min(1).max(99).optional(),
  alertAtPercent: z.number().int().min(1).max(99).optional(),
  forecastDays: z.number().int().min(1).optional(),
});
export type DiskGuard = z.infer<typeof DiskGuardSchema>;

/** File `definitions/server.yaml`. */
export const ServerDefinitionSchema = z.strictObject({
  kind: z.literal('server'),
  storageRoot: z.string(),
  ownMount: z.boolean(),
  sync: SyncLimitsSchema.optional(),
  /** All content is read again within so many days; mirrorctl has a default. */
  scrubEveryDays: z.number().int().min(1).optional(),
  diskGuard: DiskGuardSchema.optional(),
  /** Rules for all copies, and how a purge goes; mirrorctl has defaults. */
  retention: RetentionSchema.extend({
    /** Between the announcement and the first step. */
    graceDays: z.number().int().min(1).optional(),
    /** Between the first step and the last, during which everything can be had back. */
    quarantineDays: z.number().int().min(1).optional(),
    /** A run that would take more than this of a repository stops and asks. */
    sharePercent: z.number().int().min(1).max(100).optional(),
  }).optional(),
});
export type ServerDefinition = z.infer<typeof ServerDefinitionSchema>;

/** File `definitions/site.yaml`, of a site that answers TLS. */
export const SiteDefinitionSchema = z.strictObject({
  kind: z.literal('site'),
  serverName: z.string().min(1),
  tlsPort: z.number().int().min(1).max(65535),
  /** Whose it is: declared with its key, made by the server, or by ACME. */
  certificate: z.enum(['declared', 'made', 'acme']),
});
export type SiteDefinition = z.infer<typeof SiteDefinitionSchema>;

export const BackupRepositorySchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('directory'), path: z.string().regex(/^\//) }),
  z.strictObject({
    type: z.literal('sftp'),
    user: z.string().min(1),
    host: z.string().min(1),
    port: z.number().int().min(1).max(65535),
    path: z.string().regex(/^\//),
    /** Public host key as a line of a `.pub` file has it: type and key. */
    hostKey: z.string().regex(/^\S+ \S+$/),
  }),
  z.strictObject({ type: z.literal('s3'), url: z.string().url() }),
]);
export type BackupRepository = z.infer<typeof BackupRepositorySchema>;

/** File `definitions/backup.yaml`: where what cannot be fetched again is kept a second time. */
export const BackupDefinitionSchema = z.strictObject({
  kind: z.literal('backup'),
  /** Whose backups these are in the repository: the name of the site. */
  name: z.string().min(1),
  repository: BackupRepositorySchema,
  /** How many of the newest days, weeks and months keep a backup. */
  keep: z.strictObject({
    daily: z.number().int().min(1),
    weekly: z.number().int().min(0),
    monthly: z.number().int().min(0),
  }),
  /** Everything in the repository is read again within so many days. */
  checkEveryDays: z.number().int().min(1),
  /** How long from one run to the next. */
  everyHours: z.number().int().min(1),
  /** Ids of copies that are kept whole, also what upstream has. */
  whole: z.array(z.string().min(1)).min(1).optional(),
});
export type BackupDefinition = z.infer<typeof BackupDefinitionSchema>;

/** An account that uploads packages, builds, or both. File `definitions/uploads/<account>.yaml`. */
export const UploadDefinitionSchema = z.strictObject({
  kind: z.literal('upload'),
  /** Name of the account. */
  id: z.string(),
  owner: z.string(),
  /** By what it uploads; absent for SFTP. */
  protocol: z.literal('rsync').optional(),
  /** Ids `<owner>/<codename>/<component>` of what it may publish; it sees each as a directory `<codename>/<component>`. */
  components: z.array(z.string()),
  /** Series whose builds it may publish, each with its directory in the account's place: `<archive>/<layer>`, or `<archive>/builds`. */
  builds: z.array(z.strictObject({ series: z.string(), directory: z.string() })).optional(),
});
export type UploadDefinition = z.infer<typeof UploadDefinitionSchema>;

/** The directory of a component, relative to the account's place. */
export function uploadDirectory(componentId: string): string {
  return componentId.split('/').slice(1).join('/');
}
