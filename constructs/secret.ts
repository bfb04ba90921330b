import type { SecretSource } from '../desired-state/target';
import { environmentVariable, secretFile, secretVersion } from '../desired-state/validate';
import { check, checkProps } from './private/check';

/** What a secret may say about itself. */
export interface SecretOptions {
  /** Any short text; change it with the content, so that the plan of a rotation shows it. @default "1" */
  readonly version?: string;
}

/**
 * A secret, by name only: its content never enters the synthesized JSON, the plan or the state. It travels over SSH when a plan is applied,
 * and when one is made on a machine that has it: the server then says whether it is the deployed one.
 */
export class Secret {
  /**
   * The content of the environment variable `name`, or of the file that `<name>_FILE` names, on the machine that applies.
   */
  static fromEnvironment(name: string, options: SecretOptions = {}): Secret {
    check('Secret.fromEnvironment', 'name', name, environmentVariable);
    return new Secret({ environmentVariable: name }, versionOf('Secret.fromEnvironment', options));
  }

  /** The content of a file on the machine that applies: an absolute path, or one below the home directory (`~/…`). */
  static fromFile(path: string, options: SecretOptions = {}): Secret {
    check('Secret.fromFile', 'path', path, secretFile);
    return new Secret({ file: path }, versionOf('Secret.fromFile', options));
  }

  private constructor(
    /** Where the machine that applies has it. */
    readonly source: SecretSource,
    readonly version: string,
  ) {}
}

function versionOf(where: string, options: SecretOptions): string {
  checkProps(where, options, { version: true }, 'options');
  check(where, 'version', options.version ?? '1', secretVersion);
  return options.version ?? '1';
}
