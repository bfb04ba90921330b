import { ExitCode, MirrorError } from '../desired-state/errors';

/**
 * What keeps a key file from being used, by its text and by what ssh2 says of it; undefined for a good one. Pure.
 *
 * @param path of the file, where it came from one
 */
export function keyProblem(text: string, parseError: Error | undefined, path: string | undefined): MirrorError | undefined {
  const name = path === undefined ? 'the private key in MIRROR_SSH_KEY' : `MIRROR_SSH_KEY names ${path}, which`;
  const make = (code: string, fault: string, remedy: string): MirrorError =>
    new MirrorError({ code, message: `${name} ${fault}`, remedy, exitCode: ExitCode.environment, cause: parseError });
  const file = path ?? 'KEY';
  if (text.trim() === '') return make('SSH_KEY_UNUSABLE', 'is empty', 'Name a private key file, for instance ~/.ssh/id_ed25519.');
  if (/^\s*PuTTY-User-Key/.test(text)) {
    return make(
      'SSH_KEY_PUTTY',
      'is a PuTTY key',
      `Convert it: puttygen ${file} -O private-openssh -o ${file}.openssh; then name that file.`,
    );
  }
  if (
    /^\s*(ssh-(ed25519|rsa|dss)|ecdsa-sha2-\S+|sk-\S+) AAAA/.test(text) ||
    /^\s*---- BEGIN SSH2 PUBLIC KEY|BEGIN (RSA )?PUBLIC KEY/.test(text)
  ) {
    return make(
      'SSH_KEY_PUBLIC',
      'is a public key, not a private one',
      path?.endsWith('.pub') ? `Name its other half: ${path.slice(0, -4)}.` : 'Name the file without .pub.',
    );
  }
  const message = parseError?.message ?? '';
  if (/encrypted|passphrase/i.test(message) || /^-----BEGIN ENCRYPTED PRIVATE KEY/m.test(text)) {
    return make('SSH_KEY_ENCRYPTED', 'has a passphrase', `Put it into the agent (ssh-add ${file}) and unset MIRROR_SSH_KEY.`);
  }
  if (parseError === undefined) return undefined;
  return make(
    'SSH_KEY_UNUSABLE',
    `is no private key that we can use: ${message}`,
    'It must be an OpenSSH or PEM private key of type ed25519, ecdsa or rsa; `ssh-keygen -y -f` of it must print its public key.',
  );
}
