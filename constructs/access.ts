import { network } from '../desired-state/validate';
import { check, invalid } from './private/check';

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
    if (!Array.isArray(networks) || networks.length === 0) {
      throw invalid('Access.networks', 'networks', '[]', {
        allowed: 'at least one network',
        fix: 'Nobody could read; declare a network, or Access.public().',
      });
    }
    networks.forEach((value, index) => {
      check('Access.networks', `networks[${index}]`, value, network);
    });
    return new Access([...networks]);
  }

  private constructor(readonly allowedNetworks: readonly string[] | undefined) {}
}
