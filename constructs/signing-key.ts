import type { Construct } from 'constructs';
import { type DesiredState, SIGNING_KEYS } from '../desired-state/model';
import { secretVersion } from '../desired-state/validate';
import { check, checkMade, checkProps, invalid } from './private/check';
import { Secret } from './secret';

/** A signing key that the server makes itself. */
export class SigningKey {
  /**
   * RSA with 4096 bits, without an expiry. It never leaves the server, where only root can read it, and stays the same until `version`
   * changes. Back it up: see docs/how-to/rotate-a-secret.md.
   *
   * @param options.version any short text; another one is another key. @default "1"
   */
  static generated(options: { readonly version?: string } = {}): SigningKey {
    checkProps('SigningKey.generated', options, { version: true }, 'options');
    check('SigningKey.generated', 'version', options.version ?? '1', secretVersion);
    return new SigningKey(options.version ?? '1');
  }

  private constructor(readonly version: string) {}
}

/** The keys that a server signs with. */
export interface SigningKeyProps {
  /**
   * What signs the metadata of hosted and accumulated repositories: an armoured OpenPGP secret key without passphrase, or
   * `SigningKey.generated()`.
   */
  readonly signingKey: Secret | SigningKey;
  /**
   * The key before, which signs beside `signingKey`, and is handed out with it, for as long as it is declared: clients that have only one of
   * the two accept what is published. @default none
   */
  readonly previousSigningKey?: Secret | SigningKey;
}

/** By name of the secret, today's first. */
export type DeclaredKeys = ReadonlyMap<string, Secret | SigningKey>;

/** Validates both props. */
export function signingKeysOf(scope: Construct, props: SigningKeyProps): DeclaredKeys {
  const { signingKey, previousSigningKey } = props;
  const names = ['signingKey', 'previousSigningKey'] as const;
  for (const name of previousSigningKey === undefined ? names.slice(0, 1) : names) {
    const value: unknown = props[name];
    const made = value instanceof Secret || value instanceof SigningKey;
    const fix = 'Secret.fromEnvironment("MIRROR_SIGNING_KEY"), or SigningKey.generated().';
    checkMade(scope, name, value, made, { allowed: 'a secret is passed by name', fix }, `(a value of type ${typeof value})`);
  }
  if (previousSigningKey === undefined) return new Map([[SIGNING_KEYS[0], signingKey]]);
  if (placeOf(signingKey) === placeOf(previousSigningKey)) {
    throw invalid(scope, 'previousSigningKey', placeOf(previousSigningKey), {
      allowed: 'it is another key than signingKey, from another place or of another version',
      fix: 'Name where the key before is, or leave it out.',
    });
  }
  return new Map([
    [SIGNING_KEYS[0], signingKey],
    [SIGNING_KEYS[1], previousSigningKey],
  ]);
}

function placeOf(key: Secret | SigningKey): string {
  return key instanceof SigningKey ? `SigningKey.generated, version ${key.version}` : Object.values(key.source).join();
}

/** Those that the machine that applies has, by name. */
export function supplied(keys: DeclaredKeys): readonly (readonly [string, Secret])[] {
  return [...keys].flatMap(([name, key]) => (key instanceof Secret ? [[name, key] as const] : []));
}

/** Those that the server makes: name → version. */
export function generatedKeys(keys: DeclaredKeys): Pick<DesiredState, 'generatedKeys'> {
  const generated = [...keys].flatMap(([name, key]) => (key instanceof SigningKey ? [[name, key.version] as const] : []));
  return generated.length === 0 ? {} : { generatedKeys: Object.fromEntries(generated) };
}

/** How the plan names a key: `signing-key version 2`, `signing-key version 2, generated on the server`. */
export function keyLines(keys: DeclaredKeys): string {
  return [...keys].map(([name, key]) => `${name} version ${key.version}${key instanceof SigningKey ? GENERATED : ''}`).join('\n');
}

const GENERATED = ', generated on the server';
