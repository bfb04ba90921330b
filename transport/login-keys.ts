/** What we can log in with, found out before anything is sent: mistakes in it are the operator's machine's, not the server's. */
import { statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { OpenSSHAgent, utils, type BaseAgent, type ParsedKey } from 'ssh2';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { fingerprintOf } from '../desired-state/host-key';
import type { Credentials } from './credentials';
import { keyProblem } from './private-key';

/** Credentials that were looked at. */
export interface Login {
  readonly method: { readonly privateKey: Buffer } | { readonly agent: BaseAgent };
  readonly from: 'file' | 'agent';
  /** For errors: "ssh-ed25519 SHA256:…". */
  readonly keys: readonly string[];
}

/**
 * Reads the private key, or asks the agent for its keys. Throws MirrorError when neither can log in anywhere.
 *
 * @param agentTimeout milliseconds that an agent may take to list its keys
 */
export async function prepareLogin(credentials: Credentials, agentTimeout: number): Promise<Login> {
  if ('agent' in credentials) {
    const agent = new PatientAgent(credentials.agent);
    const keys = await agentKeys(agent, credentials.agent, agentTimeout);
    return { method: { agent }, from: 'agent', keys: keys.map(describe) };
  }
  const { privateKey, path } = credentials;
  const parsed = utils.parseKey(privateKey);
  const problem = keyProblem(privateKey.toString('latin1'), parsed instanceof Error ? parsed : undefined, path);
  if (problem !== undefined) throw problem;
  return { method: { privateKey }, from: 'file', keys: [parsed].flat().map((key) => describe(key as ParsedKey)) };
}

function describe(key: ParsedKey): string {
  return `${key.type} ${fingerprintOf(key.getPublicSSH())}`;
}

/** An agent that is asked and never answers does not keep our process from ending. */
class PatientAgent extends OpenSSHAgent {
  override getStream(callback: Parameters<OpenSSHAgent['getStream']>[0]): void {
    super.getStream((error, stream) => {
      (stream as Socket | undefined)?.unref();
      callback(error, stream);
    });
  }
}

async function agentKeys(agent: OpenSSHAgent, path: string, limit: number): Promise<ParsedKey[]> {
  const fault = whyNoSocket(path);
  if (fault !== undefined) throw agentFault('AGENT_UNREACHABLE', `SSH_AUTH_SOCK names ${path}, which ${fault}`);
  const keys = await new Promise<ParsedKey[]>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(agentFault('AGENT_UNREACHABLE', `the SSH agent at ${path} does not answer within ${limit / 1000} s`)),
      limit,
    );
    agent.getIdentities((error, found) => {
      clearTimeout(timer);
      if (error) return reject(agentFault('AGENT_UNREACHABLE', `nothing answers at SSH_AUTH_SOCK ${path}: ${error.message}`, error));
      resolve((found ?? []).map((key) => utils.parseKey(key as never)).filter((key): key is ParsedKey => !(key instanceof Error)));
    });
  });
  if (keys.length === 0) throw agentFault('AGENT_EMPTY', `the SSH agent at ${path} has no key that we can use, or is locked`);
  return keys;
}

function whyNoSocket(path: string): string | undefined {
  try {
    return statSync(path).isSocket() ? undefined : 'is not a socket';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'does not exist' : `cannot be used (${code})`;
  }
}

function agentFault(code: string, message: string, cause?: unknown): MirrorError {
  const remedy =
    code === 'AGENT_EMPTY'
      ? 'Add a key (ssh-add FILE), unlock the agent (ssh-add -X), or name a private key file in MIRROR_SSH_KEY.'
      : 'Start an agent (eval "$(ssh-agent)"; ssh-add), or name a private key file in MIRROR_SSH_KEY.';
  return new MirrorError({ code, message, remedy, exitCode: ExitCode.environment, cause });
}
