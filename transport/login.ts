import type { Duplex } from 'node:stream';
import { Client, type ServerHostKeyAlgorithm } from 'ssh2';
import { explainLoginError, timedOut } from './errors';
import { describeKey, type OfferedKey } from './fingerprint';
import type { Login } from './login-keys';
import { SILENT_INTERVALS, type Hop, type Timeouts } from './stages';

/** Logged in; or the host key that was refused, or none when the server has no key of these types. */
export type Attempt = { readonly client: Client } | { readonly offered: OfferedKey | undefined };

/** Bytes that are kept of what a server says first, to tell what it is. */
const GREETING = 1024;

/** Key exchange, check of the host key, and authentication over a stream. Rejects with MirrorError. */
export function logIn(stream: Duplex, hop: Hop, login: Login, algorithms: ServerHostKeyAlgorithm[], timeouts: Timeouts): Promise<Attempt> {
  const client = new Client();
  return new Promise((resolve, reject) => {
    let stage: 'handshake' | 'authentication' = 'handshake';
    let refused: OfferedKey | undefined;
    let received = '';
    let agentError: Error | undefined;
    const notices: string[] = [];
    const listen = (chunk: Buffer): void => {
      received += chunk.subarray(0, GREETING - received.length).toString('latin1');
      if (received.length >= GREETING) stream.off('data', listen);
    };
    const end = (act: () => void): void => {
      clearTimeout(timer);
      stream.off('data', listen);
      for (const event of ['ready', 'handshake', 'banner', 'error', 'close']) client.removeAllListeners(event);
      // A connection that is given up may report more than once; what counts was the first.
      client.on('error', () => undefined);
      act();
    };
    const giveUp = (act: () => void): void =>
      end(() => {
        client.destroy();
        stream.destroy();
        act();
      });
    const tooLate = (): void => giveUp(() => reject(timedOut(hop, stage, timeouts, received)));
    let timer = setTimeout(tooLate, timeouts.handshake);

    client.on('handshake', () => {
      if (stage === 'authentication') return;
      stage = 'authentication';
      clearTimeout(timer);
      timer = setTimeout(tooLate, timeouts.authentication);
    });
    client.on('banner', (text) => notices.push(text));
    client.once('ready', () =>
      end(() => {
        client.removeAllListeners('error');
        resolve({ client });
      }),
    );
    const failed = (error: Error & { level?: string }): void => {
      if (error.level === 'agent') {
        // One key was not signed with; ssh2 tries the next, and reports in the end.
        agentError = error;
        return;
      }
      giveUp(() => {
        if (refused !== undefined) return resolve({ offered: refused });
        if (/no matching host key format/i.test(error.message)) return resolve({ offered: undefined });
        reject(explainLoginError(error, hop, stage, { received, notices, keys: login.keys, from: login.from, agentError }));
      });
    };
    client.on('error', failed);
    client.once('close', () => failed(new Error('the connection was closed')));

    stream.on('data', listen);
    client.connect({
      sock: stream,
      username: hop.endpoint.user,
      readyTimeout: 0,
      keepaliveInterval: timeouts.keepAlive,
      // ssh2 gives up one interval after the last message that it allows to go unanswered.
      keepaliveCountMax: SILENT_INTERVALS - 1,
      algorithms: { serverHostKey: algorithms },
      hostVerifier: (key: Buffer) => {
        const offered = describeKey(key);
        if (hop.endpoint.hostKeys.includes(offered.fingerprint)) return true;
        refused = offered;
        return false;
      },
      ...login.method,
    });
  });
}
