import { Construct } from 'constructs';
import { PRODUCT_OWNER } from '../desired-state/mos-scheme';
import { defaultSetFile } from '../desired-state/render/repo-file';
import { definitionYaml } from '../desired-state/render/yaml';
import { Customer } from './customer';
import { MirrorServer } from './mirror-server';
import { MosCodename } from './mos-codename';
import { checkList, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';
import { RpmRepository } from './rpm-repository';

export interface DefaultSetProps {
  /** Whose components the nodes get. Its release, distribution and variant say which nodes: Fuel master nodes where that is `fuel`, else OpenStack nodes. */
  readonly codename: MosCodename;
  /** Of the product's set: copies of the distribution that the nodes are installed from. @default none */
  readonly base?: readonly RpmRepository[];
  /** Of a customer's set: the product's set that the customer's codename is on top of. */
  readonly on?: DefaultSet;
}

/**
 * The repositories that one kind of node gets, as one file for yum and dnf: `/repo-files/7.0-centos6-openstack.repo` of the product, and below the
 * customer's prefix with the customer's components before the product's.
 */
export class DefaultSet extends Construct {
  /** For instance `7.0-centos6-fuel-master`. */
  readonly setName: string;
  private readonly codename: MosCodename;
  private readonly base: readonly RpmRepository[];

  constructor(scope: MirrorServer | Customer, id: string, props: DefaultSetProps) {
    super(scope, id);
    const server = MirrorServer.of(this);
    checkProps(this, props, { codename: true, base: true, on: true });
    const owner = scope instanceof Customer ? scope.ownerId : PRODUCT_OWNER;
    const { codename } = props;
    if (!((codename as unknown) instanceof MosCodename) || codename.definition.owner !== owner || MirrorServer.of(codename) !== server)
      throw invalid(this, 'codename', show(codename), {
        allowed:
          scope instanceof Customer
            ? `a MosCodename of the customer ${owner}`
            : "a MosCodename of the product: one that is the server's own",
        fix: 'Declare it before, on the same customer or server, and pass it.',
      });
    this.codename = codename;
    const { release, distribution, version, variant } = codename.definition;
    this.setName = `${release}-${distribution}${version}-${variant === undefined ? 'openstack' : 'fuel-master'}`;
    const product = scope instanceof Customer ? this.productSet(props) : this;
    this.base = product === this ? this.baseOf(props) : product.base;
    const text = defaultSetFile({
      ...(product === this ? {} : { own: codename.clients }),
      product: product.codename.clients,
      base: product.base.map(({ clients }) => clients),
    });
    const yaml = definitionYaml({
      kind: 'set',
      id: `${owner}/${this.setName}`,
      codenames: [...(product === this ? [] : [codename.definition.id]), product.codename.definition.id],
      base: product.base.map(({ clients }) => clients.id),
    });
    const file = `${this.setName}.repo`;
    declare(
      this,
      {
        id: `set/${owner}/${this.setName}`,
        files: { [scope instanceof Customer ? `owners/${owner}/${file}` : `repo-files/${file}`]: text },
        links: {},
      },
      { definition: yaml, repo_file: text },
    );
  }

  private baseOf({ base, on }: DefaultSetProps): readonly RpmRepository[] {
    if (on !== undefined)
      throw invalid(this, 'on', show(on), {
        allowed: "only a customer's set is on top of another",
        fix: 'Remove it, or declare the set on the customer.',
      });
    if (base === undefined) return [];
    const fix = 'Pass the RpmRepository of the same server; leave base out for none.';
    checkList(this, 'base', base, 'RpmRepository', () => undefined, fix);
    base.forEach((one: unknown, index) => {
      if (!(one instanceof RpmRepository) || MirrorServer.of(one) !== MirrorServer.of(this))
        throw invalid(this, `base[${index}]`, show(one), { allowed: 'an RpmRepository of the same server', fix });
    });
    return base;
  }

  private productSet({ base, on }: DefaultSetProps): DefaultSet {
    if (base !== undefined)
      throw invalid(this, 'base', show(base), {
        allowed: "a customer's nodes have the base of the product's set",
        fix: 'Remove it; declare base on the set that `on` names.',
      });
    const isProducts = (on as unknown) instanceof DefaultSet && on?.codename.definition.owner === PRODUCT_OWNER && on !== undefined;
    if (!isProducts || MirrorServer.of(on) !== MirrorServer.of(this))
      throw invalid(this, 'on', show(on), {
        allowed: "a customer's set is on top of the product's DefaultSet of the same server",
        fix: 'Declare that before, on the server, and pass it.',
      });
    if (on.setName !== this.setName)
      throw invalid(this, 'on', JSON.stringify(on.setName), {
        allowed: `${this.codename.codename} is for ${this.setName}`,
        fix: 'Pass the set for the same release, distribution and kind of node.',
      });
    return on;
  }
}
