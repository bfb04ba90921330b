import { ExitCode, MirrorError } from '../desired-state/errors';
import { account, place, said, seconds, SILENT_INTERVALS, type Hop, type Stage, type Timeouts } from './stages';

/** What ssh2 and node:net put on their errors. */
interface LowLevelError extends Error {
  readonly code?: string | number;
  readonly level?: string;
}

/** What is known about an attempt besides its error. */
export interface Evidence {
  /** First bytes that the server sent, as Latin-1. */
  readonly received: string;
  /** Texts that the server wants users to see while they log in. */
  readonly notices: readonly string[];
  /** Keys that were offered: "ED25519 SHA256:…". */
  readonly keys: readonly string[];
  /** `MIRROR_SSH_KEY`, or the agent. */
  readonly from: 'file' | 'agent';
  readonly agentError?: Error | undefined;
}

type Make = (code: string, message: string, remedy: string, exitCode?: ExitCode) => MirrorError;

const making =
  (cause: Error): Make =>
  (code, message, remedy, exitCode = ExitCode.unreachable) =>
    new MirrorError({ code, message, remedy, exitCode, cause });

/** A stage took too long. */
export function timedOut(hop: Hop, stage: Stage, timeouts: Timeouts, received = ''): MirrorError {
  const make = making(new Error(`timeout in stage ${stage}`));
  const after = `within ${seconds(timeouts[stage])}`;
  switch (stage) {
    case 'name':
      return make('NAME_TIMEOUT', `the name ${hop.endpoint.address} was not resolved ${after}`, 'Check the DNS of this machine.');
    case 'connect':
      return make(
        'CONNECT_TIMEOUT',
        `${place(hop)} did not answer ${after}`,
        'Check that the server is up and that no firewall drops the packets.',
      );
    case 'handshake':
      return make(
        'HANDSHAKE_TIMEOUT',
        `${place(hop)} accepted the connection, but did not finish the SSH handshake ${after}: it ${received === '' ? 'said nothing' : `said ${said(received)}`}`,
        'Is sshd what listens on this port? It may be overloaded or stopped, or a proxy answers for a server that is down.',
      );
    case 'authentication':
      return make(
        'AUTHENTICATION_TIMEOUT',
        `${account(hop)} neither accepted nor refused our key ${after}`,
        'The server may wait for its directory service (LDAP, DNS), or your agent for a confirmation.',
      );
    case 'session':
      return make(
        'SESSION_TIMEOUT',
        `${account(hop)} let us in, but opened no session ${after}`,
        'The server may be overloaded. Look at its load.',
      );
  }
}

/** Turns a failure to get a TCP connection into an error that an operator can act on; `tried` are the addresses of a name. Pure. */
export function explainDialError(error: Error, hop: Hop, tried: readonly string[] = []): MirrorError {
  const make = making(error);
  const code = String((error as LowLevelError).code);
  const others = tried.filter((address) => address !== hop.endpoint.address);
  const at = others.length === 0 ? place(hop) : `${place(hop)} (${others.join(', ')})`;
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return make(
        'NAME_NOT_RESOLVED',
        `the name ${hop.endpoint.address} does not resolve (${code})`,
        code === 'ENOTFOUND'
          ? 'Check the spelling of the address, and the DNS of this machine.'
          : 'The DNS of this machine does not answer.',
      );
    case 'ECONNREFUSED':
      return make(
        'CONNECTION_REFUSED',
        `${at} refuses connections`,
        'Check that sshd runs there, that the port is right, and the firewall.',
      );
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
    case 'EACCES':
    case 'EPERM':
      return make(
        'NO_ROUTE',
        `there is no route to ${at} (${code})`,
        'Check the network of this machine, its firewall, the VPN or the jump host.',
      );
    case 'ECONNRESET':
      return make('CONNECTION_CLOSED', `${at} closed the connection at once`, 'A firewall may be in between; does sshd run there?');
    default:
      return make('SSH_FAILED', `${at} cannot be connected to: ${error.message}`, 'Try `ssh -v` to the same address.');
  }
}

/** Turns what ssh2 reports after the connection is there, and before a user is logged in, into an error. Pure. */
export function explainLoginError(error: Error, hop: Hop, stage: 'handshake' | 'authentication', evidence: Evidence): MirrorError {
  const { message, level } = error as LowLevelError;
  if (stage === 'authentication') return authenticationError(error, hop, evidence);
  const make = making(error);
  const firstLine = evidence.received.split('\n')[0] ?? '';
  if (/MaxStartups|Not allowed at this time/.test(evidence.received)) {
    return make(
      'TOO_MANY_CONNECTIONS',
      `${place(hop)} has too many connections at once: it says ${said(firstLine)}`,
      'Try again in a minute. sshd counts the connections that are not logged in yet (MaxStartups): somebody may be guessing passwords there.',
    );
  }
  const algorithms = /no matching ([a-z ]+)/i.exec(message)?.[1]?.trim();
  if (level === 'handshake' && algorithms !== undefined) {
    return make(
      'ALGORITHMS_MISMATCH',
      `${place(hop)} and we have no common ${algorithms}`,
      'The sshd there is very old, or restricted by KexAlgorithms, Ciphers or MACs: allow curve25519-sha256 and aes128-gcm@openssh.com.',
    );
  }
  if (evidence.received === '') {
    return make(
      'CONNECTION_CLOSED',
      `${place(hop)} closed the connection before it said anything`,
      'sshd may be starting or refuse this address (MaxStartups, fail2ban, hosts.deny); or something else listens on this port.',
    );
  }
  if (!/^SSH-/m.test(evidence.received)) {
    return make(
      'NOT_SSH',
      `what listens on ${place(hop)} is not an SSH server: it says ${said(firstLine)}`,
      'Check the port: sshd listens on 22 unless sshd_config says otherwise.',
    );
  }
  if (/^SSH-1\.[0-8]/m.test(evidence.received)) {
    return make('NOT_SSH', `${place(hop)} speaks SSH version 1 only: ${said(firstLine)}`, 'Update the sshd there.');
  }
  return make(
    'SSH_FAILED',
    `the SSH handshake with ${place(hop)} failed (${said(firstLine)}): ${message}`,
    'Try `ssh -v` to the same address; the network may damage the data, or the server was restarted.',
  );
}

function authenticationError(error: Error, hop: Hop, { notices, keys, from, agentError }: Evidence): MirrorError {
  const make = making(error);
  const { level, message } = error as LowLevelError;
  const who = account(hop);
  const notice = notices.length === 0 ? '' : `; the server says ${said(notices.join(' '), 240)}`;
  if (/too many authentication failures/i.test(message)) {
    return make(
      'TOO_MANY_KEYS',
      `${who} gave up after too many of the ${keys.length} keys of the agent`,
      'Name the one private key file in MIRROR_SSH_KEY, or leave only the right key in the agent (ssh-add -D, ssh-add FILE).',
      ExitCode.untrusted,
    );
  }
  if (/expired|nologin|not permitted to log in|locked|disabled|Access denied|not allowed/i.test(notices.join(' '))) {
    return make(
      'LOGIN_REFUSED',
      `the account ${who} may not log in${notice}`,
      `Look there: chage -l ${hop.endpoint.user}; passwd -S ${hop.endpoint.user}; ls /etc/nologin /run/nologin.`,
      ExitCode.untrusted,
    );
  }
  if (agentError !== undefined) {
    return make(
      'AGENT_REFUSED',
      `the agent did not sign for ${who}: ${agentError.message}`,
      'Confirm in the agent, unlock it (ssh-add -X), or name a private key file in MIRROR_SSH_KEY.',
      ExitCode.environment,
    );
  }
  if (level === 'client-authentication') {
    const offered = keys.length === 1 ? `our key ${keys[0]}` : `any of our ${keys.length} keys: ${keys.join(', ')}`;
    return make(
      'AUTHENTICATION_FAILED',
      `${who} does not accept ${offered}${notice}`,
      `Add the public key to ~${hop.endpoint.user}/.ssh/authorized_keys there (that file and its directories must be writable by nobody else), or ` +
        (from === 'file' ? 'name another private key in MIRROR_SSH_KEY.' : 'add another key to the agent (ssh-add).'),
      ExitCode.untrusted,
    );
  }
  return make(
    'CONNECTION_CLOSED',
    `${who} ended the connection during authentication: ${message}${notice}`,
    `Look at the log of sshd there (journalctl -u ssh); AllowUsers, DenyUsers or PermitRootLogin may refuse the account.`,
    ExitCode.untrusted,
  );
}

/** A jump host that cannot get on to the server. `reason` is RFC 4254's. Pure. */
export function explainForwardError(error: Error & { reason?: number | string }, hop: Hop): MirrorError {
  const make = making(error);
  const jump = hop.through?.address ?? '';
  const at = `${hop.endpoint.address} port ${hop.endpoint.port}`;
  const text = openFailure(error);
  if (error.reason === 1 || /administratively prohibited/i.test(text)) {
    return make(
      'JUMP_FORWARDING_REFUSED',
      `the jump host ${jump} does not let us connect to ${at}: ${said(text)}`,
      `Allow it in the jump host's sshd_config (AllowTcpForwarding, PermitOpen) and in authorized_keys (no restrict, no-port-forwarding).`,
    );
  }
  const see = `Look from the jump host: ssh ${jump} "nc -zv ${hop.endpoint.address} ${hop.endpoint.port}".`;
  if (/refused/i.test(text)) return make('CONNECTION_REFUSED', `${at} refuses connections from the jump host ${jump}`, see);
  if (/no route|unreachable/i.test(text)) return make('NO_ROUTE', `the jump host ${jump} has no route to ${at}`, see);
  if (/timed out/i.test(text)) return make('CONNECT_TIMEOUT', `${at} did not answer the jump host ${jump}`, see);
  if (/unknown host|resolution|not known/i.test(text))
    return make('NAME_NOT_RESOLVED', `the jump host ${jump} cannot resolve the name ${hop.endpoint.address}`, see);
  return make('JUMP_FAILED', `the jump host ${jump} cannot reach ${at}: ${said(text)}`, see);
}

/** The error for a session that the server does not open. Pure. */
export function explainSessionError(error: Error, hop: Hop): MirrorError {
  const text = openFailure(error);
  return new MirrorError({
    code: 'SESSION_REFUSED',
    message: `${account(hop)} let us in, but runs no command: ${said(text)}`,
    remedy: "Look at MaxSessions and PermitTTY in its sshd_config, and at the key's options in authorized_keys.",
    exitCode: ExitCode.environment,
    cause: error,
  });
}

/** The error for a connection that ended while a command was running. */
export function connectionLost(hop: Hop, timeouts: Pick<Timeouts, 'keepAlive'>, cause?: Error): MirrorError {
  const silent = /keepalive timeout/i.test(cause?.message ?? '');
  const how = silent ? `no answer for ${seconds(timeouts.keepAlive * SILENT_INTERVALS)}` : cause?.message;
  return new MirrorError({
    code: 'CONNECTION_LOST',
    message: `the connection to ${place(hop)} was lost while a command was running${how === undefined ? '' : ` (${how})`}`,
    remedy: 'The server finishes or takes back what it was doing by itself. Deploy again: it converges.',
    exitCode: ExitCode.unreachable,
    cause,
  });
}

/** What the server says of a channel that it does not open. */
function openFailure(error: Error): string {
  return error.message.replace(/^\(SSH\) Channel open failure: ?/, '');
}
