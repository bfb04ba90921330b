import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

/** A file of `repodata/`. */
export interface MetadataFile {
  readonly name: string;
  readonly bytes: Buffer;
}

const ROOTS = [
  ['primary', '<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="0"/>'],
  ['filelists', '<filelists xmlns="http://linux.duke.edu/metadata/filelists" packages="0"/>'],
  ['other', '<otherdata xmlns="http://linux.duke.edu/metadata/other" packages="0"/>'],
] as const;

/**
 * The metadata of a repository without packages: `repomd.xml` first. Revision and times are fixed, so that all empty repositories have the
 * same bytes and one signature does for them; any later revision is a Unix time and therefore newer.
 */
export function emptyMetadata(): { readonly repomd: MetadataFile; readonly files: readonly MetadataFile[] } {
  const files: MetadataFile[] = [];
  const records = ROOTS.map(([type, root]) => {
    const xml = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${root}\n`);
    const gz = gzipSync(xml, { level: 9 });
    const name = `${sha256(gz)}-${type}.xml.gz`;
    files.push({ name, bytes: gz });
    return [
      `  <data type="${type}">`,
      `    <checksum type="sha256">${sha256(gz)}</checksum>`,
      `    <open-checksum type="sha256">${sha256(xml)}</open-checksum>`,
      `    <location href="repodata/${name}"/>`,
      '    <timestamp>1</timestamp>',
      `    <size>${gz.length}</size>`,
      `    <open-size>${xml.length}</open-size>`,
      '  </data>',
    ].join('\n');
  });
  const repomd = `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1</revision>
${records.join('\n')}
</repomd>
`;
  return { repomd: { name: 'repomd.xml', bytes: Buffer.from(repomd) }, files };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
