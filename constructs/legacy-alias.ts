import { Construct } from 'constructs';
import type { AliasDefinition } from '../desired-state/definitions';
import { aliasLocations, legacyLog } from '../desired-state/render/alias';
import { definitionYaml } from '../desired-state/render/yaml';
import { id as validId, legacyPath } from '../desired-state/validate';
import { MirrorServer } from './mirror-server';
import { MosCodename } from './mos-codename';
import { check, checkMade, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';

/** The names that components had before there were codenames. */
const OLD_NAMES: Readonly<Record<string, string>> = { proposed: 'cr', security: 'security', updates: 'updates' };

export interface LegacyAliasProps {
  /** Old directory above the repositories: `mos/centos-6` for `/mos/centos-6/updates/…`. */
  readonly path: string;
  /** Where the old URLs lead. Who may read that may read them. */
  readonly to: MosCodename;
  /** Old name → component. @default proposed is cr, security is security, updates is updates */
  readonly components?: Readonly<Record<string, string>>;
  /** What answers where an old URL names no architecture. @default the codename's first */
  readonly architecture?: string;
}

/**
 * Old URLs of a codename, which go on answering: `/<path>/<old name>/…` with or without an architecture below, without a redirect. Each request for
 * one is logged: `mirrorctl legacy` says who still uses them.
 */
export class LegacyAlias extends Construct {
  constructor(server: MirrorServer, id: string, props: LegacyAliasProps) {
    super(server, id);
    checkProps(this, props, { path: true, to: true, components: true, architecture: true });
    check(this, 'id', id, validId);
    check(this, 'path', props.path, legacyPath);
    const { to } = props;
    const found = (to as unknown) instanceof MosCodename && MirrorServer.of(to) === MirrorServer.of(this);
    checkMade(this, 'to', to, found, { allowed: 'a MosCodename of the same server', fix: 'Declare it before, and pass it.' });
    const components = this.components(props);
    const { publicPath, keyFile, architectures } = to.definition;
    const [usual] = architectures as [string];
    const first = props.architecture ?? usual;
    if (!architectures.includes(first))
      throw invalid(this, 'architecture', show(first), {
        allowed: `${to.codename} has ${architectures.join(', ')}`,
        fix: 'Use one of them, or leave it out.',
      });
    for (const name of Object.keys(components)) MirrorServer.of(this).claimPath(this, `${props.path}/${name}`);
    const definition: AliasDefinition = {
      kind: 'alias',
      id,
      path: props.path,
      codename: to.definition.id,
      components,
      architecture: first,
    };
    const yaml = definitionYaml(definition);
    const nginx = aliasLocations({
      id,
      directories: Object.entries(components).map(([name, component]) => ({
        path: `${props.path}/${name}`,
        target: `${publicPath}/${component}`,
      })),
      architectures: [first, ...architectures.filter((one) => one !== first)],
      keyFile,
    });
    const log = legacyLog();
    MirrorServer.of(this).needs(['logrotate'], {});
    declare(
      this,
      {
        id: `alias/${id}`,
        files: {
          [`definitions/aliases/${id}.yaml`]: yaml,
          [`nginx/locations/alias+${id}.conf`]: nginx,
          'nginx/locations/legacy-log.conf': log,
        },
        links: {},
      },
      { definition: yaml, nginx, log },
    );
  }

  private components({ to, components = OLD_NAMES }: LegacyAliasProps): Readonly<Record<string, string>> {
    const fix = "For instance { proposed: 'cr', updates: 'updates' }.";
    const isObject = typeof (components as unknown) === 'object' && (components as unknown) !== null && !Array.isArray(components);
    if (!isObject || Object.keys(components).length === 0)
      throw invalid(this, 'components', show(components), { allowed: 'at least one old name and its component', fix });
    for (const [name, component] of Object.entries(components)) {
      check(this, `components, old name`, name, legacyPath);
      if (!to.definition.components.includes(component))
        throw invalid(this, `components.${name}`, show(component), {
          allowed: `${to.codename} has ${to.definition.components.join(', ')}`,
          fix: 'Name one of them, or leave this old name out.',
        });
    }
    return { ...components };
  }
}
