/** What the files of a build that programs read must look like. Pure. */
import { isUtf8 } from 'node:buffer';
import { shown } from '../starlingx/shown';
import type { BuildFile, BuildProblem } from './build-tree';
import { COLOURS, MARKS } from './builds';

/** Digests of everything that was uploaded, as sha256sum writes them. */
export const SUMS = 'SHA256SUMS';
/** Bytes: read as a whole. */
export const MAX_SUMS = 64 * 1024 * 1024;

/** Files at the top of a build or in `outputs/` that have a form. */
interface Form {
  /** Bytes: it is read as a whole. */
  readonly most: number;
  /** Why the text does not have it. */
  readonly judge: (bytes: Buffer) => string | undefined;
}

const CONTEXT_LINE = /^\(cd (\.(?:\/[A-Za-z0-9_.+@~-]+)*\/?) && git checkout -f [0-9a-f]{40}\)$/;
const INFO_LINE = /^[A-Za-z_][A-Za-z0-9_]*=(?:"[^"]*"|[^"]*)$/;

const FORMS: Readonly<Record<string, Form>> = {
  'CONTEXT.sh': {
    most: 1024 * 1024,
    judge: (bytes) =>
      firstLine(
        bytes,
        (line) => {
          const path = CONTEXT_LINE.exec(line)?.[1];
          return path !== undefined && !path.split('/').includes('..');
        },
        'not of the form (cd ./path && git checkout -f <commit in 40 hex digits>)',
      ),
  },
  BUILD_INFO: {
    most: 1024 * 1024,
    judge: (bytes) => firstLine(bytes, (line) => INFO_LINE.test(line), 'not of the form KEY="value"'),
  },
  'CHANGELOG.txt': {
    most: 256 * 1024 * 1024,
    judge: (bytes) => (isText(bytes) ? undefined : 'is no UTF-8 text'),
  },
};

/** Where they may be. */
const PLACES = ['', 'outputs/'];

/** What the files of a build say of it. */
export interface BuildMarkers {
  readonly succeeded: boolean;
  readonly noNewContent: boolean;
  readonly dockerImages: boolean;
}

export function markersOf(files: readonly { readonly path: string }[]): BuildMarkers {
  const paths = new Set(files.map(({ path }) => path));
  const has = (name: string): boolean => PLACES.some((place) => paths.has(place + name));
  return {
    succeeded: has('Success'),
    noNewContent: has('No_New_Content'),
    dockerImages: files.some(({ path }) => path.startsWith('outputs/docker-images/')),
  };
}

/** Files with which something is wrong. `read` hands over the bytes of a file. */
export function formProblems(files: readonly BuildFile[], read: (file: BuildFile) => Buffer): readonly BuildProblem[] {
  const problems: BuildProblem[] = [];
  for (const file of files) {
    const place = PLACES.find((one) => file.path.startsWith(one) && !file.path.slice(one.length).includes('/'));
    if (place === undefined) continue;
    const name = file.path.slice(place.length);
    const form = Object.hasOwn(FORMS, name) ? FORMS[name] : undefined;
    const isColour = COLOURS.some((colour) => MARKS[colour] === name);
    if (isColour && file.size > 0) problems.push({ path: file.path, why: `must be empty, and has ${file.size} bytes` });
    if (form === undefined) continue;
    const why = file.size > form.most ? `has ${file.size} bytes, more than ${form.most}` : form.judge(read(file));
    if (why !== undefined) problems.push({ path: file.path, why });
  }
  return problems;
}

function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(0);
}

/** What is wrong with the first line that is neither empty, a comment nor good. */
function firstLine(bytes: Buffer, isGood: (line: string) => boolean, why: string): string | undefined {
  if (!isText(bytes)) return 'is no UTF-8 text';
  const lines = bytes.toString('utf8').split('\n');
  const at = lines.findIndex((line) => !/^\s*(?:#.*)?$/.test(line) && (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(line) || !isGood(line)));
  return at < 0 ? undefined : `has the line ${at + 1}, ${shown(lines[at] as string)}, which is ${why}`;
}

const SUMS_LINE = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/;

/**
 * What is wrong with SHA256SUMS, or with what it says: it must name every file but itself exactly once.
 *
 * @param files all of the build
 */
export function sumsProblems(text: Buffer, files: readonly BuildFile[]): readonly BuildProblem[] {
  const problems: BuildProblem[] = [];
  const named = new Map<string, string>();
  if (!isText(text)) return [{ path: SUMS, why: 'is no UTF-8 text' }];
  for (const [index, line] of text.toString('utf8').split('\n').entries()) {
    if (line === '') continue;
    const [, hex, path] = SUMS_LINE.exec(line) ?? [];
    if (hex === undefined || path === undefined)
      problems.push({ path: SUMS, why: `has the line ${index + 1}, ${shown(line)}, which is none of sha256sum` });
    else if (path === SUMS) problems.push({ path: SUMS, why: 'names itself' });
    else if (named.has(path)) problems.push({ path, why: `is named twice in ${SUMS}` });
    else named.set(path, hex);
  }
  const there = new Set<string>();
  for (const { path, sha256 } of files) {
    there.add(path);
    if (path === SUMS) continue;
    const hex = named.get(path);
    if (hex === undefined) problems.push({ path, why: `is not named in ${SUMS}` });
    else if (hex !== sha256) problems.push({ path, why: `has the digest ${sha256}, and ${SUMS} says ${hex}` });
  }
  for (const path of named.keys()) if (!there.has(path)) problems.push({ path, why: `is named in ${SUMS}, and is not there` });
  return problems;
}
