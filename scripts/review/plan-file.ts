/** What a Terraform plan file carries of the configuration that it was made from: applying runs *that*, not what lies beside it. */
import { inflateRawSync } from 'node:zlib';

/** Files of the configuration inside a plan file (a zip archive), by their name below `tfconfig/`. Throws where it is no such archive. */
export function plannedConfiguration(plan: Buffer): Map<string, Buffer> {
  const end = plan.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new Error('it is no zip archive');
  const files = new Map<string, Buffer>();
  const entries = plan.readUInt16LE(end + 10);
  let at = plan.readUInt32LE(end + 16);
  for (let n = 0; n < entries; n++) {
    if (plan.readUInt32LE(at) !== 0x02014b50) throw new Error('its directory is damaged');
    const method = plan.readUInt16LE(at + 10);
    const compressed = plan.readUInt32LE(at + 20);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) => plan.readUInt16LE(at + o)) as [number, number, number];
    const name = plan.toString('utf8', at + 46, at + 46 + nameLength);
    const local = plan.readUInt32LE(at + 42);
    at += 46 + nameLength + extraLength + commentLength;
    if (!name.startsWith('tfconfig/')) continue;
    const start = local + 30 + plan.readUInt16LE(local + 26) + plan.readUInt16LE(local + 28);
    const bytes = plan.subarray(start, start + compressed);
    if (files.has(name)) throw new Error(`it has ${name} twice`);
    files.set(name.slice('tfconfig/'.length), method === 0 ? bytes : inflateRawSync(bytes, { maxOutputLength: 1 << 28 }));
  }
  return files;
}
