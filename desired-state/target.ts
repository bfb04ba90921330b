import { z } from 'zod';

/** What `ssh-keygen -lf` prints of a key: SHA-256 in base64 without padding. */
export const FingerprintSchema = z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, {
  message: 'must look like SHA256:…43 characters… as `ssh-keygen -lf` prints it',
});

const account = {
  /** IPv4 or IPv6 address (without brackets), or a name. */
  address: z.string().min(1),
  port: z.number().int().min(1).max(65535),
  user: z.string().regex(/^[a-z_][a-z0-9_.-]*\$?$/i),
  /** The pinned host keys: one of them must be offered. None: connecting fails and shows the key that the server offers. */
  hostKeys: z.array(FingerprintSchema),
};

/** Where a secret's content is: an environment variable (or the file that `<variable>_FILE` names), or a file. */
export const SecretSourceSchema = z.union([
  z.strictObject({ environmentVariable: z.string().regex(/^[A-Z][A-Z0-9_]*$/) }),
  /** Absolute, or below the home directory: `~/…`. */
  z.strictObject({ file: z.string().regex(/^(\/|~\/)/) }),
]);
export type SecretSource = z.infer<typeof SecretSourceSchema>;

/** `mirror/target.json` of a stack: where a desired state goes. Holds names of secrets, never secrets. */
export const TargetSchema = z.strictObject({
  ...account,
  jumpHost: z.strictObject(account).optional(),
  /** Logs in where `user` cannot yet: the first deploy makes the account `user`. */
  bootstrapUser: account.user.optional(),
  /** Secret name → where the machine that applies has it. */
  secrets: z.record(z.string(), SecretSourceSchema),
});
export type Target = z.infer<typeof TargetSchema>;
/** One SSH hop: the server itself or the host it is reached through. */
export type Endpoint = Pick<Target, 'address' | 'port' | 'user' | 'hostKeys'>;
