/** What `strace -f -y` says of a run of mirrorctl and of the programs that it starts, as calls that can be struck. Pure. */

/** Calls that may change something on disk. */
export const MUTATING = [
  'open', 'openat', 'creat', 'write', 'writev', 'pwrite64', 'pwritev', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'mkdir', 'mkdirat',
  'symlink', 'symlinkat', 'link', 'linkat', 'chmod', 'fchmod', 'fchmodat', 'chown', 'fchown', 'lchown', 'fchownat', 'ftruncate', 'truncate',
  'fallocate', 'copy_file_range', 'sendfile', 'fsync', 'fdatasync', 'syncfs', 'sync', 'sync_file_range', 'utimensat', 'setxattr', 'fsetxattr', 'ioctl',
] as const; // prettier-ignore

/** One call that changed, or flushed, something. */
export interface Call {
  readonly name: string;
  /** `mirrorctl`, its `thread`, or the program and which start of it: `gpg 2`. */
  readonly by: string;
  /** What it changed, relative, with tokens for what differs from run to run. */
  readonly path: string;
  /** The path that strace knows it by; undefined where it can't be foretold. */
  readonly at: string | undefined;
  /** Which of the calls of this thread with this name and path, from 1. */
  readonly onPath: number;
  /** Which of the calls of this thread with this name. */
  readonly index: number;
  /** Its place in the whole run. */
  readonly order: number;
  /** It did not come to its end: this is where a signal struck. */
  readonly struck: boolean;
}

/** Tells a call from all others, in any run of the same scenario. */
export const identityOf = ({ by, name, path, onPath }: Pick<Call, 'by' | 'name' | 'path' | 'onPath'>): string =>
  `${by} ${name} ${path} ${onPath}`;

interface Line {
  readonly tid: string;
  readonly text: string;
}

/** Lines of a trace with calls that were interrupted by others put together again, at the place where they began. */
export function wholeLines(trace: string): Line[] {
  const lines: { tid: string; text: string }[] = [];
  const open = new Map<string, { tid: string; text: string }>();
  for (const raw of trace.split('\n')) {
    const [, tid = '', text = ''] = /^(\d+) +(.*)$/.exec(raw) ?? [];
    if (tid === '') continue;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    if (resumed !== null) {
      const begun = open.get(tid);
      open.delete(tid);
      if (begun !== undefined) begun.text += resumed[1] ?? '';
      continue;
    }
    const line = { tid, text: text.replace(/ ?<unfinished \.\.\.>$/, '') };
    if (line.text !== text) open.set(tid, line);
    lines.push(line);
  }
  return lines;
}

const ON_DESCRIPTOR = new Set([
  'write', 'writev', 'pwrite64', 'pwritev', 'fchmod', 'fchown', 'ftruncate', 'fallocate', 'copy_file_range', 'sendfile', 'fsync', 'fdatasync', 'syncfs',
  'sync_file_range', 'fsetxattr', 'ioctl',
]); // prettier-ignore

/** The paths that a call names, or has open; the one that it changes is the last. */
export function pathsOf(name: string, text: string): string[] {
  if (name === 'copy_file_range') return [/^\w+\([^,]*, [^,]*, \d+<([^>]*)>/.exec(text)?.[1] ?? ''];
  if (ON_DESCRIPTOR.has(name)) return [/^\w+\(\d+<([^>]*)>/.exec(text)?.[1] ?? ''];
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1] ?? '');
}

/** FICLONE: a copy without a copy. Other requests of ioctl change nothing on disk. */
const changes = (name: string, text: string): boolean =>
  name === 'ioctl'
    ? text.includes('FICLONE')
    : name === 'open' || name === 'openat'
      ? /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(text)
      : !/\) += -1 /.test(text);

/** What differs from run to run, by tokens: names that a program makes up. */
export function withTokens(path: string): string {
  return path
    .replace(/\.#lk0x[0-9a-f]+\.[^/]*\.\d+/, '.#lk<own>')
    .replace(/\.json\.\d+$/, '.json.<own>')
    .replace(/\d{8}T\d{6}Z/g, '<time>');
}

/** Calls of a trace that changed something below a directory, in their order. The first process is mirrorctl. */
export function mutatingCalls(trace: string, scope: string): Call[] {
  const counts = new Map<string, number>();
  const count = (key: string): number => {
    const next = (counts.get(key) ?? 0) + 1;
    counts.set(key, next);
    return next;
  };
  const roles = new Map<string, string>();
  const calls: Call[] = [];
  let order = 0;
  for (const { tid, text } of wholeLines(trace)) {
    if (roles.size === 0) roles.set(tid, 'mirrorctl');
    const name = /^(\w+)\(/.exec(text)?.[1];
    if (name === undefined) continue;
    if (name === 'execve') {
      const program = /^execve\("(?:[^"]*\/)?([^"/]+)"/.exec(text)?.[1] ?? '';
      if (text.endsWith('= 0') && roles.get(tid) !== 'mirrorctl') roles.set(tid, `${program} ${count(`execve ${program}`)}`);
      continue;
    }
    const by = roles.get(tid) ?? 'thread';
    const index = count(`${by} ${name}`);
    const paths = pathsOf(name, text);
    const known = name.startsWith('rename') ? paths.slice(0, 1) : paths;
    const onPaths = new Map([...new Set(known)].map((path) => [path, count(`${by} ${name} ${path}`)]));
    const changed = paths.at(-1) ?? '';
    if (!changes(name, text) || !changed.startsWith(`${scope}/`)) continue;
    const at = known.at(-1) ?? '';
    const path = withTokens(changed.slice(scope.length + 1));
    const onPath = count(`identity ${by} ${name} ${path}`);
    calls.push({
      name,
      by,
      path,
      // The clock stands still, so the time in a name is known.
      at: withTokens(at).includes('<own>') ? undefined : at,
      onPath: at === '' ? onPath : (onPaths.get(at) ?? onPath),
      index,
      order: order++,
      struck: !/ = /.test(text) || /\) += \?/.test(text),
    });
  }
  return calls;
}

/** How strace is told to strike a call: by its path, or where that can't be foretold, or is only one of several, by number. */
export interface Aim {
  readonly path: string | undefined;
  readonly when: number;
}

/** The aims that may hit, the likeliest first. strace counts by thread: a number alone hits whichever thread comes to it first. */
export function aimsOf(call: Call, all: readonly Call[]): Aim[] {
  const byNumber: Aim = { path: undefined, when: call.index };
  const byPath: Aim[] = call.at === undefined ? [] : [{ path: call.at, when: call.onPath }];
  // Threads write to pipes and event counters as they come; opens are as many as the modules that Node loads.
  const uncertain = call.name === 'write' || call.name === 'openat';
  const disputed = all.some(
    (other) => other.name === call.name && other.by !== call.by && other.index >= call.index && other.order < call.order,
  );
  return uncertain || disputed ? [...byPath, byNumber] : [byNumber, ...byPath];
}
