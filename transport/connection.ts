import type { ServerHostKeyAlgorithm } from 'ssh2';
import { HOST_KEY_GROUPS } from '../desired-state/host-key';
import type { Target } from '../desired-state/target';
import type { Credentials } from './credentials';
import { dial } from './dial';
import { hostKeyError, type OfferedKey } from './fingerprint';
import { logIn } from './login';
import { prepareLogin, type Login } from './login-keys';
import { Connection } from './session';
import { TIMEOUTS, type Hop, type Timeouts } from './stages';

export { Connection, type ExecOptions, type ExecResult } from './session';

/**
 * Connects to a target, through its jump host when it has one; every hop must show one of its pinned host keys. Throws MirrorError that names
 * the hop and the stage.
 */
export async function connect(target: Target, credentials: Credentials, timeouts: Timeouts = TIMEOUTS): Promise<Connection> {
  const login = await prepareLogin(credentials, timeouts.name);
  const { jumpHost } = target;
  if (jumpHost === undefined) return connectTo({ endpoint: target }, login, timeouts, undefined);
  const jump = await connectTo({ endpoint: jumpHost, isJumpHost: true }, login, timeouts, undefined);
  try {
    return await connectTo({ endpoint: target, through: jumpHost }, login, timeouts, jump);
  } catch (error) {
    jump.close();
    throw error;
  }
}

async function connectTo(hop: Hop, login: Login, timeouts: Timeouts, via: Connection | undefined): Promise<Connection> {
  const offered: OfferedKey[] = [];
  // The first attempt leaves the choice to the server; the next ones ask for one group of key types each.
  for (const algorithms of [HOST_KEY_GROUPS.flat(), ...HOST_KEY_GROUPS] as readonly (readonly ServerHostKeyAlgorithm[])[]) {
    const stream = via === undefined ? await dial(hop, timeouts) : await via.forward(hop);
    const attempt = await logIn(stream, hop, login, [...algorithms], timeouts);
    if ('client' in attempt) return new Connection(attempt.client, hop, timeouts, via);
    if (attempt.offered !== undefined && !offered.some((k) => k.fingerprint === attempt.offered?.fingerprint)) {
      offered.push(attempt.offered);
    }
  }
  throw hostKeyError(hop, offered);
}
