/** The comment on a pull request. Pure: texts in, Markdown out. What `main.ts` or a server says stays inside code fences. */
import type { PlanSummary } from '../plan-summary';

/** GitHub takes 65,536 characters, and counts as it likes: bytes, with room to spare. GitLab takes a million. */
export const COMMENT_LIMIT = 65_000;

/** First line of our comment, by which it is found again. */
export const marker = (stack: string): string => `<!-- package-mirror plan ${stack} -->`;

export interface CommentParts {
  readonly stack: string;
  readonly tree: string;
  readonly commit: string;
  readonly summary: Pick<PlanSummary, 'changes' | 'sentences'>;
  readonly diff: string;
  /** Where the plan is stored, and the SHA-256 of its file; undefined where neither the server nor the state was asked. */
  readonly stored: { readonly ref: string; readonly sha256: string } | undefined;
  /** What it was compared with, where the server and the state were not asked. */
  readonly base?: string;
}

/** @returns the comment, and how many lines it leaves out */
export function renderComment(parts: CommentParts): { text: string; leftOut: number } {
  const { summary, stored } = parts;
  const head = `${marker(parts.stack)}\n### Plan for \`${parts.stack}\`\n\n`;
  const without =
    stored === undefined
      ? `Compared with \`${parts.base?.slice(0, 12)}\` from the source alone: **neither the server nor Terraform's state was asked**, so drift and what earlier deploys left undone do not show. Nothing was stored: this plan cannot be applied.\n\n`
      : '';
  const nothing = stored === undefined ? 'Nothing changes on the server.' : 'Nothing to do: the server matches main.ts.';
  const foot = `${facts(parts)}\n${howItIsApplied(parts)}\n`;
  const room = COMMENT_LIMIT - size(head) - size(without) - size(foot) - 600;
  // Sentences first: they get what they need, up to half of the room.
  const sentences = cut(visible(summary.sentences.map((s) => `- ${s.replace(/\s*\n\s*/g, ' ')}`).join('\n')), Math.floor(room / 2));
  const diff = cut(signsFirst(visible(parts.diff.replace(/^\n+/, '').trimEnd())), room - size(sentences.text));
  const rest =
    stored === undefined ? "the job's log" : `the job's log, or \`git fetch origin ${stored.ref} && git show FETCH_HEAD:diff.txt\``;
  const leftOut = sentences.leftOut + diff.leftOut;
  const note = (lines: number, where: string): string =>
    lines === 0 ? '' : `\n**${lines} lines are left out here**; all of them: ${where}\n`;
  const said = summary.changes
    ? `Applying this plan:\n\n${fence(sentences.text, 'text')}\n${note(sentences.leftOut, "the job's log")}`
    : `${nothing}\n`;
  const details =
    parts.diff.trim() === '' || !summary.changes
      ? ''
      : `\n<details><summary>The same as text diffs</summary>\n\n${fence(diff.text, 'diff')}\n${note(diff.leftOut, rest)}\n</details>\n`;
  return { text: `${head}${without}${said}${details}\n${foot}`, leftOut };
}

function facts({ tree, commit, stored }: CommentParts): string {
  const rows = [
    ['Tree', `\`${tree}\``],
    ['Commit', `\`${commit}\``],
    ...(stored
      ? [
          ['Stored as', `\`${stored.ref}\``],
          ['Plan file', `sha256 \`${stored.sha256}\``],
        ]
      : []),
  ];
  return `| | |\n|---|---|\n${rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n')}\n`;
}

function howItIsApplied({ stored }: CommentParts): string {
  return stored === undefined
    ? 'After review, a maintainer pushes this change to a branch of this repository: that is planned against the server, and only such a plan can be applied.'
    : 'When this is merged and the target branch has the tree above, **this very plan is applied**. When the branch or the server moved on, it is refused and nothing changes: plan and review again.';
}

/** A fenced block that its text cannot end: the fence is longer than any run of backticks inside. */
export function fence(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
  const bar = '`'.repeat(longest + 1);
  return `${bar}${language}\n${text}\n${bar}`;
}

/** Terraform indents its signs; platforms colour a line by its first character. */
function signsFirst(diff: string): string {
  return diff.replace(/^( +)(-\/\+|[-+~]) /gm, (_, indent: string, sign: string) => `${sign === '~' ? '!' : sign}${indent} `);
}

/** Control characters, and those that turn the direction of text, as a visible sign; endless backticks, which would make an endless fence, cut. */
export function visible(text: string): string {
  const lines = text.replace(/\r\n/g, '\n').replace(/`{65,}/g, `${'`'.repeat(64)}\ufffd`);
  return lines.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, '\ufffd');
}

/** The first lines that fit into a number of bytes. A first line that is too long alone is cut within. */
export function cut(text: string, bytes: number): { text: string; leftOut: number } {
  if (size(text) <= bytes) return { text, leftOut: 0 };
  const lines = text.split('\n');
  let used = 0;
  let fitting = 0;
  while (fitting < lines.length && used + size(lines[fitting] as string) + 1 <= bytes) used += size(lines[fitting++] as string) + 1;
  return { text: lines.slice(0, fitting).join('\n'), leftOut: lines.length - fitting };
}

const size = (text: string): number => Buffer.byteLength(text);
