import { lstatSync, readFileSync, statSync } from 'node:fs';
import { basename, relative } from 'node:path';
import type { IConstruct } from 'constructs';
import { MirrorError } from '../../desired-state/errors';
import { listName } from '../../desired-state/served-names';
import { keyFileName } from '../../desired-state/validate';
import { check, invalid, show } from './check';
import { LIST_SOURCE, type ListSource } from './source';

/** Bytes. The largest key that an upstream is known to publish has a few thousand. */
const MAX_FILE = 256 * 1024;

/**
 * The text of a public file of the project, which becomes a part of the plan. Throws where it is none that can be.
 *
 * @param what begins what is allowed: "a key is"
 */
export function readProjectFile(where: string, path: string, what: string, fix: string): string {
  check(where, 'path', basename(path), keyFileName);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() === true && stats.size <= MAX_FILE) return readFileSync(path, 'utf8');
  throw invalid(where, 'path', JSON.stringify(path), { allowed: `${what} a regular file of at most ${MAX_FILE} bytes`, fix });
}

/** Bytes. The longest list of StarlingX has 150,000. */
const MAX_LIST = 8 * 1024 * 1024;

/** A list of the project, as it is. */
export interface ProjectList {
  /** For messages, and where it is served. */
  readonly name: string;
  readonly bytes: Buffer;
}

/** Reads a list of the project. Throws where there is none: a folder, a link, a pipe. */
export function readProjectList(where: IConstruct, prop: string, path: unknown): ProjectList {
  const fix = 'Name a list of the project, for instance "starlingx/3.0/tarball-dl.lst".';
  if (typeof path !== 'string' || path === '') throw invalid(where, prop, show(path), { allowed: 'the path of a list', fix });
  check(where, prop, basename(path), keyFileName);
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() === true && stats.size <= MAX_LIST) {
    where.node.addMetadata(LIST_SOURCE, { prop, path: relative(process.cwd(), path) } satisfies ListSource);
    return { name: basename(path), bytes: readFileSync(path) };
  }
  throw invalid(where, prop, show(path), { allowed: `a list is a regular file of at most ${MAX_LIST} bytes`, fix });
}

/** Reads a list that is served under its name. */
export function readServedList(where: IConstruct, prop: string, path: unknown): ProjectList {
  const list = readProjectList(where, prop, path);
  check(where, prop, list.name, listName);
  return list;
}

/** What parsing a list says of it, as synthesis says what is wrong. */
export function parsed<T>(where: IConstruct, prop: string, path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    throw invalid(where, prop, show(path), { allowed: error.message, fix: error.remedy });
  }
}
