/** Users and hashed passwords as nginx reads them. Pure: a fault names a line and never what is in it. */

/** nginx computes the hash at every request, in the process that serves: what takes longer than some milliseconds would stop the others. */
const HASHES = [
  /^\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}$/,
  /^\$5\$(rounds=[1-9]\d{3,4}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}$/,
  /^\$6\$(rounds=[1-9]\d{3,4}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}$/,
  /^\$2[aby]\$(0[4-9]|10)\$[./A-Za-z0-9]{53}$/,
];
const USER = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$/;
const MAX_ROUNDS = 20_000;

/** What is wrong with a file of `user:hash` lines, as a phrase; undefined for a good one. */
export function htpasswdFault(text: string): string | undefined {
  const users = new Set<string>();
  for (const [index, full] of text.split('\n').entries()) {
    const line = full.replace(/\r$/, '');
    if (line === '' || line.startsWith('#')) continue;
    const fault = lineFault(line, users);
    if (fault !== undefined) return `line ${index + 1} ${fault}`;
  }
  return users.size === 0 ? 'it names no user' : undefined;
}

function lineFault(line: string, users: Set<string>): string | undefined {
  const [user = '', hash = '', ...rest] = line.split(':');
  if (!USER.test(user)) return 'has no name of a user before its colon (1 to 64 letters, digits and . _ @ + -)';
  if (users.has(user)) return 'has a user that has a line already';
  users.add(user);
  if (hash === '') return 'has no password';
  if (rest.length > 0) return 'has more than a user and a hash';
  if (!HASHES.some((known) => known.test(hash)) || Number(/rounds=(\d+)/.exec(hash)?.[1] ?? 0) > MAX_ROUNDS)
    return 'has a password that is not hashed, or by a method that is too weak, too slow, or unknown to nginx';
  return undefined;
}

/** What makes a good line. */
export const HTPASSWD_REMEDY = `Write lines of user:hash, with hashes by "openssl passwd -6" (at most ${MAX_ROUNDS} rounds) or "-apr1", or "htpasswd -B -C 10".`;
