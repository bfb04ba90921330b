import type { IConstruct } from 'constructs';
import { sshPublicKey } from '../../desired-state/ssh-public-key';
import { user } from '../../desired-state/validate';
import { check, checkList, invalid } from './check';

/** How deploys log in, and who keeps that account. */
export interface DeployAccountProps {
  /** Deploys log in as this account. root, one that may run everything by sudo without a password, or one kept by `authorizedKeys`. @default "root" */
  readonly user?: string;
  /**
   * OpenSSH public keys (lines of `.pub` files) that may log in as `user`. With them the server keeps that account itself: made in the first
   * deploy, allowed to run mirror-host by sudo and nothing else. Keys that lock the operator out are taken back with their generation.
   * @default the account is somebody else's
   */
  readonly authorizedKeys?: readonly string[];
  /** Sets the server up where `user` cannot log in yet: root or an account with sudo without a password. @default "root" */
  readonly bootstrapUser?: string;
}

/** Validates them. Returns `authorized_keys`, or undefined when the account is not ours to keep. */
export function authorizedKeysOf(where: IConstruct, props: DeployAccountProps): string | undefined {
  check(where, 'user', props.user ?? 'root', user);
  if (props.authorizedKeys === undefined) {
    if (props.bootstrapUser !== undefined)
      throw invalid(where, 'bootstrapUser', JSON.stringify(props.bootstrapUser), {
        allowed: 'it sets up the account that authorizedKeys are for, and there are none',
        fix: 'Add authorizedKeys, or remove bootstrapUser.',
      });
    return undefined;
  }
  checkList(where, 'authorizedKeys', props.authorizedKeys, 'key', sshPublicKey, 'Without any key nobody could deploy.');
  check(where, 'bootstrapUser', props.bootstrapUser ?? 'root', user);
  const account = props.user ?? 'root';
  if (account === 'root' || account === 'mirror' || account === (props.bootstrapUser ?? 'root'))
    throw invalid(where, 'user', JSON.stringify(account), {
      allowed: 'the account of authorizedKeys is one that the server makes: not root, not mirror, not the bootstrap user',
      fix: 'For instance user: "mirror-deploy".',
    });
  checkAccountLength(where, 'user', account, 'mirror-deploy');
  return authorizedKeysText(props.authorizedKeys);
}

/** Validates the length of the name of an account that the server makes. */
export function checkAccountLength(where: IConstruct, prop: string, account: string, instance: string): void {
  if (account.length > 31)
    throw invalid(where, prop, JSON.stringify(account), {
      allowed: 'an account that the server makes has 31 characters at most',
      fix: `For instance ${prop}: "${instance}".`,
    });
}

/** The file that sshd reads. */
export function authorizedKeysText(keys: readonly string[]): string {
  return `# Declared in main.ts: changes are overwritten.\n${keys.map((key) => `${key}\n`).join('')}`;
}
