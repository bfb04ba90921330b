/** What we can log in with, found out before anything is sent: mistakes in it are the operator's machine's, not the server's. */
import { statSync } from 'node:fs';
import { createAgent, utils, type ParsedKey } from 'ssh2';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { fingerprintOf } from '../desired-state/host-key';
import type { Credentials } from './credentials';
import { keyProblem } from './private-key';

/** Credentials that were looked at. */
export interface Login {
  readonly method: { readonly privateKey: Buffer } | { readonly agent: string };
  readonly from: 'file' | 'agent';
  /** For errors: "ssh-ed25519 SHA256:…". */
  readonly keys: readonly string[];
}

/** Milliseconds that an agent may take to list its keys. */
export const AGENT_TIMEOUT = 10_000;

/** Reads the private key, or asks the agent for its keys. Throws MirrorError when neither can log in anywhere. */
export async function prepareLogin(credentials: Credentials, agentTimeout = AGENT_TIMEOUT): Promise<Login> {
  if ('agent' in credentials) {
    const keys = await agentKeys(credentials.agent, agentTimeout);
    return { method: { agent: credentials.agent }, from: 'agent', keys: keys.map(describe) };
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

async function agentKeys(path: string, limit: number): Promise<ParsedKey[]> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isSocket() !== true) {
    throw agentFault(
      'AGENT_UNREACHABLE',
      `SSH_AUTH_SOCK names ${path}, which ${stats === undefined ? 'does not exist' : 'is not a socket'}`,
    );
  }
  const keys = await new Promise<ParsedKey[]>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(agentFault('AGENT_UNREACHABLE', `the SSH agent at ${path} does not answer within ${limit / 1000} s`)),
      limit,
    );
    createAgent(path).getIdentities((error, found) => {
      clearTimeout(timer);
      if (error) return reject(agentFault('AGENT_UNREACHABLE', `nothing answers at SSH_AUTH_SOCK ${path}: ${error.message}`, error));
      resolve((found ?? []).map((key) => utils.parseKey(key as never)).filter((key): key is ParsedKey => !(key instanceof Error)));
    });
  });
  if (keys.length === 0) throw agentFault('AGENT_EMPTY', `the SSH agent at ${path} has no key that we can use, or is locked`);
  return keys;
}

function agentFault(code: string, message: string, cause?: unknown): MirrorError {
  const remedy =
    code === 'AGENT_EMPTY'
      ? 'Add a key (ssh-add FILE), unlock the agent (ssh-add -X), or name a private key file in MIRROR_SSH_KEY.'
      : 'Start an agent (eval "$(ssh-agent)"; ssh-add), or name a private key file in MIRROR_SSH_KEY.';
  return new MirrorError({ code, message, remedy, exitCode: ExitCode.environment, cause });
}
