import { run } from './run';

/** Who made a signature, as it says itself: nothing of this is proven. */
export interface Issuer {
  /** 16 hexadecimal digits, upper-case. */
  readonly keyId: string;
  /** Of the key or subkey; older signatures do not say it. */
  readonly fingerprint: string | undefined;
  /** For instance `sha256`. */
  readonly digest: string;
}

/** RFC 9580, section 9.5. */
const DIGESTS: Readonly<Record<number, string>> = {
  1: 'md5',
  2: 'sha1',
  3: 'ripemd160',
  8: 'sha256',
  9: 'sha384',
  10: 'sha512',
  11: 'sha224',
  12: 'sha3-256',
  14: 'sha3-512',
};

/** The issuers in the output of `gpg --list-packets`. */
export function issuersIn(packets: string): readonly Issuer[] {
  return packets
    .split(/^(?=:)/m)
    .filter((packet) => packet.startsWith(':signature packet:'))
    .map((packet) => {
      const number = Number(/digest algo (\d+)/.exec(packet)?.[1]);
      return {
        keyId: /keyid ([0-9A-Fa-f]{16})/.exec(packet)?.[1]?.toUpperCase() ?? 'unknown',
        fingerprint: /issuer fpr v\d+ ([0-9A-Fa-f]{40,64})/.exec(packet)?.[1]?.toUpperCase(),
        digest: DIGESTS[number] ?? `number ${number}`,
      };
    });
}

/** Who says to have made these OpenPGP signatures (armoured or binary). `home` is an empty directory of the caller's, which gpg wants. */
export async function issuersOf(signature: Uint8Array, home: string): Promise<readonly Issuer[]> {
  const result = await run('gpg', ['--homedir', home, '--batch', '--no-tty', '--no-autostart', '--quiet', '--list-packets'], {
    input: signature,
  });
  return issuersIn(result.stdout);
}
