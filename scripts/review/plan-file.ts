/** What a Terraform plan file carries of the configuration that it was made from: applying runs *that*, not what lies beside it. */
import { inflateRawSync } from 'node:zlib';

const END = { signature: 0x06054b50, size: 22 } as const;
const ENTRY = { signature: 0x02014b50, size: 46 } as const;

/**
 * Files of the configuration inside a plan file (a zip archive), by their name below `tfconfig/`.
 *
 * Takes an archive only as Terraform writes it: what is allowed by the format but can be read in two ways (a comment, bytes before or between,
 * an entry twice) is refused, since Terraform could read it in the other one. Throws where it is no such archive.
 */
export function plannedConfiguration(plan: Buffer): Map<string, Buffer> {
  const end = plan.length - END.size;
  if (end < 0 || plan.readUInt32LE(end) !== END.signature || plan.readUInt16LE(end + 20) !== 0) throw new Error('it is no zip archive');
  const entries = plan.readUInt16LE(end + 10);
  const [size, start] = [plan.readUInt32LE(end + 12), plan.readUInt32LE(end + 16)];
  if (entries === 0xffff || start + size !== end) throw new Error('its directory is not where it should be');
  const files = new Map<string, Buffer>();
  const names = new Set<string>();
  let at = start;
  for (let n = 0; n < entries; n++) {
    if (at + ENTRY.size > end || plan.readUInt32LE(at) !== ENTRY.signature) throw new Error('its directory is damaged');
    const method = plan.readUInt16LE(at + 10);
    const compressed = plan.readUInt32LE(at + 20);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) => plan.readUInt16LE(at + o)) as [number, number, number];
    const name = plan.toString('utf8', at + ENTRY.size, at + ENTRY.size + nameLength);
    const local = plan.readUInt32LE(at + 42);
    at += ENTRY.size + nameLength + extraLength + commentLength;
    if (names.has(name)) throw new Error(`it has ${JSON.stringify(name)} twice`);
    names.add(name);
    if (!name.startsWith('tfconfig/')) continue;
    if (local + 30 > start || compressed > start) throw new Error('its directory is damaged');
    const content = local + 30 + plan.readUInt16LE(local + 26) + plan.readUInt16LE(local + 28);
    const bytes = plan.subarray(content, content + compressed);
    files.set(name.slice('tfconfig/'.length), method === 0 ? bytes : inflateRawSync(bytes, { maxOutputLength: 1 << 28 }));
  }
  if (at !== end) throw new Error('its directory is damaged');
  return files;
}
