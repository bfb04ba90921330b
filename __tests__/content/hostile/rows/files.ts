import { gzipSync } from 'node:zlib';
import { compressed, gzipBomb } from '../support/edits';
import { guard, type Row } from '../support/row';
import { NEWER } from '../support/workshop';

const DECOMPRESS = 'rpm-metadata/decompress.ts';
const DELTAS = 'rpm-metadata/deltas.ts';
const LOCATIONS = 'rpm-metadata/locations.ts';

const HEAD =
  '<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">';
const DELTA_SUM = 'a'.repeat(64);

/** One delta rpm in a list of them. */
function delta(href: string, sum = DELTA_SUM): string {
  return `<newpackage name="${NEWER}" epoch="0" version="1" release="1" arch="noarch"><delta oldepoch="0" oldversion="0" oldrelease="1"><filename>${href}</filename><sequence>x</sequence><size>9</size><checksum type="sha256">${sum}</checksum></delta></newpackage>`;
}

function deltas(name: string, content: string, says: RegExp, file: string, code: string, without?: string): Row {
  return {
    name: `delta rpms: ${name}`,
    attack: 'path escape',
    guard: guard(file, code, without),
    hostile: (field) => {
      field.put('drpms/x.rpm', 'nine byte');
      field.add('prestodelta', gzipSync(content), content.length, 'xml.gz');
    },
    says: [/-prestodelta\.xml\.gz: /, says],
  };
}

/** The files that repomd.xml lists. */
export const FILES: readonly Row[] = [
  {
    name: 'a bomb by gzip',
    attack: 'endless data',
    program: true,
    guard: guard(DECOMPRESS, 'if (total > limit)'),
    hostile: (field) => {
      const { bytes } = gzipBomb(HEAD, ' '.repeat(1 << 20), 1000, '</metadata>');
      field.replace('primary', bytes, 10_000);
    },
    says: /-primary\.xml\.gz: decompresses to more than 10000 bytes, the size that repomd\.xml declares/,
    within: 20_000,
  },
  {
    name: 'a bomb of one package, of which nobody says the size',
    attack: 'endless data',
    program: true,
    guard: guard('rpm-metadata/packages-xml.ts', 'if (this.doneBytes > MAX_PACKAGE_BYTES)'),
    hostile: (field) => {
      const { bytes } = gzipBomb(`${HEAD}<package type="rpm">`, '<file>/x</file>'.repeat(70_000), 100, '</package></metadata>');
      field.replace('primary', bytes, null);
    },
    says: /-primary\.xml\.gz: has a package of more than \d+ MiB at or before its first package/,
  },
  {
    name: 'xz that wants gigabytes of memory',
    attack: 'endless data',
    guard: guard(DECOMPRESS, "'--memlimit-decompress=128MiB'", "'--memlimit-decompress=4GiB'"),
    hostile: (field) => field.recompress('primary', 'xz', ['--lzma2=dict=192MiB,mf=hc3,mode=fast,nice=8'], 'xz'),
    says: /-primary\.xml\.xz: cannot be decompressed: .*Memory usage limit reached/,
  },
  {
    name: 'zstd that wants gigabytes of memory',
    attack: 'endless data',
    guard: guard(DECOMPRESS, "'--memory=128MB'", "'--memory=2048MB'"),
    hostile: (field) => field.recompress('primary', 'zstd', ['-q', '-1', '--long=29'], 'zst'),
    says: /-primary\.xml\.zst: cannot be decompressed: .*memory/i,
  },
  {
    name: 'half of a file by gzip',
    guard: guard(DECOMPRESS, 'throw damaged(what, error instanceof Error ? error.message : String(error));', 'throw error;'),
    hostile: (field) => field.replace('primary', field.bytes('primary').subarray(0, 500), null),
    says: /-primary\.xml\.gz: cannot be decompressed: .*unexpected end of file/,
  },
  {
    name: 'half of a file by bzip2',
    guard: guard(DECOMPRESS, 'if (code !== 0)'),
    hostile: (field) => field.replace('primary', compressed('bzip2', [], field.content('primary')).subarray(0, 500), null, 'xml.bz2'),
    says: /-primary\.xml\.bz2: cannot be decompressed: /,
  },
  {
    name: 'the list of files in place of the list of packages',
    attack: 'mix-and-match',
    guard: guard('rpm-metadata/packages-xml.ts', 'if (depth === 0 && name !== this.root)'),
    hostile: (field) => field.replace('primary', field.bytes('filelists'), field.content('filelists').length),
    says: /-primary\.xml\.gz: is no primary metadata: its root is <filelists>/,
  },
  {
    name: 'a metadata file that is not there',
    attack: 'mix-and-match',
    exitCode: 5,
    guard: guard('content/retrieval.ts', 'if (error !== undefined) throw error;', ''),
    hostile: (field) => field.remove(field.path('other')),
    says: /-other\.xml\.gz answered with status 404/,
  },
  deltas(
    'a path that leaves the tree',
    `<prestodelta>${delta('../../../../../../x.drpm')}</prestodelta>`,
    /the location "\.\.\/.*" has a segment "\." or "\.\."/,
    DELTAS,
    "if ('problem' in location)",
  ),
  deltas(
    'a file that is none',
    `<prestodelta>${delta('drpms/x.html')}</prestodelta>`,
    /does not end in \.drpm/,
    LOCATIONS,
    "if (!location.path.endsWith('.drpm'))",
  ),
  deltas(
    'among the metadata',
    `<prestodelta>${delta('repodata/x.drpm')}</prestodelta>`,
    /lies in repodata\//,
    LOCATIONS,
    "return { problem: 'lies in repodata/' };\n  if (!location.path.endsWith('.drpm'))",
    "void 0;\n  if (!location.path.endsWith('.drpm'))",
  ),
  deltas(
    'two at one place',
    `<prestodelta>${delta('drpms/x.drpm')}${delta('drpms/x.drpm', 'b'.repeat(64))}</prestodelta>`,
    /two deltas are at "drpms\/x\.drpm" with different checksums or sizes/,
    DELTAS,
    'if (other !== undefined && (other.checksum.hex !== delta.checksum.hex || other.size !== delta.size))',
  ),
  deltas(
    'a web page',
    '<html/>',
    /is no list of delta rpms: its root is <html>/,
    DELTAS,
    'if (path.length === 1 && !DELTA_RECORDS.includes(path[0] as string))',
  ),
];
