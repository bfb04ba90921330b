/** What strace says of a run of mirror-host, as calls that can be struck. Pure. */

/** Calls that may change the server. `clone` starts another program. */
export const MUTATING = [
  'openat', 'write', 'writev', 'pwrite64', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'mkdir', 'mkdirat', 'symlink', 'symlinkat',
  'link', 'linkat', 'chmod', 'fchmod', 'fchmodat', 'chown', 'fchown', 'lchown', 'fchownat', 'ftruncate', 'truncate', 'fsync', 'fdatasync', 'clone', 'vfork',
] as const; // prettier-ignore

/** One call that changed the server. */
export interface Call {
  readonly name: string;
  /** The path that it changed, of a rename the new one, with tokens in place of what differs between two deploys; or that it starts a program. */
  readonly path: string;
  /** The path that strace knows it by: of a rename, the old one. */
  readonly at: string;
  /** Which of the calls of this name at this path, from 1; where the path cannot be foretold, which of all calls of this name. */
  readonly index: number;
  readonly phase: Phase;
}

/** `preparing`: nothing that serves has changed. `switching`: the journal says so. `settling`: the new generation serves. */
export type Phase = 'preparing' | 'switching' | 'settling';

/** What differs in the paths of two deploys: token → text. */
export type Names = Readonly<Record<string, string>>;

/** Names of a deploy of `campaign/app.ts` to a state, which makes this generation. */
export function namesOf(state: 'a' | 'b', generation: number): Names {
  const [a, b] = [
    ['alpha', 'extras'],
    ['beta', 'updates'],
  ] as const;
  const [to, from] = state === 'a' ? [a, b] : [b, a];
  return {
    '<new customer>': to[0],
    '<old customer>': from[0],
    '<new repository>': `centos-7-${to[1]}`,
    '<old repository>': `centos-7-${from[1]}`,
    '/7/<new>': `/7/${to[1]}`,
    '/7/<old>': `/7/${from[1]}`,
    '<N>': String(generation),
  };
}

/** A path with tokens for names. */
export function withTokens(path: string, names: Names): string {
  return Object.entries(names).reduce((text, [token, name]) => {
    if (token !== '<N>') return text.replaceAll(name, token);
    const own = text.replace(new RegExp(`(/generations/(?:\\.new-)?)${name}(?=/|$)`), `$1${token}`);
    // An older one is removed: which, and what was in it, is history.
    return own.replace(/(\/generations\/)\d+.*/, `$1${OLDER}`);
  }, path);
}

/** A path as it is in another deploy. */
export function withNames(path: string, names: Names): string {
  return Object.entries(names).reduce((text, [token, name]) => text.replaceAll(token, name), path);
}

export const STARTS = 'another program';
const OLDER = '<older>/…';
/** True where the path can be foretold, so that strace counts calls on it alone. */
export const isForetold = (call: Pick<Call, 'at'>): boolean =>
  call.at !== STARTS && !call.at.includes('/.upload-') && !call.at.endsWith(OLDER);

const JOURNAL = '/var/lib/mirror/host/journal.json';

/** The calls of a trace that changed something, in their order. */
export function mutatingCalls(trace: string, names: Names): Call[] {
  const counts = new Map<string, number>();
  const count = (key: string): number => {
    const next = (counts.get(key) ?? 0) + 1;
    counts.set(key, next);
    return next;
  };
  const calls: Call[] = [];
  let journals = 0;
  for (const line of trace.split('\n')) {
    const name = /^(\w+)\(/.exec(line)?.[1];
    if (name === undefined) continue;
    const all = count(name);
    const paths = pathsOf(name, line);
    const first = name.startsWith('rename') ? paths.slice(0, 1) : paths;
    const onPath = new Map(first.map((path) => [path, count(`${name} ${path}`)]));
    const path = changedPath(name, line);
    if (path === undefined) continue;
    const phase = journals === 0 ? 'preparing' : journals === 1 ? 'switching' : 'settling';
    const at = name.startsWith('rename') ? (first[0] ?? '') : path;
    const call = { name, path: withTokens(path, names), at: withTokens(at, names), phase } as const;
    calls.push({ ...call, index: isForetold(call) ? (onPath.get(at) ?? 1) : all });
    if ((name === 'rename' || name === 'unlink') && path === JOURNAL) journals += name === 'unlink' ? 2 : 1;
  }
  return calls;
}

const ON_DESCRIPTOR = /^(write|writev|pwrite64|fsync|fdatasync|fchmod|fchown|ftruncate)$/;

/** Every path that a call names, or has open. */
function pathsOf(name: string, line: string): string[] {
  if (ON_DESCRIPTOR.test(name)) return [/^\w+\(\d+<([^>]*)>/.exec(line)?.[1] ?? ''];
  return [...new Set([...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1] ?? ''))];
}

/** What a line of a trace changed, or undefined: it failed, it read, or it wrote to a pipe. */
export function changedPath(name: string, line: string): string | undefined {
  if (/\) += -1 /.test(line)) return undefined;
  if (name === 'clone' || name === 'vfork') return line.includes('SIGCHLD') && !line.includes('CLONE_THREAD') ? STARTS : undefined;
  if (name === 'openat' && !/O_WRONLY|O_RDWR/.test(line)) return undefined;
  const path = pathsOf(name, line).at(-1) ?? '';
  return path.startsWith('/') && !path.startsWith('/dev/') ? path : undefined;
}
