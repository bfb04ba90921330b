import { HttpBackend, LocalBackend, PgBackend, S3Backend, type TerraformBackend } from 'cdktf';
import type { Construct } from 'constructs';
import { stateLocation, withoutCredentials, type StateLocation } from '../desired-state/state-location';
import { check, invalid, show } from './private/check';

/** Where Terraform keeps what it knows about a server. It holds no secret. */
export class State {
  /**
   * A file (relative to the project, or absolute), or
   * - `https://state.example.org/mirror`: any server that speaks Terraform's HTTP protocol, with LOCK and UNLOCK; GitLab's own state too
   * - `s3://bucket/key?region=…`: locked by a lock file (Terraform 1.10 or later), or by `dynamodb_table=…`
   * - `postgres://host/database?schema_name=…`: locked by PostgreSQL
   *
   * Credentials come from the environment, as `docs/how-to/remote-state.md` lists; a text that holds some is refused.
   */
  static from(text: string): State {
    check('State.from', 'state', text, () => undefined);
    const location = stateLocation(text);
    if ('allowed' in location)
      throw invalid('State.from', 'state', show(typeof text === 'string' ? withoutCredentials(text) : text), location);
    return new State(location);
  }

  private constructor(private readonly location: StateLocation) {}

  /**
   * Whether it is a file that another checkout does not have.
   * @internal
   */
  get inCheckout(): boolean {
    return this.location.kind === 'local' && this.location.inCheckout;
  }

  /** @internal */
  declareIn(stack: Construct): TerraformBackend {
    const { location } = this;
    switch (location.kind) {
      case 'local':
        return new LocalBackend(stack, { path: location.path });
      case 'http':
        return new HttpBackend(stack, location.config);
      case 'pg':
        return new PgBackend(stack, location.config);
      case 's3': {
        const backend = new S3Backend(stack, location.config);
        // cdktf 0.21 has no prop for it.
        if (location.useLockfile) backend.addOverride('use_lockfile', true);
        return backend;
      }
    }
  }
}
