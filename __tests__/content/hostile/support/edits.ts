import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

const REPOMD = 'repodata/repomd.xml';

export function digest(bytes: string | Uint8Array, algorithm = 'sha256'): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

/** Changes to a repository that createrepo_c would not make. Checksums and sizes stay right, unless the edit is of these. */
export class Edits {
  constructor(readonly root: string) {}

  text(): string {
    return readFileSync(join(this.root, REPOMD), 'utf8');
  }

  /** Throws when the edit changes nothing: the row would prove nothing. */
  repomd(edit: (xml: string) => string): void {
    const before = this.text();
    this.write(changed(before, edit(before)));
  }

  write(xml: string | Buffer): void {
    writeFileSync(join(this.root, REPOMD), xml);
  }

  /** `<data type="…">…</data>` of repomd.xml. */
  record(type: string, edit: (block: string) => string): void {
    this.repomd((xml) => {
      const block = blockOf(xml, type);
      return xml.replace(block, () => changed(block, edit(block)));
    });
  }

  /** A metadata file's content. */
  content(type: string): string {
    return gunzipSync(this.bytes(type)).toString();
  }

  bytes(type: string): Buffer {
    return readFileSync(join(this.root, this.path(type)));
  }

  /** Where repomd.xml says that a metadata file is. */
  path(type: string): string {
    return /<location href="([^"]+)"/.exec(blockOf(this.text(), type))?.[1] as string;
  }

  /** Another content for a metadata file, by gzip. */
  metadata(type: string, edit: (content: string) => string | Buffer): void {
    const before = this.content(type);
    const after = edit(before);
    if (typeof after === 'string') changed(before, after);
    this.replace(type, gzipSync(after), Buffer.byteLength(after));
  }

  primary(edit: (content: string) => string | Buffer): void {
    this.metadata('primary', edit);
  }

  /** The element of one package in primary. */
  item(name: string, edit: (element: string) => string): void {
    this.primary((xml) => {
      const element = elementOf(xml, name);
      return xml.replace(element, () => changed(element, edit(element)));
    });
  }

  /** Another `href` for one package; its file is moved along where that is said. */
  locate(name: string, href: string): void {
    this.item(name, (element) => element.replace(/<location href="[^"]*"/, () => `<location href="${href}"`));
  }

  /** Other bytes for a metadata file, whatever they are. `openSize` null: repomd.xml does not say it. */
  replace(type: string, bytes: Buffer, openSize: number | null, suffix = 'xml.gz'): void {
    const href = `repodata/${digest(bytes)}-${type}.${suffix}`;
    writeFileSync(join(this.root, href), bytes);
    this.repomd((xml) => {
      const block = blockOf(xml, type);
      const opened = openSize === null ? '' : `<open-size>${openSize}</open-size>`;
      return xml.replace(block, () => recordOf(type, href, bytes, opened));
    });
  }

  /** One more record, with its file. */
  add(type: string, bytes: Buffer, openSize: number | null = null, suffix = 'bin'): string {
    const href = `repodata/${digest(bytes)}-${type}.${suffix}`;
    writeFileSync(join(this.root, href), bytes);
    const opened = openSize === null ? '' : `<open-size>${openSize}</open-size>`;
    this.repomd((xml) => xml.replace('</repomd>', () => `${recordOf(type, href, bytes, opened)}</repomd>`));
    return href;
  }

  /** The same compressed by a program. */
  recompress(type: string, program: string, options: readonly string[], suffix: string): void {
    const content = gunzipSync(this.bytes(type));
    this.replace(type, compressed(program, options, content), content.length, `xml.${suffix}`);
  }

  drop(type: string): void {
    this.repomd((xml) => xml.replace(blockOf(xml, type), ''));
  }

  remove(path: string): void {
    rmSync(join(this.root, path));
  }
}

export function compressed(program: string, options: readonly string[], content: string | Buffer): Buffer {
  return execFileSync(program, ['-c', ...options], { input: content, maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'ignore'] });
}

/** The start of a list and its end, around many copies of one piece: as gzip members, so that it is made in no time. */
export function gzipBomb(head: string, piece: string, copies: number, tail: string): { bytes: Buffer; size: number } {
  const member = gzipSync(piece);
  const bytes = Buffer.concat([gzipSync(head), ...Array.from({ length: copies }, () => member), gzipSync(tail)]);
  return { bytes, size: head.length + piece.length * copies + tail.length };
}

export function elementOf(xml: string, name: string): string {
  const found = xml.split(/(?=<package[ >])/).find((part) => part.includes(`<name>${name}</name>`));
  if (found === undefined) throw new Error(`there is no package ${name}`);
  return `${found.split('</package>')[0] as string}</package>`;
}

function blockOf(xml: string, type: string): string {
  const block = new RegExp(`<data type="${type}">.*?</data>`, 's').exec(xml)?.[0];
  if (block === undefined) throw new Error(`there is no record ${type}`);
  return block;
}

function recordOf(type: string, href: string, bytes: Buffer, opened: string): string {
  const time = Math.floor(Date.now() / 1000);
  return `<data type="${type}"><checksum type="sha256">${digest(bytes)}</checksum><location href="${href}"/><timestamp>${time}</timestamp><size>${bytes.length}</size>${opened}</data>`;
}

function changed(before: string, after: string): string {
  if (before === after) throw new Error('the edit changes nothing');
  return after;
}
