/**
 * Where Terraform's state is kept, read from one text: a path, or a URL of one of Terraform's backends `http`, `s3` and `pg`. Pure: a good
 * text becomes what a backend is configured with, a bad one a problem. What is configured is written into the synthesized JSON, which holds
 * no secret: credentials come from the environment.
 */
import { posix } from 'node:path';
import type { Problem } from './validate';

export type StateLocation =
  | { readonly kind: 'local'; readonly path: string; readonly inCheckout: boolean }
  | { readonly kind: 'http'; readonly config: HttpState }
  | { readonly kind: 's3'; readonly config: S3State; readonly useLockfile: boolean }
  | { readonly kind: 'pg'; readonly config: { readonly connStr: string; readonly schemaName: string } };

export interface HttpState {
  readonly address: string;
  readonly lockAddress: string;
  readonly lockMethod: string;
  readonly unlockAddress: string;
  readonly unlockMethod: string;
}

export interface S3State {
  readonly bucket: string;
  readonly key: string;
  readonly region: string;
  readonly endpoints?: { readonly s3: string };
  readonly dynamodbTable?: string;
  readonly encrypt?: boolean;
  readonly kmsKeyId?: string;
  readonly profile?: string;
  readonly usePathStyle?: boolean;
  readonly skipCredentialsValidation?: boolean;
  readonly skipRegionValidation?: boolean;
  readonly skipRequestingAccountId?: boolean;
  readonly skipMetadataApiCheck?: boolean;
  readonly skipS3Checksum?: boolean;
}

const FORMS = 'state is a file, or a URL that starts with http://, https://, s3:// or postgres://';
const EXAMPLES =
  'For instance "https://state.example.org/mirror", "s3://bucket/mirror.tfstate?region=eu-west-1" or "postgres://db.example.org/terraform?schema_name=mirror".';

/** How each backend is given its credentials instead. */
const CREDENTIALS = {
  http: 'Remove it, and set TF_HTTP_USERNAME and TF_HTTP_PASSWORD where Terraform runs.',
  s3: 'Remove it, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) where Terraform runs.',
  pg: 'Remove it, and set PGUSER and PGPASSWORD (or PGPASSFILE) where Terraform runs.',
} as const;
const CREDENTIAL_PARAMETER = /^(user(name)?|auth|.*(token|password|passwd|secret|signature|access_?key|api_?key).*|credentials?|sig)$/i;

class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.allowed);
  }
}
const refuse = (allowed: string, fix: string): never => {
  throw new Refused({ allowed, fix });
};

/** @returns the location, or what is wrong with the text */
export function stateLocation(text: unknown): StateLocation | Problem {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof Refused) return error.problem;
    throw error;
  }
}

/** The text without what may be a credential, for error messages: a password may hold any character. */
export function withoutCredentials(text: string): string {
  return text
    .replace(/:\/\/.*@/, '://***@')
    .replace(/([?&])([^=&#]*)=([^&#]*)/g, (all, mark: string, name: string) => (isCredential(name) ? `${mark}${name}=***` : all));
}

function parse(text: unknown): StateLocation {
  if (typeof text !== 'string' || text === '' || text.length > 2000) return refuse(FORMS, EXAMPLES);
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return localFile(text);
  if (!/^[\x21-\x7e]+$/.test(text) || /["'<>\\^`{|}]/.test(text)) {
    return refuse('a URL has printable ASCII characters only, without quotes, braces and unexpanded variables', EXAMPLES);
  }
  switch (scheme) {
    case 'http':
    case 'https':
      return http(urlOf(text, 'http'));
    case 's3':
      return s3(urlOf(text, 's3'));
    case 'postgres':
    case 'postgresql':
      return pg(urlOf(text, 'pg'));
    default:
      return refuse(
        `${FORMS}; "${scheme}:" is none of them`,
        `${EXAMPLES} Other backends: declare cdktf's own class, for instance new GcsBackend(stack, …), and leave state out.`,
      );
  }
}

function localFile(text: string): StateLocation {
  const example = 'For instance "terraform.mirror.tfstate" beside main.ts, or an absolute path.';
  if (text.startsWith('~')) return refuse('only a shell expands "~"', 'Write the absolute path, or "$HOME/…" in the shell.');
  if (!/^[\p{L}\p{N}._+@=,/ -]+$/u.test(text) || text.trim() !== text) {
    return refuse('a path has letters, digits, spaces within, "." "_" "+" "@" "=" "," "-" and "/"', example);
  }
  const path = posix.normalize(text);
  if (/(^|\/)\.{0,2}$/.test(path)) return refuse('a path ends with the name of a file', example);
  if (posix.isAbsolute(path)) return { kind: 'local', path, inCheckout: false };
  if (/^(cdktf\.out|dist|node_modules)\//.test(path)) {
    return refuse(`${path.split('/')[0] as string}/ is generated: what is in it may be removed at any time`, example);
  }
  // Terraform runs in cdktf.out/stacks/<stack>. The path is fixed, so that the same input gives the same bytes in any checkout.
  return { kind: 'local', path: `../../../${path}`, inCheckout: !path.startsWith('../') };
}

function http(url: URL): StateLocation {
  const address = url.href;
  // GitLab keeps Terraform's states itself, and locks at another URL by other methods (GitLab: "GitLab-managed Terraform state").
  const gitlab = /\/api\/v4\/projects\/[^/]+\/terraform\/state\/[^/]+$/.test(url.pathname);
  const lock = new URL(address);
  if (gitlab) lock.pathname += '/lock';
  return {
    kind: 'http',
    config: {
      address,
      lockAddress: lock.href,
      lockMethod: gitlab ? 'POST' : 'LOCK',
      unlockAddress: lock.href,
      unlockMethod: gitlab ? 'DELETE' : 'UNLOCK',
    },
  };
}

const S3_PARAMETERS = [
  ...['region', 'endpoint', 'use_lockfile', 'dynamodb_table', 'encrypt', 'kms_key_id', 'profile', 'use_path_style'],
  ...['skip_credentials_validation', 'skip_region_validation', 'skip_requesting_account_id', 'skip_metadata_api_check', 'skip_s3_checksum'],
] as const;

function s3(url: URL): StateLocation {
  const given = parametersOf(url, S3_PARAMETERS);
  const word = (name: (typeof S3_PARAMETERS)[number], pattern: RegExp, allowed: string): string | undefined => {
    const value = given.get(name);
    return value === undefined || pattern.test(value) ? value : refuse(`${name} ${JSON.stringify(value)}: ${allowed}`, EXAMPLES);
  };
  const yes = (name: (typeof S3_PARAMETERS)[number]): boolean | undefined => {
    const value = word(name, /^(true|false)$/, 'true or false');
    return value === undefined ? undefined : value === 'true';
  };
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(url.host)) {
    return refuse('a bucket is 3 to 63 of a-z, 0-9, "." and "-"', EXAMPLES);
  }
  const key = decoded(url.pathname.slice(1));
  if (!/^[\w.:@+=,-]+(\/[\w.:@+=,-]+)*$/.test(key)) return refuse('after the bucket comes a key: names joined by single "/"', EXAMPLES);
  const region = word('region', /^[a-z0-9-]+$/, 'a region is for instance eu-west-1') ?? refuse('region=… is missing', EXAMPLES);
  const table = word('dynamodb_table', /^[A-Za-z0-9_.:/-]{3,255}$/, 'the name of a DynamoDB table');
  const endpoint = given.get('endpoint');
  if (endpoint !== undefined && !/^https?:\/\/[^/@?#\s]+\/?$/.test(endpoint)) {
    return refuse(
      `endpoint ${JSON.stringify(withoutCredentials(endpoint))}: http:// or https:// and a host, without user and path`,
      EXAMPLES,
    );
  }
  const config: { -readonly [K in keyof S3State]: S3State[K] | undefined } = {
    bucket: url.host,
    key,
    region,
    endpoints: endpoint === undefined ? undefined : { s3: endpoint },
    dynamodbTable: table,
    encrypt: yes('encrypt'),
    kmsKeyId: word('kms_key_id', /^[\w:/-]+$/, 'the id or ARN of a key'),
    profile: word('profile', /^[\w.@+-]+$/, 'the name of a profile'),
    usePathStyle: yes('use_path_style'),
    skipCredentialsValidation: yes('skip_credentials_validation'),
    skipRegionValidation: yes('skip_region_validation'),
    skipRequestingAccountId: yes('skip_requesting_account_id'),
    skipMetadataApiCheck: yes('skip_metadata_api_check'),
    skipS3Checksum: yes('skip_s3_checksum'),
  };
  return {
    kind: 's3',
    config: Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined)) as unknown as S3State,
    // Locked unless somebody says otherwise; who names a table may use a Terraform that knows no lock file (before 1.10).
    useLockfile: yes('use_lockfile') ?? table === undefined,
  };
}

const PG_PARAMETERS = ['schema_name', 'sslmode', 'sslrootcert', 'connect_timeout'] as const;

function pg(url: URL): StateLocation {
  const given = parametersOf(url, PG_PARAMETERS);
  const database = decoded(url.pathname.slice(1));
  if (!/^[\w.-]+$/.test(database)) return refuse('after the host comes the name of one database', EXAMPLES);
  const schemaName = given.get('schema_name');
  if (schemaName === undefined || !/^[a-z_][a-z0-9_]{0,62}$/.test(schemaName)) {
    return refuse(
      'schema_name=… is 1 to 63 of a-z, 0-9 and "_", and names the state: two stacks in one schema would overwrite each other',
      EXAMPLES,
    );
  }
  const query = new URLSearchParams();
  for (const [name, pattern, allowed] of [
    ['sslmode', /^(disable|require|verify-ca|verify-full)$/, 'disable, require, verify-ca or verify-full'],
    ['sslrootcert', /^\/[\w./+@-]+$/, 'an absolute path'],
    ['connect_timeout', /^[1-9]\d{0,3}$/, 'seconds, a whole number from 1'],
  ] as const) {
    const value = given.get(name);
    if (value === undefined) continue;
    if (!pattern.test(value)) return refuse(`${name} ${JSON.stringify(value)}: ${allowed}`, EXAMPLES);
    query.set(name, value);
  }
  const text = query.toString();
  return { kind: 'pg', config: { connStr: `postgres://${url.host}/${database}${text === '' ? '' : `?${text}`}`, schemaName } };
}

/** The URL, when it has a host and no credentials; every rule that the three kinds share. */
function urlOf(text: string, kind: keyof typeof CREDENTIALS): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse('this is no URL', EXAMPLES);
  }
  if (/^[^?#]*\/\/[^/?#]*@/.test(text))
    return refuse('a URL of state has no user and no password: it is written into files', CREDENTIALS[kind]);
  const credential = [...url.searchParams.keys()].find(isCredential);
  if (credential !== undefined) {
    return refuse(`the parameter ${credential} is a credential, and a URL of state is written into files`, CREDENTIALS[kind]);
  }
  if (url.hostname === '' || !/^[a-z][a-z0-9+.-]*:\/\/[^/]/i.test(text)) return refuse('a URL of state has a host', EXAMPLES);
  if (!/^(\[[0-9a-f:.]+\]|[A-Za-z0-9._-]+)$/.test(url.hostname)) return refuse('a host is a name or an address', EXAMPLES);
  if (text.includes('#')) return refuse('a URL of state has no "#"', 'Remove it and what follows.');
  const path = /^[^:]+:\/\/[^/?]*([^?]*)/.exec(text)?.[1] ?? '';
  if (
    decoded(path)
      .split('/')
      .some((segment) => segment === '.' || segment === '..')
  ) {
    return refuse('a URL of state has no "." or ".." in its path', EXAMPLES);
  }
  return url;
}

const isCredential = (name: string): boolean => CREDENTIAL_PARAMETER.test(name);

/** The query by name: each of the known names, at most once. */
function parametersOf<N extends string>(url: URL, known: readonly N[]): ReadonlyMap<N, string> {
  const found = new Map<N, string>();
  for (const [name, value] of url.searchParams) {
    if (!(known as readonly string[]).includes(name)) {
      return refuse(`there is no parameter ${JSON.stringify(name)}; there are ${known.join(', ')}`, 'Remove it, or correct its name.');
    }
    if (found.has(name as N)) return refuse(`${name} is given twice`, 'Remove one.');
    found.set(name as N, value);
  }
  return found;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return refuse('a percent sign in a URL starts two hexadecimal digits', 'Write a percent sign as %25.');
  }
}
