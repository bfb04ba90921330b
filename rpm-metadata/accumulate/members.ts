/** A gzip member of a published file: `count` packages one after the other. */
export interface Member {
  readonly count: number;
  /** Bytes as published. */
  readonly size: number;
  /** Bytes after decompression. */
  readonly open: number;
}

/**
 * What lies where in one of the three files, in its own order: upstreams need not list packages in the same order in all three. `rows` are
 * rows of the package table, `lengths` the bytes of each fragment with its line feed, `prints` fingerprints of the fragment as upstream had it.
 */
export interface FileColumns {
  readonly rows: Uint32Array;
  readonly lengths: Uint32Array;
  readonly prints: Uint32Array;
  readonly members: readonly Member[];
}

/** A member that goes into the new file, whole or in part. */
export interface Part {
  readonly origin: 'old' | 'new';
  /** Where its bytes begin, relative to the first member of its file. */
  readonly offset: number;
  readonly size: number;
  readonly open: number;
  /** Its positions in the columns of its file. */
  readonly first: number;
  readonly count: number;
  /** How many of its packages go on, and their bytes. */
  readonly kept: number;
  readonly keptOpen: number;
}

/** A member of the new file. One untouched part is copied as it is; anything else is decompressed, put together and compressed again. */
export type Group = readonly Part[];

/** A member is full at this many bytes after decompression: gzip looks back 32 KiB, so larger ones would hardly be smaller. */
export const FULL_MEMBER = 512 * 1024;

/**
 * Decides which members are copied and which are made anew. `alive` says whether the package at a position of the old file stays.
 * Neighbours of less than half of `full` bytes are put together, so that there are never more than four members for each full one, whatever
 * happened before.
 */
export function planMembers(
  old: FileColumns,
  alive: (position: number) => boolean,
  fresh: FileColumns,
  full = FULL_MEMBER,
): readonly Group[] {
  const groups: Part[][] = [];
  let size = 0;
  for (const part of [...parts('old', old, alive), ...parts('new', fresh, () => true)]) {
    if (part.kept === 0) continue;
    const last = groups.at(-1);
    if (last !== undefined && size < full / 2 && part.keptOpen < full / 2) {
      last.push(part);
      size += part.keptOpen;
    } else {
      groups.push([part]);
      size = part.keptOpen;
    }
  }
  return groups;
}

/** Whether a group's bytes are copied as they are. */
export function isCopied(group: Group): boolean {
  const [only] = group;
  return group.length === 1 && only !== undefined && only.kept === only.count;
}

function* parts(origin: 'old' | 'new', file: FileColumns, alive: (position: number) => boolean): Generator<Part> {
  let offset = 0;
  let first = 0;
  for (const { count, size, open } of file.members) {
    let kept = 0;
    let keptOpen = 0;
    for (let position = first; position < first + count; position++) {
      if (!alive(position)) continue;
      kept++;
      keptOpen += file.lengths[position] as number;
    }
    yield { origin, offset, size, open, first, count, kept, keptOpen };
    offset += size;
    first += count;
  }
}
