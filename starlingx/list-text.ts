/**
 * The text of a list: what all formats of this folder have in common. Lists are public files that other programs read line by line too, so what
 * those would take for a part of a name (a byte-order mark, CR, invisible characters) is refused rather than understood by us alone.
 */
import { ExitCode, MirrorError } from '../desired-state/errors';
import { shown } from './shown';

/** Bytes. The longest line of the real lists has 230. */
const LONGEST_LINE = 4096;
/** The longest of the real lists has 2,031; the digests of everything that a mirror has may need more. */
const MOST_LINES = 200_000;

/** A line that asks for nothing, kept for writing the list back. */
export interface OtherLine {
  readonly kind: 'comment' | 'blank';
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

/** A list that can be written back byte for byte. */
export interface LineList<L> {
  /** File name, for messages. */
  readonly name: string;
  readonly lines: readonly L[];
  /** False where the last line has no newline. */
  readonly finalNewline: boolean;
}

/** An error of one line: `rpms_centos.lst line 7 "bash": reason`. */
export function lineError(name: string, line: number, value: string, reason: string, remedy: string): MirrorError {
  return new MirrorError({
    code: 'LIST_LINE',
    message: `${name} line ${line} ${shown(value)}: ${reason}`,
    remedy,
    exitCode: ExitCode.invalid,
  });
}

/**
 * Decodes a list.
 *
 * @param file its name, for messages
 * @throws MirrorError `LIST_TEXT` for a file that is no list, `LIST_LINE` for a line that cannot be one
 */
export function readListText(bytes: Buffer, file: string): string {
  const refuse = (reason: string, remedy: string): never => {
    throw new MirrorError({ code: 'LIST_TEXT', message: `${file} ${reason}`, remedy, exitCode: ExitCode.invalid });
  };
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    refuse('is UTF-16', `Save it as UTF-8: iconv -f UTF-16 -t UTF-8 ${file}`);
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
    refuse(
      'line 1 begins with a byte-order mark, which other programs take for a part of the name',
      'Save it as UTF-8 without a byte-order mark.',
    );
  checkSizes(bytes, file, refuse);
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const line = firstUndecodable(bytes);
    throw lineError(file, line.number, line.text, 'it is not UTF-8', 'Save the file as UTF-8.');
  }
  // Control, format (right-to-left, zero-width) and private characters; separators that look like a space or end a line.
  const strange = /(?![\t\n])[\p{C}\p{Zl}\p{Zp}]/u.exec(text);
  if (strange === null) return text;
  const { number, value } = lineAt(text, strange.index);
  if (strange[0] === '\r')
    throw lineError(
      file,
      number,
      value,
      'it ends with CR, which other programs take for a part of the name',
      `Save the file with LF alone at line ends: sed -i 's/\\r$//' ${file}`,
    );
  if (strange[0] === '\0')
    throw lineError(file, number, value, 'it has a NUL byte', 'Save the file as text in UTF-8, and look at what wrote it.');
  throw lineError(
    file,
    number,
    value,
    `it has an invisible character, U+${(strange[0].codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')}`,
    'Remove it: nobody who reviews the list can see it.',
  );
}

/** Parses a list line by line; blank lines and comments (a leading `#`) are kept. */
export function parseLines<L>(bytes: Buffer, name: string, parse: (text: string, line: number) => L): LineList<L | OtherLine> {
  const text = readListText(bytes, name);
  const texts = text.split('\n');
  const finalNewline = texts.at(-1) === '';
  if (finalNewline) texts.pop();
  const lines = texts.map((one, index): L | OtherLine => {
    const line = index + 1;
    if (one.trim() === '') return { kind: 'blank', line, text: one };
    return one.startsWith('#') ? { kind: 'comment', line, text: one } : parse(one, line);
  });
  return { name, lines, finalNewline };
}

/** The text of a list, from what `text` says of each line. */
export function writeLines<L>({ lines, finalNewline }: LineList<L>, text: (line: L) => string): string {
  return `${lines.map(text).join('\n')}${finalNewline && lines.length > 0 ? '\n' : ''}`;
}

type Refuse = (reason: string, remedy: string) => never;

function checkSizes(bytes: Buffer, file: string, refuse: Refuse): void {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    if (end - start > LONGEST_LINE)
      throw lineError(
        file,
        line,
        bytes.toString('latin1', start, start + 40),
        `it has ${end - start} bytes, more than ${LONGEST_LINE}`,
        'Write one entry a line; look at what wrote the file.',
      );
    if (line > MOST_LINES) refuse(`has more than ${MOST_LINES} lines`, 'Give a list, and look at what wrote the file.');
    start = end + 1;
  }
}

function firstUndecodable(bytes: Buffer): { readonly number: number; readonly text: string } {
  let number = 1;
  for (let start = 0; ; number++) {
    const newline = bytes.indexOf(0x0a, start);
    const line = bytes.subarray(start, newline < 0 ? bytes.length : newline);
    if (line.toString('utf8').includes('\ufffd') || newline < 0) return { number, text: line.toString('latin1') };
    start = newline + 1;
  }
}

function lineAt(text: string, index: number): { readonly number: number; readonly value: string } {
  const before = text.slice(0, index);
  const start = before.lastIndexOf('\n') + 1;
  const end = text.indexOf('\n', index);
  return { number: before.split('\n').length, value: text.slice(start, end < 0 ? undefined : end) };
}
