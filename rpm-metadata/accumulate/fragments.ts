import type { PackageEntry } from './table';

const REFERENCES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

/** Text for an attribute or an element. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\t\n\r]/g, (c) => REFERENCES[c] ?? `&#${c.charCodeAt(0)};`);
}

const OPEN = Buffer.from('<location');
const CLOSE = Buffer.from('</location>');

/**
 * A package of primary.xml at another location: its `<location>` names `href` and no `xml:base`. The fragment is well-formed and has no
 * comments or CDATA sections, so `<location` is nothing else.
 */
export function relocated(fragment: Uint8Array, href: string): Buffer {
  const bytes = Buffer.from(fragment.buffer, fragment.byteOffset, fragment.length);
  let start = bytes.indexOf(OPEN);
  while (start >= 0 && !isEndOfName(bytes[start + OPEN.length])) start = bytes.indexOf(OPEN, start + 1);
  if (start < 0) throw new Error('a package without <location>');
  let end = start + OPEN.length;
  let quote = 0;
  for (; quote !== 0 || bytes[end] !== 0x3e; end++) {
    const byte = bytes[end];
    if (quote !== 0) quote = byte === quote ? 0 : quote;
    else if (byte === 0x22 || byte === 0x27) quote = byte;
  }
  end = bytes[end - 1] === 0x2f ? end + 1 : bytes.indexOf(CLOSE, end) + CLOSE.length;
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(`<location href="${escapeXml(href)}"/>`), bytes.subarray(end)]);
}

/** White space, `/` or `>`. */
function isEndOfName(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d || byte === 0x2f || byte === 0x3e;
}

/** What filelists and other say of a package of which upstream has neither: that it is there. */
export function bareFragment({ checksum, name, epoch, version, release, arch }: PackageEntry): Buffer {
  const [e, v, r] = [epoch, version, release].map(escapeXml) as [string, string, string];
  return Buffer.from(
    `<package pkgid="${checksum.hex}" name="${escapeXml(name)}" arch="${escapeXml(arch)}">\n  <version epoch="${e}" ver="${v}" rel="${r}"/>\n</package>`,
  );
}
