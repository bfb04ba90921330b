import { MirrorError } from '../../desired-state/errors';
import type { Target } from '../../desired-state/target';
import { connect, type Connection } from '../../transport/connection';
import type { Credentials } from '../../transport/credentials';

/** What a server says where the account is not there yet; to an agent with many keys, that they are too many. */
const NO_ACCOUNT = ['AUTHENTICATION_FAILED', 'TOO_MANY_KEYS'];

/** Connections to one server: as the deploy user; or, where that account does not exist yet, as the one that sets it up. */
export class Login {
  private readonly open: Connection[] = [];

  constructor(
    private readonly target: Target,
    private readonly credentials: Credentials,
  ) {}

  /** As the deploy user, else as the bootstrap user. Throws the deploy user's error when neither is let in. */
  async connect(): Promise<Connection> {
    try {
      return await this.anew();
    } catch (error) {
      const refused = error instanceof MirrorError && NO_ACCOUNT.includes(error.code);
      if (!refused || this.target.bootstrapUser === undefined) throw error;
      return this.asBootstrapUser(error);
    }
  }

  /** A new connection as the deploy user, whatever others there are. */
  async anew(): Promise<Connection> {
    return this.keep(await connect(this.target, this.credentials));
  }

  /** A connection whose user may run a shell as root. */
  async rootShell(): Promise<Connection> {
    const user = this.target.bootstrapUser ?? this.target.user;
    return this.open.find((connection) => connection.endpoint.user === user) ?? this.asBootstrapUser();
  }

  close(): void {
    for (const connection of this.open) connection.close();
  }

  private async asBootstrapUser(refusal?: MirrorError): Promise<Connection> {
    const { bootstrapUser, user } = this.target;
    if (bootstrapUser === undefined) return this.anew();
    try {
      return this.keep(await connect({ ...this.target, user: bootstrapUser }, this.credentials));
    } catch (error) {
      if (!(error instanceof MirrorError) || refusal === undefined) throw error;
      const message = `${refusal.message}; and as ${bootstrapUser}, who would set up the account ${user}: ${error.message}`;
      throw new MirrorError({ code: error.code, message, remedy: error.remedy, exitCode: error.exitCode, cause: error });
    }
  }

  private keep(connection: Connection): Connection {
    this.open.push(connection);
    return connection;
  }
}
