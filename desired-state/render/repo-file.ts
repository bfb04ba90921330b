import type { RepositoryDefinition, TrustDefinition } from '../definitions';
import { MIRROR_KEY } from '../model';

/** What a codename has unless its declaration says otherwise. */
export const COMPONENTS = ['os', 'updates', 'security', 'holdback', 'cr'] as const;

/**
 * yum: lower wins. Holdback stands above everything, since it replaces a regressed package for a time. Whoever switches `cr` on gets what is proposed
 * as if it were in `updates` already: farther behind, nothing of it would ever be tried.
 */
export const COMPONENT_PRIORITY: Readonly<Record<string, number>> = { holdback: 1, security: 2, updates: 5, os: 10, cr: 5 };
/** Components of other names, such as `hotfix` or `9.2-updates`: the newest version of theirs and of `updates` wins. */
const OTHER_COMPONENT_PRIORITY = 5;
const BASE_PRIORITY = 99;
/** What was built from the base's sources, with changes, stands before it; behind all that a codename has. */
const RELEASED_BUILD_PRIORITY = 50;

export function componentPriority(component: string): number {
  return COMPONENT_PRIORITY[component] ?? OTHER_COMPONENT_PRIORITY;
}

/** Components that a client must switch on by itself: proposed packages are not for everyone. */
const OPT_IN = new Set(['cr']);

export interface CopiedRepoFile {
  readonly id: string;
  readonly name: string;
  /** For instance `http://mirror.example.org`. */
  readonly siteUrl: string;
  /** Encoded, relative to the site. */
  readonly publicUrlPath: string;
  readonly trust: TrustDefinition;
  readonly view: RepositoryDefinition['view'];
}

/**
 * `<id>.repo` for a copied repository. Packages are checked unless the declaration says that nothing is signed. Metadata is checked where
 * somebody signs it: upstream, or, where it is accumulated, the mirror, whose key comes first.
 */
export function copiedRepoFile(file: CopiedRepoFile): string {
  const upstreams = file.trust.mode === 'digestsOnly' ? [] : file.trust.keys.map((k) => `${file.siteUrl}/${k.file}`);
  const accumulated = file.view === 'accumulate';
  const keys = accumulated ? [`${file.siteUrl}/${MIRROR_KEY.publicPath}`, ...upstreams] : upstreams;
  return section(file.id, [
    ['name', file.name],
    ['baseurl', `${file.siteUrl}/${file.publicUrlPath}/`],
    ['enabled', '1'],
    ['gpgcheck', upstreams.length > 0 ? '1' : '0'],
    ['repo_gpgcheck', accumulated || file.trust.mode === 'signedMetadata' ? '1' : '0'],
    ...(keys.length > 0 ? [['gpgkey', keys.join(' ')] as const] : []),
    ['priority', String(BASE_PRIORITY)],
  ]);
}

export interface CodenameRepoFile {
  readonly owner: string;
  readonly codename: string;
  readonly siteUrl: string;
  readonly publicPath: string;
  readonly components: readonly string[];
  readonly keyFile: string;
  /** The distribution's major version, for instance `7`. */
  readonly distributionVersion: string;
}

/**
 * Since version 8 the base has modules, and dnf hides every package that has the name of one in them, whatever its priority, unless its repository says that it is
 * meant beside them.
 */
function besideModules(distributionVersion: string): readonly (readonly [string, string])[] {
  return Number.parseInt(distributionVersion, 10) >= 8 ? [['module_hotfixes', '1']] : [];
}

/** How far below a customer's components the product's stand in the customer's default set: behind all of them, before the base. */
export const PRODUCT_BELOW_CUSTOMER = 30;

/**
 * `<codename>.repo`: one section per component, with the priorities that make holdback win.
 *
 * @param below so much farther behind than usual
 */
export function codenameRepoFile(file: CodenameRepoFile, below = 0): string {
  return file.components
    .map((component) => {
      const url = `${file.siteUrl}/${file.publicPath}/${component}`;
      return section(`${file.owner}-${file.codename}-${component}`, [
        ['name', `${file.codename} ${component} (${file.owner})`],
        ['baseurl', `${url}/$basearch/`],
        ['enabled', OPT_IN.has(component) ? '0' : '1'],
        ['gpgcheck', '1'],
        ['repo_gpgcheck', '1'],
        ['gpgkey', `${url}/${file.keyFile}`],
        ['priority', String(componentPriority(component) + below)],
        ...besideModules(file.distributionVersion),
      ]);
    })
    .join('\n');
}

/** What clients configure of one member of a release. */
export interface RepoSection {
  readonly name: string;
  readonly text: string;
}

interface Of {
  /** Id and URL of the release. */
  readonly id: string;
  readonly url: string;
}

/**
 * A copied repository as it is in a release: with the keys of that time. Where metadata is merged its own directory has them; those of upstream are
 * the release's, in one file a member.
 */
export function releasedCopy(release: Of, file: Omit<CopiedRepoFile, 'siteUrl' | 'name'>): RepoSection {
  const base = `${release.url}/${file.publicUrlPath}/`;
  const isSigned = file.trust.mode !== 'digestsOnly';
  const accumulated = file.view === 'accumulate';
  const keys = [...(accumulated ? [`${base}repodata/repomd.xml.key`] : []), ...(isSigned ? [`${release.url}/keys/${file.id}`] : [])];
  const name = `${release.id}-${file.id}`;
  const text = section(name, [
    ['name', `${file.id} of ${release.id}`],
    ['baseurl', base],
    ['enabled', '1'],
    ['gpgcheck', isSigned ? '1' : '0'],
    ['repo_gpgcheck', accumulated || file.trust.mode === 'signedMetadata' ? '1' : '0'],
    ...(keys.length > 0 ? [['gpgkey', keys.join(' ')] as const] : []),
    ['priority', String(BASE_PRIORITY)],
  ]);
  return { name, text };
}

/** A component of a codename as it is in a release. */
export function releasedComponent(
  release: Of,
  { owner, codename, publicPath, keyFile, distributionVersion }: Omit<CodenameRepoFile, 'siteUrl' | 'components'>,
  component: string,
): RepoSection {
  const url = `${release.url}/${publicPath}/${component}`;
  const name = `${release.id}-${owner}-${codename}-${component}`;
  const text = section(name, [
    ['name', `${codename} ${component} (${owner}) of ${release.id}`],
    ['baseurl', `${url}/$basearch/`],
    ['enabled', OPT_IN.has(component) ? '0' : '1'],
    ['gpgcheck', '1'],
    ['repo_gpgcheck', '1'],
    ['gpgkey', `${url}/${keyFile}`],
    // What is pinned goes before all of them.
    ['priority', String(componentPriority(component) + 1)],
    ...besideModules(distributionVersion),
  ]);
  return { name, text };
}

export interface ModifiedRepoFile {
  /** `starlingx/<id>`. */
  readonly id: string;
  readonly publicPath: string;
  readonly layers: readonly string[];
  readonly keyFile: string;
  /** Whether the packages are signed by keys of `keyFile`; the metadata always is. */
  readonly signed: boolean;
}

/** Modified packages go before those of the distribution that they were made from. Of several layers the newest version wins. */
const MODIFIED_PRIORITY = 20;

/** `<id>.repo` for modified packages: one section per layer. */
export function modifiedRepoFile(siteUrl: string, file: ModifiedRepoFile): string {
  return file.layers.map((layer) => modifiedSection(siteUrl, file, layer).text).join('\n');
}

/** A layer of modified packages as it is in a release. What is pinned goes before it. */
export function releasedModified({ id, url }: Of, file: ModifiedRepoFile, layer: string): RepoSection {
  return modifiedSection(url, file, layer, id);
}

function modifiedSection(base: string, file: ModifiedRepoFile, layer: string, release?: string): RepoSection {
  const url = `${base}/${file.publicPath}/${layer}`;
  const own = `${file.id.replace('/', '-')}-${layer}`;
  const name = release === undefined ? own : `${release}-${own}`;
  const text = section(name, [
    ['name', `${file.id} ${layer}${release === undefined ? '' : ` of ${release}`}`],
    ['baseurl', `${url}/$basearch/`],
    ['enabled', '1'],
    ['gpgcheck', file.signed ? '1' : '0'],
    ['repo_gpgcheck', '1'],
    ['gpgkey', `${url}/${file.keyFile}`],
    ['priority', String(MODIFIED_PRIORITY)],
  ]);
  return { name, text };
}

/**
 * `release-<id>.repo`. What is pinned comes from several upstreams: each package was verified when it was copied, and clients check it by the
 * metadata, which the mirror signs.
 */
export function releaseRepoFile({
  id,
  url,
  sections,
  hasPins,
  hasBuilds,
}: Of & { readonly sections: readonly RepoSection[]; readonly hasPins: boolean; readonly hasBuilds: boolean }): string {
  const pins = section(`${id}-pins`, [
    ['name', `pins of ${id}`],
    ['baseurl', `${url}/pins/`],
    ['enabled', '1'],
    ['gpgcheck', '0'],
    ['repo_gpgcheck', '1'],
    ['gpgkey', `${url}/pins/repodata/repomd.xml.key`],
    ['priority', '1'],
  ]);
  const note = `# Repositories of the released builds: ${url}/${BUILDS_REPO}\n`;
  return [...(hasBuilds ? [note] : []), ...(hasPins ? [pins] : []), ...sections.map(({ text }) => text)].join('\n');
}

/** Yum configuration of the builds of a release: written when it is frozen, since their repositories are known then. */
export const BUILDS_REPO = 'builds.repo';

/** A repository of a released build. */
export interface ReleasedBuildRepository {
  /** Decoded, relative to the release: `mirror/starlingx/release/3.0.1/centos/flock/outputs/RPMS/std`. */
  readonly path: string;
  /** `centos/flock`. */
  readonly of: string;
  /** In the build: `outputs/RPMS/std`. */
  readonly inBuild: string;
}

/**
 * `builds.repo` of a release. Packages of builds are signed by nobody: the metadata has their digests, and the mirror signs that; its key of then lies
 * beside it. What was built is on; sources, and what builds took from elsewhere, are off.
 */
export function releasedBuildsFile({ id, url }: Of, repositories: readonly ReleasedBuildRepository[]): string {
  return repositories
    .map(({ path, of, inBuild }) => {
      const base = `${url}/${path.split('/').map(encodeURIComponent).join('/')}/`;
      return section(`${id}-${of}-${inBuild}`.replaceAll(/[^A-Za-z0-9._:-]/g, '-'), [
        ['name', `${inBuild} of ${of}, release ${id}`],
        ['baseurl', base],
        ['enabled', /^outputs\/RPMS(?:\/|$)/.test(inBuild) ? '1' : '0'],
        ['gpgcheck', '0'],
        ['repo_gpgcheck', '1'],
        ['gpgkey', `${base}repodata/repomd.xml.key`],
        ['priority', String(RELEASED_BUILD_PRIORITY)],
      ]);
    })
    .join('\n');
}

export interface DefaultSetFile {
  /** The customer's codename, where it is a customer's set. */
  readonly own?: CodenameRepoFile;
  readonly product: CodenameRepoFile;
  readonly base: readonly CopiedRepoFile[];
}

/**
 * `<release>-<distribution><version>-<node>.repo`: everything that one kind of node gets. Where several repositories have a package, the first of
 * the customer's, the product's and the base that has it wins, whatever its version.
 */
export function defaultSetFile({ own, product, base }: DefaultSetFile): string {
  const note =
    Number(product.distributionVersion) < 8
      ? '# yum minds priorities where the package yum-plugin-priorities is installed; dnf always does.\n'
      : '';
  return `${note}${[
    ...(own === undefined ? [] : [codenameRepoFile(own)]),
    codenameRepoFile(product, own === undefined ? 0 : PRODUCT_BELOW_CUSTOMER),
    ...base.map(copiedRepoFile),
  ].join('\n')}`;
}

function section(id: string, lines: readonly (readonly [string, string])[]): string {
  return `[${id}]\n${lines.map(([key, value]) => `${key}=${value}\n`).join('')}`;
}
