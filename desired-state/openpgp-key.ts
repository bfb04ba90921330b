/**
 * Reads public OpenPGP keys well enough to pin them: fingerprints and user ids, without gpg, so that synthesis needs no program
 * and gives the same answer everywhere (RFC 4880 and RFC 9580; version 5 is LibrePGP's). It verifies no signature: the fingerprint,
 * compared with what the owner published, is what makes a key trustworthy.
 */
import { createHash } from 'node:crypto';
import { ExitCode, MirrorError } from './errors';

export interface PublicKey {
  /** Of the primary key, upper-case hex: 40 digits for version 4, 64 for versions 5 and 6. */
  readonly fingerprint: string;
  readonly userIds: string[];
}

/** Packet tags that concern us. */
const Tag = {
  signature: 2,
  secretKey: 5,
  publicKey: 6,
  secretSubkey: 7,
  marker: 10,
  trust: 12,
  userId: 13,
  publicSubkey: 14,
  userAttribute: 17,
  padding: 21,
} as const;

/** Real keys have a few kilobytes; with many signatures a few hundred. */
const LARGEST_FILE = 4 * 1024 * 1024;

/**
 * Reads every public key of an armoured file, in order.
 *
 * @param armoured the text of the file
 * @param file what errors name, for instance `keys/RPM-GPG-KEY-EPEL-7`
 * @throws MirrorError `SECRET_KEY` when the file holds secret key material, `PUBLIC_KEY_INVALID` when it is not a public key
 */
export function readPublicKeys(armoured: string, file: string): PublicKey[] {
  if (armoured.length > LARGEST_FILE) invalid(file, `is larger than ${LARGEST_FILE} characters`);
  if (/-----BEGIN (PGP|[A-Z ]*)PRIVATE KEY/.test(armoured)) secret(file);
  const blocks = [...armoured.matchAll(/^-----BEGIN PGP ([A-Z ,/0-9]+)-----[ \t]*\r?$/gm)];
  if (blocks.length === 0) invalid(file, 'has no line "-----BEGIN PGP PUBLIC KEY BLOCK-----"');
  const keys = blocks.flatMap((begin) => {
    const kind = begin[1] ?? '';
    if (kind !== 'PUBLIC KEY BLOCK') invalid(file, `holds a PGP ${kind}, not a PUBLIC KEY BLOCK`);
    return keysOf(dearmour(armoured.slice(begin.index + begin[0].length), file), file);
  });
  const twice = keys.find((key, i) => keys.findIndex((k) => k.fingerprint === key.fingerprint) !== i);
  if (twice) invalid(file, `holds the key ${twice.fingerprint} twice`);
  return keys;
}

/** The bytes of the block whose first line has been read. */
function dearmour(afterBegin: string, file: string): Buffer {
  const end = /^-----END PGP PUBLIC KEY BLOCK-----[ \t]*\r?$/m.exec(afterBegin);
  if (!end) return invalid(file, 'has no line "-----END PGP PUBLIC KEY BLOCK-----": it is cut off');
  // The first element is the rest of the BEGIN line.
  const lines = afterBegin
    .slice(0, end.index)
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
  const blank = lines.indexOf('');
  const headers = lines.slice(0, Math.max(blank, 0));
  if (blank < 0 || headers.some((line) => !/^[A-Za-z][A-Za-z0-9-]*: ?/.test(line)))
    invalid(file, 'has no empty line between the armour headers and the data');

  const data = lines.slice(blank + 1).filter((line) => line !== '');
  const last = data.at(-1) ?? '';
  const checksum = /^=[A-Za-z0-9+/]{4}$/.test(last) ? Buffer.from(last.slice(1), 'base64') : undefined;
  const base64 = (checksum ? data.slice(0, -1) : data).join('');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || base64.length % 4 !== 0) invalid(file, 'does not hold valid base64');
  const bytes = Buffer.from(base64, 'base64');
  if (checksum && crc24(bytes) !== checksum.readUIntBE(0, 3)) invalid(file, 'is damaged: its checksum (CRC-24) does not match');
  return bytes;
}

/** The checksum of RFC 4880, section 6.1. */
function crc24(bytes: Buffer): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if (crc & 0x1000000) crc ^= 0x1864cfb;
    }
  }
  return crc & 0xffffff;
}

function keysOf(bytes: Buffer, file: string): PublicKey[] {
  const keys: PublicKey[] = [];
  for (const { tag, body } of packets(bytes, file)) {
    const key = keys.at(-1);
    if (tag === Tag.secretKey || tag === Tag.secretSubkey) secret(file);
    if (tag === Tag.publicKey) keys.push({ fingerprint: fingerprintOf(body, file), userIds: [] });
    else if (tag === Tag.marker || tag === Tag.padding) continue;
    else if (!key) invalid(file, `begins with a packet of type ${tag}, not with a public key`);
    else if (tag === Tag.userId) key.userIds.push(userIdOf(body, file));
    else if (!isPartOfAKey(tag)) invalid(file, `holds a packet of type ${tag}, which no public key has`);
  }
  if (keys.length === 0) invalid(file, 'holds no public key');
  return keys;
}

function isPartOfAKey(tag: number): boolean {
  return tag === Tag.signature || tag === Tag.publicSubkey || tag === Tag.userAttribute || tag === Tag.trust;
}

function* packets(bytes: Buffer, file: string): Generator<{ tag: number; body: Buffer }> {
  let at = 0;
  const number = (size: number): number => {
    if (at + size > bytes.length) invalid(file, 'is cut off within a packet');
    const value = bytes.readUIntBE(at, size);
    at += size;
    return value;
  };
  while (at < bytes.length) {
    const first = number(1);
    if ((first & 0x80) === 0) invalid(file, `has no packet header at byte ${at - 1}`);
    let length: number;
    if (first & 0x40) {
      length = number(1);
      if (length >= 224 && length < 255) invalid(file, 'has a packet in parts, which keys must not have');
      if (length === 255) length = number(4);
      else if (length >= 192) length = ((length - 192) << 8) + number(1) + 192;
    } else {
      const sizes = [1, 2, 4] as const;
      const size = sizes[first & 0x03];
      if (size === undefined) return invalid(file, 'has a packet without a length, which keys must not have');
      length = number(size);
    }
    if (at + length > bytes.length) invalid(file, 'is cut off within a packet');
    yield { tag: first & 0x40 ? first & 0x3f : (first >> 2) & 0x0f, body: bytes.subarray(at, at + length) };
    at += length;
  }
}

function fingerprintOf(body: Buffer, file: string): string {
  const version = body[0];
  // Version, creation time and algorithm are 6 bytes (and a length of 4 more from version 5 on); then comes the key itself.
  if (body.length <= (version === 4 ? 6 : 10)) invalid(file, 'holds a public key without key material');
  if (version === 4) return digest('sha1', [0x99, ...uint(body.length, 2)], body);
  if (version === 5) return digest('sha256', [0x9a, ...uint(body.length, 4)], body);
  if (version === 6) return digest('sha256', [0x9b, ...uint(body.length, 4)], body);
  return invalid(file, `holds a public key of version ${version}; 4, 5 and 6 are supported`);
}

function digest(algorithm: 'sha1' | 'sha256', prefix: number[], body: Buffer): string {
  return createHash(algorithm).update(Uint8Array.from(prefix)).update(body).digest('hex').toUpperCase();
}

function uint(value: number, size: number): number[] {
  return Array.from({ length: size }, (_, i) => (value >>> (8 * (size - 1 - i))) & 0xff);
}

function userIdOf(body: Buffer, file: string): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return invalid(file, 'holds a user id that is not UTF-8');
  }
  if (/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(text)) invalid(file, 'holds a user id with control characters');
  return text;
}

function invalid(file: string, reason: string): never {
  throw new MirrorError({
    code: 'PUBLIC_KEY_INVALID',
    message: `key file ${file} ${reason}`,
    remedy:
      'Export the public key with "gpg --armor --export FINGERPRINT", or fetch the publisher\'s file again; "gpg --show-keys FILE" shows what it holds.',
    exitCode: ExitCode.invalid,
  });
}

function secret(file: string): never {
  throw new MirrorError({
    code: 'SECRET_KEY',
    message: `key file ${file} holds SECRET key material: it would have become public`,
    remedy:
      'Remove the file, and from the history too if it was committed; a secret key that left its machine must be revoked. Then export the public key with "gpg --armor --export FINGERPRINT".',
    exitCode: ExitCode.untrusted,
  });
}
