/**
 * The contract between the operator's machine and the server.
 *
 * Constructs make a `DesiredState`; `mirror-host activate` makes the server match it. It is generic on purpose: what runs as root
 * knows files, links and units, not what an RPM is.
 */
import { z } from 'zod';
import { digestOf } from './canonical';

/** Raised whenever the meaning of a field changes; programs refuse another one. */
export const SCHEMA_VERSION = 1;

/** Where things are on a server. The storage root is declared; these are not. */
export const ServerPaths = {
  /** `generations/<n>/` and the symlink `current`. Owned by root. */
  configuration: '/etc/mirror',
  /** Journals, per-repository state, status, signing key ring. Root's, with group `mirror` and the sticky bit; `host/` is root's alone. */
  state: '/var/lib/mirror',
  /** Signing keys that the server made, one file a version. Owned by root. */
  generatedKeys: '/etc/mirror/signing-keys',
  /** Certificates that the server made or that certbot got it, a directory for each name. Owned by root. */
  certificates: '/etc/mirror/certificates',
  /** certbot's account, certificates and log, and `webroot/`, which ACME servers read. Owned by root. */
  acme: '/var/lib/mirror-acme',
  /** A directory for each digest of the server programs, with those and the compiled code of `mirrorctl`. Owned by root. */
  programs: '/usr/local/lib/mirror',
} as const;

/** The sentinel in the storage root: without it nothing syncs (the disk is not mounted). */
export const SENTINEL = '.mirror-data';

/** The secrets that hold the mirror's signing keys: today's, then the former one while it signs beside it. */
export const SIGNING_KEYS = ['signing-key', 'previous-signing-key'] as const;

/** The secret that holds the key of a declared certificate, which is `CERTIFICATE_FILE` of the generation. */
export const TLS_KEY = 'tls-key';
export const CERTIFICATE_FILE = 'nginx/tls/certificate.pem';
/** Root certificates by which an ACME server is known. */
export const ACME_AUTHORITY_FILE = 'nginx/tls/acme-authority.pem';

/** Root certificates of all customers' authorities, made of `nginx/client-authorities/*.pem`. */
export const CLIENT_AUTHORITIES_FILE = 'nginx/client-authorities.pem';

/** The secret that holds the users and hashed passwords of a customer. */
export function passwordsSecret(owner: string): string {
  return `passwords-${owner}`;
}

/** Where a secret is in a generation. What nginx's workers read at each request is in a directory that their group may enter. */
export function secretFile(name: string): string {
  return `${name.startsWith(passwordsSecret('')) ? 'passwords' : 'secrets'}/${name}`;
}

/** What a unit gets in the place of a key that the server does not have. */
export const NO_SIGNING_KEY = 'none';

/** Where the public halves are handed out: at `/RPM-GPG-KEY-mirror`, from `keys/RPM-GPG-KEY-mirror` of the storage root. */
export const MIRROR_KEY = { publicPath: 'RPM-GPG-KEY-mirror', file: 'keys/RPM-GPG-KEY-mirror' } as const;

/** What retention has announced of copies, for everybody: at `/retention.json`. */
export const ANNOUNCEMENTS = { publicPath: 'retention.json', file: 'announcements/retention.json' } as const;

/** Directory of the storage root with a codename's snapshots by time, which each codename publishes as `snapshots`. */
export const PUBLIC_SNAPSHOTS = 'public-snapshots';

/** Below the storage root: builds, by series. */
export const BUILDS = 'builds';

/** The user that owns all content. */
export const CONTENT_USER = 'mirror';

/**
 * Where uploads arrive: `<root>/<account>/<directory>`. Not below the storage root, since sshd wants every directory above a place that an
 * account cannot leave to be root's.
 */
export const UPLOADS = {
  root: '/var/lib/mirror-uploads',
  /** In each account's place: what became of its uploads, for the account to read. */
  results: 'results',
  /** In each account's place: what was not taken, for operators. */
  refused: 'refused',
  /** Name begins so, in the place of an upload that was taken, until it is removed. */
  taken: '.taken-',
} as const;

/** Debian packages of a server that takes uploads. */
export const UPLOAD_PACKAGES = ['openssh-server'] as const;

/** Debian packages of a server that makes a certificate itself, and of one that asks an ACME server for one. */
export const CERTIFICATE_PACKAGES = { made: ['openssl'], acme: ['certbot', 'openssl'] } as const;

/** Debian packages of a server with a backup: ssh reaches a host by SFTP. */
export const BACKUP_PACKAGES = ['openssh-client', 'restic'] as const;

/**
 * Debian packages of a mirror server: nginx serves; gnupg signs; gpgv and rpm verify; createrepo-c describes packages that are published here; rsync fetches from rsync modules; smartmontools asks disks
 * how they are; something sets the clock, and what is there already is left as it is; the rest unpacks what upstreams compress.
 */
export const MIRROR_PACKAGES = [
  'bzip2',
  'ca-certificates',
  'createrepo-c',
  'gnupg',
  'gpgv',
  'nginx-light',
  'nodejs',
  'rpm',
  'rsync',
  'smartmontools',
  'systemd-timesyncd|chrony|ntpsec|ntp|openntpd',
  'util-linux',
  'xz-utils',
  'zstd',
] as const;

const segment = /^(?!\.{1,2}$)[^/\0]+$/;
/** A relative path without `.`, `..`, empty segments or control characters. */
const relativePath = z
  .string()
  .max(1024)
  .refine((p) => p.split('/').every((s) => segment.test(s)) && !/[\u0000-\u001f\u007f]/.test(p), {
    message: 'must be a relative path without ".", "..", empty segments or control characters',
  });

/**
 * A file of the generation, by path below `/etc/mirror/generations/<n>/`.
 * Only these places exist; what each means:
 *
 * - `nginx/vhost.conf`: linked from `/etc/nginx/sites-enabled/mirror.conf`
 * - `nginx/locations/*.conf`: included by the vhost
 * - `nginx/serving.conf`: included by the vhost and by locations
 * - `nginx/tls/*.pem`: certificates: of the site, and of an ACME server's authority
 * - `nginx/client-authorities/<owner>.pem`: authorities of an owner's clients; all of them become one file, since a connection has one list
 * - `systemd/*.service`, `.socket`, `.timer`, `.path`: installed in `/etc/systemd/system`; all but services are enabled and started
 * - `ssh/authorized_keys`: who may log in as the deploy account
 * - `ssh/uploads/<account>`: who may upload as that account
 * - `ssh/rsync/<account>.conf`: what rsync lets an account do that uploads by it
 * - `definitions/**.yaml`: read by `mirrorctl`
 * - `keys/*`: public keys of upstreams, served at `/keys/` and used by `mirrorctl`
 * - `repo-files/*.repo`: yum configuration, served at `/repo-files/`
 * - `owners/<owner>/*`: keys and yum configuration of one owner, served only where that owner's location says so
 */
const generationFile = relativePath.refine(
  (p) =>
    /^(nginx\/(vhost|serving)\.conf|nginx\/locations\/[^/]+\.conf|nginx\/(tls|client-authorities)\/[^/]+\.pem|systemd\/mirror-(?!revert\.)[^/]+\.(service|socket|timer|path)|ssh\/authorized_keys|ssh\/uploads\/[^/]+|ssh\/rsync\/[^/]+\.conf|definitions\/.+\.yaml|keys\/[^/]+|repo-files\/[^/]+\.repo|owners\/[^/]+\/[^/]+)$/.test(
      p,
    ),
  { message: 'is not a place that a generation has' },
);

/** An account that the server keeps itself. */
const accountName = z.string().regex(/^[a-z_][a-z0-9_-]{0,30}$/);

/** One declared thing: what one construct adds. */
export const ElementSchema = z.strictObject({
  /** `<kind>/<id>`, for instance `repository/epel-7`, `timer/epel-7`, `customer/acme`, `codename/acme/mos7.0-centos6`. */
  id: relativePath,
  /** Path in the generation → text. Two elements may share a file only with the same text (a public key). */
  files: z.record(generationFile, z.string()),
  /** Public path (decoded, relative to the document root) → target relative to the storage root. */
  links: z.record(relativePath, relativePath),
  /** Former `<id>`: the element goes on with that one's content, which mirrorctl finds before the switch. */
  adopts: relativePath.optional(),
  /** An account that puts files into these directories below `UPLOADS.root/<account>`, by SFTP or by rsync, and can do nothing else. */
  uploads: z
    .strictObject({
      account: accountName,
      directories: z.array(z.string().regex(/^[a-z0-9][a-z0-9.-]*\/[a-z0-9][a-z0-9.-]*$/)).min(1),
      protocol: z.literal('rsync').optional(),
    })
    .optional(),
});
export type Element = z.infer<typeof ElementSchema>;

const GeneratedKeysSchema = z.record(z.string().regex(/^[a-z][a-z0-9-]*$/), z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/));

const TlsSchema = z.strictObject({
  port: z.number().int().min(1).max(65535),
  certificate: z.enum(['declared', 'made', 'acme']),
});

export const DesiredStateSchema = z.strictObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  /** Who deploys: `<app>/<stack>`. A server that another owner deployed to is refused. */
  owner: z.string().min(1).max(200),
  storage: z.strictObject({
    /** Absolute path of the storage root, for instance `/srv/mirror`. */
    root: z.string().regex(/^(\/[A-Za-z0-9._-]+)+$/),
    /** True: the root must be a mount point, and nothing is activated while it is not. */
    ownMount: z.boolean(),
  }),
  /** Where the probe asks after a switch: `http://127.0.0.1:<port>/.mirror/generation` with `Host: <serverName>`. */
  probe: z.strictObject({ serverName: z.string().min(1), port: z.number().int().min(1).max(65535) }),
  /** Of a site that answers TLS: its port, and whose certificate it has: declared (`CERTIFICATE_FILE`), made by the server, or by ACME. */
  tls: TlsSchema.optional(),
  /** Debian packages that must be installed. `a|b`: one of them, and the first where there is none. */
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+(\|[a-z0-9][a-z0-9+.-]+)*$/)),
  /** Secrets that travel beside the desired state, by name (`signing-key`), with the version that is declared: a new one shows in the plan. */
  secrets: z.record(z.string().regex(/^[a-z][a-z0-9.-]*$/), z.string()),
  /** Signing keys that the server makes itself, by name of the secret, with their version: another one is another key. */
  generatedKeys: GeneratedKeysSchema.optional(),
  /** An account that the server keeps for deploys: it logs in with the keys of `ssh/authorized_keys` and may run mirror-host by sudo. */
  deployAccount: accountName.optional(),
  /** A switch that is not confirmed over a new connection within this many seconds is taken back. */
  confirmSeconds: z.number().int().min(5).max(600),
  waivers: z.strictObject({
    /** Owner whose server is taken over. */
    takeOver: z.string().optional(),
    /** Ids of elements that may be unpublished although they are more than half of what the server publishes. */
    unpublish: z.array(z.string()),
  }),
  elements: z.array(ElementSchema),
});
export type DesiredState = z.infer<typeof DesiredStateSchema>;

/** Digest of what a desired state makes of the server: neither the order of its elements counts nor how it gets there. Pure. */
export function desiredStateDigest(desired: DesiredState): string {
  const elements = [...desired.elements].sort((a, b) => (a.id < b.id ? -1 : 1));
  return digestOf({ ...desired, elements, waivers: undefined, confirmSeconds: undefined });
}

/** What travels to `mirror-host activate` on standard input, as one JSON document. */
export const ActivationRequestSchema = z.strictObject({
  desiredState: DesiredStateSchema,
  /** SHA-256 (hex) of the programs this request comes with: the directory below `ServerPaths.programs`. */
  programs: z.string().regex(/^[0-9a-f]{64}$/),
  /** Secret name → content. */
  secrets: z.record(z.string(), z.string()),
  /** The value of the trigger `last_drift`, recorded so that an intact server returns it. */
  lastDrift: z.string(),
});
export type ActivationRequest = z.infer<typeof ActivationRequestSchema>;

/**
 * What travels to `mirror-host observe` on standard input: what is declared, by digest only. Fields that this version does not know are
 * ignored, since a plan may ask a server that has an older one.
 */
export const ObservationRequestSchema = z.object({
  owner: z.string(),
  /** Element id → SHA-256 of its canonical JSON. */
  elements: z.record(z.string(), z.string()),
  /** Content of the secrets that the planning machine has: the server compares them with its own. */
  secrets: z.record(z.string(), z.string()).default({}),
  /** What a deploy would bring, so that the answer says what it would meet. What another version calls otherwise is not foretold. */
  deploy: z
    .object({
      /** `desiredStateDigest`, and the digest of the programs. */
      desiredState: z.string(),
      programs: z.string(),
      storage: DesiredStateSchema.shape.storage,
      waivers: DesiredStateSchema.shape.waivers,
      generatedKeys: GeneratedKeysSchema.optional(),
      /** Element id → its links, and whose content it adopts. */
      elements: z.record(z.string(), ElementSchema.omit({ id: true, files: true })),
    })
    .optional()
    .catch(undefined),
});
export type ObservationRequest = z.infer<typeof ObservationRequestSchema>;

/** What travels to `mirror-host receive` on standard input: the server programs, each in base64. */
export const ProgramsRequestSchema = z.strictObject({
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  programs: z.strictObject({
    'mirror-host.cjs': z.string().base64(),
    'mirrorctl.cjs': z.string().base64(),
    'mirrorctl-body.cjs': z.string().base64(),
  }),
});
export type ProgramsRequest = z.infer<typeof ProgramsRequestSchema>;

/** A line that `mirror-host` prints on standard output: JSON, one a line. */
export type HostEvent =
  | { readonly event: 'progress'; readonly text: string }
  | { readonly event: 'warning'; readonly text: string }
  | { readonly event: 'error'; readonly code: string; readonly message: string; readonly remedy: string; readonly exitCode: number }
  | { readonly event: 'result'; readonly result: HostResult };

/** What a command of `mirror-host` ends with. */
export type HostResult = ActivationResult | ObservationResult | SettledResult | ProgramsResult;

export interface ActivationResult {
  readonly kind: 'activation';
  /** `activated`: serves, and is taken back unless it is confirmed. `unchanged`: intact and matching; no new generation, no reload. */
  readonly outcome: 'activated' | 'unchanged';
  readonly generation: number;
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly seconds: number;
  /** Of an activated one: how long it waits for its confirmation. */
  readonly confirmSeconds?: number;
}

/** Of `confirm`, `revert`, `rollback` and `decommission`: which generation serves for good. */
export interface SettledResult {
  readonly kind: 'settled';
  readonly outcome: 'confirmed' | 'reverted' | 'nothing to revert' | 'rolled back' | 'decommissioned';
  readonly generation: number;
  /** The generation that was taken back or left. */
  readonly from?: number;
}

export interface ProgramsResult {
  readonly kind: 'programs';
  readonly digest: string;
}

export interface ObservationResult {
  readonly kind: 'observation';
  /** The value of the trigger `last_drift`. */
  readonly text: string;
  readonly intact: boolean;
  /** Only where the request says what a deploy would bring. */
  readonly foreseen?: Foreseen;
}

/** What a deploy would meet on a server: the plan's sentences are made from it. It is no part of the trigger. */
export const ForeseenSchema = z.object({
  /** 0: none. */
  generation: z.number().int(),
  owner: z.string(),
  /** Every way in which the server differs from its generation, secrets included. */
  deviations: z.array(z.string()),
  /** Element ids that differ from what is declared. */
  pending: z.object({ added: z.array(z.string()), changed: z.array(z.string()), removed: z.array(z.string()) }),
  /** Of the secrets that the planning machine has: whether they are the deployed ones. */
  secrets: z.record(z.string(), z.enum(['same', 'other'])),
  /** Where a former signing key is newly declared: whether it is the one that signs now. */
  previousKey: z.enum(['same', 'other']).optional(),
  /** True when a deploy would find the very same generation, intact: it makes no new one. */
  unchanged: z.boolean(),
  /** True when the programs that are planned are the deployed ones. */
  samePrograms: z.boolean(),
  /** Why a deploy would change nothing at all. */
  refused: z.object({ code: z.string(), message: z.string(), remedy: z.string() }).optional(),
});
export type Foreseen = z.infer<typeof ForeseenSchema>;

/**
 * The first value of the trigger `last_drift` where a deploy is planned without the server, which then records it. Not empty: the provider
 * turns an answer of no bytes into none, and Terraform then finds no such trigger.
 */
export const NOT_OBSERVED = 'not observed';

/** What a line of `observe` on standard error begins with that carries a `Foreseen` into the plan. */
export const FORESEEN_LINE = 'foreseen: ';
