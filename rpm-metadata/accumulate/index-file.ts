import { GuardedXml } from '../xml';
import { escapeXml } from './fragments';

/** A file as `repomd.xml` lists it. */
export interface PublishedRecord {
  readonly type: string;
  /** In `repodata/`. */
  readonly name: string;
  /** SHA-256, hex. */
  readonly checksum: string;
  readonly size: number;
  /** Where the file is compressed. */
  readonly open?: { readonly checksum: string; readonly size: number } | undefined;
  /** Unix seconds. */
  readonly timestamp: number;
}

/** What a repository says of itself in `repomd.xml`. */
export interface Tag {
  readonly kind: 'content' | 'repo' | 'distro';
  readonly text: string;
  /** Of a distribution: its name in the Common Platform Enumeration. */
  readonly cpeid?: string | undefined;
}

const MAX_TAGS = 100;

/** The tags of an upstream's `repomd.xml`. Throws a MirrorError for what is not well-formed. */
export function readTags(repomd: Uint8Array, what: string): readonly Tag[] {
  const tags: Tag[] = [];
  let cpeid: string | undefined;
  const isTag = (path: readonly string[]): boolean =>
    path.length === 3 && path[1] === 'tags' && ['content', 'repo', 'distro'].includes(path[2] as string);
  const xml = new GuardedXml(what, {
    open(path, attributes) {
      if (isTag(path)) cpeid = attributes.cpeid;
    },
    close(path, text) {
      if (!isTag(path) || tags.length >= MAX_TAGS) return;
      tags.push({ kind: path[2] as Tag['kind'], text: text.trim(), ...(cpeid === undefined ? {} : { cpeid }) });
    },
    wantsText: isTag,
  });
  xml.write(repomd);
  xml.end();
  return tags;
}

/** `repomd.xml` as createrepo_c writes it. */
export function repomdXml(revision: number, tags: readonly Tag[], records: readonly PublishedRecord[]): Buffer {
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">',
    `  <revision>${revision}</revision>`,
  ];
  if (tags.length > 0) {
    const lineOf = ({ kind, text, cpeid }: Tag): string =>
      `    <${kind}${cpeid === undefined ? '' : ` cpeid="${escapeXml(cpeid)}"`}>${escapeXml(text)}</${kind}>`;
    lines.push('  <tags>', ...tags.map(lineOf), '  </tags>');
  }
  for (const { type, name, checksum, size, open, timestamp } of records) {
    lines.push(
      `  <data type="${escapeXml(type)}">`,
      `    <checksum type="sha256">${checksum}</checksum>`,
      ...(open === undefined ? [] : [`    <open-checksum type="sha256">${open.checksum}</open-checksum>`]),
      `    <location href="repodata/${name.split('/').map(encodeURIComponent).join('/')}"/>`,
      `    <timestamp>${timestamp}</timestamp>`,
      `    <size>${size}</size>`,
      ...(open === undefined ? [] : [`    <open-size>${open.size}</open-size>`]),
      '  </data>',
    );
  }
  return Buffer.from([...lines, '</repomd>', ''].join('\n'));
}
