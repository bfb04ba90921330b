import { Construct } from 'constructs';
import type { PackagesDefinition } from '../desired-state/definitions';
import { PUBLIC_SNAPSHOTS } from '../desired-state/model';
import { parseCodename, SNAPSHOTS, STARLINGX_KEY_FILE, STARLINGX_OWNER } from '../desired-state/mos-scheme';
import { modifiedRepoFile, type ModifiedRepoFile, releasedModified } from '../desired-state/render/repo-file';
import { definitionYaml } from '../desired-state/render/yaml';
import { architecture, id as validId } from '../desired-state/validate';
import { packagesPath } from '../starlingx/build-layout';
import { BuildArchive } from './build-archive';
import { MirrorServer } from './mirror-server';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import type { Releasable } from './private/releasable';
import { Trust } from './trust';

/** What becomes of a package that was built anew: the same name, version, release and architecture, with other content. */
export enum Rebuilt {
  /** It is refused: a version is published once. */
  REFUSED = 'refused',
  /** It is served from then on; the one before stays where it was, for clients with older metadata. */
  REPLACES = 'replaces',
}

export interface ModifiedPackagesProps {
  /** The builds that take the packages: of their branch, distribution and layers these are. */
  readonly builds: BuildArchive;
  /** `Trust.signedPackages`, or `Trust.digestsOnly` where packages are not signed: then the metadata, which the mirror signs, vouches for each. */
  readonly trust: Trust;
  /** By layer, what becomes of rebuilt packages. @default Rebuilt.REFUSED for each */
  readonly rebuilt?: Readonly<Record<string, Rebuilt>>;
  /** @default ["x86_64"] */
  readonly architectures?: readonly string[];
}

/** The layer of a branch that is built as a whole. */
const WHOLE = 'packages';

/**
 * The packages of a distribution that StarlingX modified, at `/mirror/starlingx/packages/<branch path>/<distribution>/<layer>/{x86_64,Source}/`: for each
 * layer of a branch a hosted repository that keeps every version. What is published there is operated, not declared: `mirrorctl publish`, or an UploadAccount.
 */
export class ModifiedPackages extends Construct {
  /** Decoded, relative to the site: the layers are below it. */
  readonly publicPath: string;
  /** What `mirrorctl publish` calls them: `starlingx/<id>/<layer>`, in the order of the layers. */
  readonly components: readonly string[];
  /** @internal */
  readonly releasable: readonly Releasable[];

  constructor(server: MirrorServer, id: string, props: ModifiedPackagesProps) {
    super(server, id);
    checkProps(this, props, { builds: true, trust: true, rebuilt: true, architectures: true });
    this.checkId(id);
    const { branch, branchPath, distribution, layers = [WHOLE] } = this.checkedBuilds(server, props.builds);
    this.checkTrust(props.trust);
    const replaces = this.replacing(layers, props.rebuilt);
    const architectures = props.architectures ?? ['x86_64'];
    checkList(this, 'architectures', architectures, 'architecture', architecture, 'Leave it out for x86_64.');
    const publicPath = packagesPath(branchPath, distribution);
    server.claimPath(this, publicPath);
    const definition: PackagesDefinition = {
      kind: 'packages',
      id: `${STARLINGX_OWNER}/${id}`,
      owner: STARLINGX_OWNER,
      branch,
      distribution,
      publicPath,
      components: [...layers],
      architectures: [...architectures],
      keyFile: STARLINGX_KEY_FILE,
      trust: props.trust.definition() as PackagesDefinition['trust'],
      ...(replaces.length === 0 ? {} : { replaces }),
    };
    this.publicPath = publicPath;
    this.components = layers.map((layer) => `${definition.id}/${layer}`);
    const signed = definition.trust.mode === 'signedPackages';
    const clients: ModifiedRepoFile = { id: definition.id, publicPath, layers, keyFile: STARLINGX_KEY_FILE, signed };
    this.releasable = layers.map((layer) => ({
      id: `${definition.id}/${layer}`,
      publicPath: `${publicPath}/${layer}`,
      section: (release) => releasedModified(release, clients, layer),
    }));
    const yaml = definitionYaml(definition);
    const repoFile = modifiedRepoFile(server.siteUrl, clients);
    declare(
      this,
      {
        id: `packages/${definition.id}`,
        files: {
          [`definitions/packages/${id}.yaml`]: yaml,
          [`repo-files/${id}.repo`]: repoFile,
          ...Object.fromEntries(props.trust.keys.map((key) => [`keys/${key.name}`, key.armoured])),
        },
        links: {
          ...Object.fromEntries(layers.map((layer) => [`${publicPath}/${layer}`, `repositories/${definition.id}/${layer}/current`])),
          [`${publicPath}/${SNAPSHOTS}`]: `${PUBLIC_SNAPSHOTS}/${definition.id}`,
        },
      },
      { definition: yaml, repo_file: repoFile },
    );
  }

  /** An account that uploads sees codenames and these side by side, each by its name. */
  private checkId(id: string): void {
    check(this, 'id', id, validId);
    if (parseCodename(id) === undefined) return;
    throw invalid(this, 'id', show(id), { allowed: 'it is the name of a codename of MOS', fix: 'For instance "stx-master-packages".' });
  }

  private checkedBuilds(server: MirrorServer, builds: BuildArchive): BuildArchive {
    const fix = 'Pass the BuildArchive that was declared on the same server.';
    if (!((builds as unknown) instanceof BuildArchive) || MirrorServer.of(builds) !== server)
      throw invalid(this, 'builds', show(builds), {
        allowed: 'packages are modified for the builds of a branch, a BuildArchive of this server',
        fix,
      });
    return builds;
  }

  private checkTrust(trust: Trust): void {
    if ((trust as unknown) instanceof Trust && trust.definition().mode !== 'signedMetadata') return;
    throw invalid(this, 'trust', show((trust as unknown) instanceof Trust ? trust.definition().mode : trust), {
      allowed: 'packages that are published here are signed themselves, or vouched for by the metadata that the mirror signs',
      fix: "Trust.signedPackages([key('…')]), or Trust.digestsOnly(reason).",
    });
  }

  /** The layers in which rebuilt packages replace. */
  private replacing(layers: readonly string[], rebuilt: ModifiedPackagesProps['rebuilt'] = {}): string[] {
    if (typeof (rebuilt as unknown) !== 'object' || (rebuilt as unknown) === null || Array.isArray(rebuilt))
      throw invalid(this, 'rebuilt', show(rebuilt), {
        allowed: 'an object with a rule for some layers',
        fix: `For instance { ${JSON.stringify(layers[0])}: Rebuilt.REPLACES }.`,
      });
    for (const [layer, rule] of Object.entries(rebuilt)) {
      if (!layers.includes(layer))
        throw invalid(this, 'rebuilt', show(layer), { allowed: `there are ${layers.join(', ')}`, fix: 'Name a layer of the builds.' });
      if (!Object.values(Rebuilt).includes(rule))
        throw invalid(this, `rebuilt[${JSON.stringify(layer)}]`, show(rule), {
          allowed: 'rebuilt packages are refused, or replace',
          fix: 'Rebuilt.REFUSED or Rebuilt.REPLACES.',
        });
    }
    return layers.filter((layer) => rebuilt[layer] === Rebuilt.REPLACES);
  }
}
