/**
 * What `mirrorctl` reads in `/etc/mirror/current/definitions/`: the YAML that a pull request's plan shows is the file on the server.
 */
import { z } from 'zod';

const key = z.strictObject({
  /** File in the generation: `keys/<name>` for upstreams, `owners/<owner>/<name>` for owners of hosted repositories. */
  file: z.string().regex(/^(keys|owners\/[^/]+)\/[^/]+$/),
  /** OpenPGP fingerprint of the primary key, upper-case hex. */
  fingerprint: z.string().regex(/^[0-9A-F]{40,64}$/),
});
export type KeyReference = z.infer<typeof key>;

export const TrustSchema = z.discriminatedUnion('mode', [
  /** `repomd.xml.asc` must be a good signature by one of the keys. */
  z.strictObject({ mode: z.literal('signedMetadata'), keys: z.array(key).min(1) }),
  /** Every package must carry a good signature by one of the keys; metadata is trusted for names and digests only. */
  z.strictObject({ mode: z.literal('signedPackages'), keys: z.array(key).min(1) }),
  /** Nothing is signed: digests protect against damage only. The reason is for the reviewer. */
  z.strictObject({ mode: z.literal('digestsOnly'), reason: z.string().min(1) }),
]);
export type TrustDefinition = z.infer<typeof TrustSchema>;

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
  fetchFrom: z.array(z.string().url()).min(1),
  trust: TrustSchema,
  view: z.literal('verbatim'),
});
export type RepositoryDefinition = z.infer<typeof RepositoryDefinitionSchema>;

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
});
export type CodenameDefinition = z.infer<typeof CodenameDefinitionSchema>;

/** File `definitions/server.yaml`. */
export const ServerDefinitionSchema = z.strictObject({
  kind: z.literal('server'),
  storageRoot: z.string(),
  ownMount: z.boolean(),
});
export type ServerDefinition = z.infer<typeof ServerDefinitionSchema>;
