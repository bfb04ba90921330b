import { ExitCode, MirrorError } from '../desired-state/errors';
import type { Endpoint } from '../desired-state/target';

/** What ssh2 and node:net put on their errors. */
interface LowLevelError extends Error {
  readonly code?: string;
  readonly level?: string;
}

/** Turns what ssh2 or the socket reports while connecting to `endpoint` into an error that an operator can act on. Pure. */
export function explainConnectError(error: Error, endpoint: Endpoint): MirrorError {
  const { code, level, message } = error as LowLevelError;
  const place = `${endpoint.address} port ${endpoint.port}`;
  const make = (name: string, text: string, remedy: string, exitCode: ExitCode = ExitCode.unreachable) =>
    new MirrorError({ code: name, message: text, remedy, exitCode, cause: error });

  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return make(
        'NAME_NOT_RESOLVED',
        `the name ${endpoint.address} does not resolve (${code})`,
        'Check the address of the server and the DNS of this machine.',
      );
    case 'ECONNREFUSED':
      return make(
        'CONNECTION_REFUSED',
        `${place} refuses connections`,
        'Check that sshd runs there, that the port is right, and the firewall.',
      );
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
      return make('NO_ROUTE', `there is no route to ${place} (${code})`, 'Check the network of this machine, the VPN or the jump host.');
    case 'ETIMEDOUT':
      return timeout();
    case undefined:
    default:
      break;
  }
  if (level === 'client-timeout') return timeout();
  if (level === 'client-authentication') {
    return make(
      'AUTHENTICATION_FAILED',
      `${endpoint.user}@${place} does not accept our key`,
      `Add the public key to ~${endpoint.user}/.ssh/authorized_keys on the server, or name another private key in MIRROR_SSH_KEY.`,
      ExitCode.untrusted,
    );
  }
  if (level === 'agent') {
    return make(
      'AGENT_FAILED',
      `the SSH agent at SSH_AUTH_SOCK failed: ${message}`,
      'Start an agent and add a key (ssh-add), or name a private key file in MIRROR_SSH_KEY.',
      ExitCode.environment,
    );
  }
  if (code === 'ECONNRESET' || code === 'EPIPE' || /before handshake|Connection lost/i.test(message)) {
    return make(
      'CONNECTION_LOST',
      `${place} closed the connection before it was set up`,
      'sshd may limit connections (MaxStartups), be restarting, or something else listens on this port. Try again.',
    );
  }
  return make(
    'SSH_FAILED',
    `SSH to ${place} failed: ${message}`,
    'Try `ssh -v` to the same address; algorithms or the protocol may not match.',
  );

  function timeout(): MirrorError {
    return make(
      'CONNECT_TIMEOUT',
      `${place} did not answer in time`,
      'Check that the server is up and that no firewall drops the packets.',
    );
  }
}

/** The error for a connection that ended while a command was running. */
export function connectionLost(endpoint: Endpoint, cause?: Error): MirrorError {
  return new MirrorError({
    code: 'CONNECTION_LOST',
    message: `the connection to ${endpoint.address} was lost while a command was running${cause === undefined ? '' : ` (${cause.message})`}`,
    remedy: 'The server finishes or takes back what it was doing by itself. Deploy again: it converges.',
    exitCode: ExitCode.unreachable,
    cause,
  });
}

/** The error when `sudo -n` refused, or undefined when it did not. Pure. */
export function explainSudo(endpoint: Endpoint, exitCode: number | null, stderr: string): MirrorError | undefined {
  if (exitCode === 0) return undefined;
  const lines = stderr.split('\n').filter((l) => /^sudo: |sudo: (command )?not found|is not in the sudoers file/.test(l));
  // That sudo cannot resolve its own host's name is a warning, printed before the reason.
  const line = lines.filter((l) => !l.includes('unable to resolve host')).pop();
  if (line === undefined) return undefined;
  return new MirrorError({
    code: 'SUDO_REFUSED',
    message: `${endpoint.user}@${endpoint.address} may not become root: ${line.trim()}`,
    remedy: `Deploys need root without a password: add "${endpoint.user} ALL=(root) NOPASSWD: ALL" to /etc/sudoers.d/mirror, or deploy as root.`,
    exitCode: ExitCode.environment,
  });
}
