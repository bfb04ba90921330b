/** Sentences about what is special of file trees: which files, and by what they are trusted. Pure. */
import { fieldsOf, listField } from './changes';
import type { Triggers } from './terraform-plan';

/** What a change of a field means, or undefined where the field is not one of trees alone. */
export function treeSentences(name: string, id: string, before: Triggers | undefined, after: Triggers | undefined): string[] | undefined {
  const [was, now] = [listField(before, name), listField(after, name)];
  if (name === 'exclude') {
    const [more, less] = [now.filter((glob) => !was.includes(glob)), was.filter((glob) => !now.includes(glob))];
    return [
      ...(more.length === 0 ? [] : [`copies ${more.join(', ')} of ${id} no longer: what is there stays for the grace period`]),
      ...(less.length === 0 ? [] : [`copies ${less.join(', ')} of ${id} from the next sync on`]),
    ];
  }
  if (name !== 'files' && name !== 'folders') return undefined;
  const all = `what the checksum files list`;
  return [`copies of ${id} the ${name} ${now.join(', ') || `(none: ${all})`} (was ${was.join(', ') || `none: ${all}`})`];
}

interface TreeTrust {
  readonly mode?: string;
  readonly files?: readonly string[];
  readonly keys?: readonly { readonly file: string }[];
  readonly reason?: string;
}

export function treeTrustSentences(id: string, before: Triggers | undefined, after: Triggers | undefined): string[] {
  const was = (fieldsOf(before)['trust'] ?? {}) as TreeTrust;
  const now = (fieldsOf(after)['trust'] ?? {}) as TreeTrust;
  const strength = (trust: TreeTrust): number => ['none', 'checksums', 'signedChecksums'].indexOf(trust.mode ?? '');
  const weaker = strength(now) < strength(was) ? `, weaker than by ${wordsOf(was)}` : `, not by ${wordsOf(was)}`;
  if (wordsOf(was) === wordsOf(now)) return [`gives another reason to trust ${id} by ${wordsOf(now)}: ${now.reason ?? ''}`];
  return [`trusts ${id} by ${wordsOf(now)}${weaker}${now.reason === undefined ? '' : ` (${now.reason})`}: it counts from the next sync on`];
}

function wordsOf({ mode, files = [], keys = [] }: TreeTrust): string {
  if (mode === 'none') return 'nothing but TLS';
  const list = files.join(', ');
  return mode === 'signedChecksums'
    ? `${list} signed by ${keys.map(({ file }) => file.replace(/^keys\//, '')).join(', ')}`
    : `${list}, unsigned`;
}
