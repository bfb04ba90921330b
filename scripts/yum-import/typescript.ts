/** Pure: the TypeScript of what was imported. Whoever calls formats it. */
import type { ImportedList, ListOptions } from './lists';
import type { Imported, ImportedRepository, ImportedTrust } from './repositories';

export interface Source {
  /** How the written file imports the constructs: `./constructs`. */
  readonly constructs: string;
  /** Directory of the keys, relative to the project. */
  readonly keys: string;
  /** What it was made from, for its first line. */
  readonly from: string;
}

export function typescript(
  { repositories, leftOut }: Imported,
  lists: readonly ImportedList[],
  options: ListOptions | undefined,
  source: Source,
): string {
  const usesKeys = repositories.some(({ trust }) => trust.mode !== 'digestsOnly');
  const upstreams = repositories.some(({ fetchFrom = [] }) => fetchFrom.some((place) => typeof place !== 'string'));
  const names = [
    ...lists.map(({ construct }) => construct),
    'type MirrorServer',
    ...(usesKeys ? ['PublicKey'] : []),
    ...(repositories.length > 0 ? ['RpmRepository', 'Trust', 'View'] : []),
    ...(upstreams ? ['Upstream'] : []),
  ];
  const sorted = [...new Set(names)].sort((a, b) => (a.replace('type ', '') < b.replace('type ', '') ? -1 : 1));
  return [
    `/** Written by scripts/import-yum-repos from ${source.from}. From here on it is yours: review it, and change it as main.ts. */`,
    `import { ${sorted.join(', ')} } from ${quoted(source.constructs)};`,
    '',
    `export function declareImported(server: MirrorServer${usesKeys ? `, key = PublicKey.from(${quoted(source.keys)})` : ''}): void {`,
    ...byFile(repositories).flatMap(([file, those], index) => [
      ...(index > 0 ? [''] : []),
      `// ---- ${file}`,
      ...those.flatMap(repositoryText),
    ]),
    ...(lists.length > 0 ? ['', '// ---- Lists'] : []),
    ...lists.flatMap((list) => listText(list, options)),
    ...(leftOut.length > 0 ? ['', '// ---- Left out'] : []),
    ...leftOut.map(({ file, section, url, reason }) => `// [${section}] of ${file}, ${url}: ${reason}.`),
    '}',
    '',
  ].join('\n');
}

function byFile(repositories: readonly ImportedRepository[]): readonly (readonly [string, readonly ImportedRepository[]])[] {
  const files = [...new Set(repositories.map(({ file }) => file))];
  return files.map((file) => [file, repositories.filter((one) => one.file === file)]);
}

function repositoryText({ id, publishedAs, fetchFrom, trust, notes }: ImportedRepository): readonly string[] {
  const places = fetchFrom?.map((place) => {
    if (typeof place === 'string') return quoted(place);
    return 'metalink' in place ? `Upstream.metalink(${quoted(place.metalink)})` : `Upstream.mirrorlist(${quoted(place.mirrorlist)})`;
  });
  return [
    ...notes.map((note) => `// ${note}`),
    `new RpmRepository(server, ${quoted(id)}, {`,
    `publishedAs: ${quoted(publishedAs)},`,
    ...(places === undefined ? [] : [`fetchFrom: [${places.join(', ')}],`]),
    `trust: ${trustText(trust)},`,
    'view: View.ACCUMULATE,',
    '});',
  ];
}

function trustText(trust: ImportedTrust): string {
  if (trust.mode === 'digestsOnly') return `Trust.digestsOnly(${quoted(trust.reason)})`;
  return `Trust.${trust.mode}([${trust.keys.map((name) => `key(${quoted(name)})`).join(', ')}])`;
}

function listText(list: ImportedList, options: ListOptions | undefined): readonly string[] {
  const place = [
    `release: ${quoted(options?.release ?? '')},`,
    ...(options?.layer === undefined ? [] : [`layer: ${quoted(options.layer)},`]),
  ];
  const opening = `new ${list.construct}(server, ${quoted(list.id)}, {`;
  switch (list.construct) {
    case 'PackageLists':
      return [opening, ...place, `lists: [${list.lists.map(quoted).join(', ')}],`, '});'];
    case 'TarballDownloads':
      return [opening, ...place, `list: ${quoted(list.list)},`, '});'];
    case 'InstallTree':
      return [opening, `publishedAs: ${quoted(list.publishedAs)},`, `list: ${quoted(list.list)},`, '});'];
  }
}

/** As a literal in single quotes. */
function quoted(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}
