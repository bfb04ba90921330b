import { environmentVariable } from '../desired-state/validate';
import { check } from './private/check';

/**
 * A secret, by name only: its content never enters the synthesized JSON, the plan or the state. It travels over SSH when a plan is applied.
 */
export class Secret {
  /**
   * The content of the environment variable `name`, or of the file that `<name>_FILE` names, on the machine that applies.
   */
  static fromEnvironment(name: string): Secret {
    check('Secret.fromEnvironment', 'name', name, environmentVariable);
    return new Secret(name);
  }

  private constructor(readonly environmentVariable: string) {}
}
