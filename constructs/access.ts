import { network } from '../desired-state/validate';
import { checkList } from './private/check';

/** Who may read a customer's content. One list per customer: every codename, alias and snapshot below its prefix obeys it. */
export class Access {
  /** Everyone. */
  static public(): Access {
    return new Access(undefined);
  }

  /**
   * Only clients from these networks.
   *
   * @param networks IPv4 or IPv6 addresses, or networks in CIDR notation
   */
  static networks(networks: readonly string[]): Access {
    checkList(
      'Access.networks',
      'networks',
      networks,
      'network',
      network,
      'Without a network nobody could read; declare one, or Access.public().',
    );
    return new Access([...networks]);
  }

  private constructor(readonly allowedNetworks: readonly string[] | undefined) {}
}
