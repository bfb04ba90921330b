import { COMMENT_LIMIT, cut, fence, renderComment, visible, type CommentParts } from '../../../scripts/review/comment';

const parts: CommentParts = {
  stack: 'mirror',
  tree: 'a'.repeat(40),
  commit: 'b'.repeat(40),
  summary: { changes: true, sentences: ['adds customer acme (1 codename, 5 repositories)'] },
  diff: 'Terraform will perform the following actions:\n\n  + resource "null_resource" "acme" {\n  ~ triggers\n-/+ replaced\n    same\n',
  stored: { ref: `refs/plans/${'a'.repeat(40)}/mirror`, sha256: 'c'.repeat(64) },
};

test('sentences, then the diff with its signs first, then what identifies the plan', () => {
  const { text, leftOut } = renderComment(parts);
  expect(leftOut).toBe(0);
  expect(text).toMatch(/^<!-- package-mirror plan mirror -->\n### Plan for `mirror`\n/);
  expect(text).toContain('```text\n- adds customer acme (1 codename, 5 repositories)\n```');
  expect(text).toContain('\n+   resource "null_resource" "acme" {\n!   triggers\n-/+ replaced\n    same\n```\n');
  for (const fact of [parts.tree, parts.commit, 'c'.repeat(64), parts.stored?.ref]) expect(text).toContain(fact);
  expect(text).toContain('**this very plan is applied**');
});

test('nothing to do is one line, without a diff', () => {
  const { text } = renderComment({ ...parts, summary: { changes: false, sentences: [] } });
  expect(text).toContain('Nothing to do: the server matches main.ts.');
  expect(text).not.toContain('<details>');
});

test('without the server it says so, and that it cannot be applied', () => {
  const { text } = renderComment({ ...parts, stored: undefined, base: 'd'.repeat(40) });
  expect(text).toContain("neither the server nor Terraform's state was asked");
  expect(text).toContain('this plan cannot be applied');
  expect(text).toContain('`dddddddddddd`');
});

test.each([
  ['a fence', '```\n# Nothing to do\n```'],
  ['a longer fence', '``````````\n</details>\n@everyone'],
  ['an endless fence', '`'.repeat(30_000)],
  ['in a sentence', 'x'],
])('a name cannot end its code block: %s', (_what, evil) => {
  const { text } = renderComment({ ...parts, diff: evil, summary: { changes: true, sentences: [`adds customer ${evil}`] } });
  // As CommonMark reads it: a block ends at a line of at least as many backticks as it began with.
  const outside: string[] = [];
  let open = 0;
  for (const line of text.split('\n')) {
    const bar = /^ {0,3}(`{3,})([^`]*)$/.exec(line);
    if (bar && open === 0) open = (bar[1] as string).length;
    else if (bar && open > 0 && (bar[1] as string).length >= open && bar[2]?.trim() === '') open = 0;
    else if (open === 0) outside.push(line);
  }
  expect(open).toBe(0);
  expect(outside.join('\n')).not.toMatch(/everyone|# Nothing|customer/);
  expect(outside.filter((line) => line.includes('</details>'))).toHaveLength(1);
  expect(Buffer.byteLength(text)).toBeLessThan(COMMENT_LIMIT);
});

test('control characters and turned text are visible', () => {
  expect(visible('a\u001b[31mb\u202ec\r\nd\te\u0000')).toBe('a\ufffd[31mb\ufffdc\nd\te\ufffd');
});

test.each([
  ['many lines', Array.from({ length: 50_000 }, (_, n) => `  + line ${n}`).join('\n')],
  ['bytes, not characters', Array.from({ length: 5_000 }, (_, n) => `  + ${'ä€😀'.repeat(20)} ${n}`).join('\n')],
  ['one endless line', `  + ${'x'.repeat(1_000_000)}`],
])('a long diff is cut to the limit, and the comment says how much and where the rest is: %s', (_what, diff) => {
  const sentences = Array.from({ length: 2_000 }, (_, n) => `adds customer c${n} (1 codename, 5 repositories)`);
  const { text, leftOut } = renderComment({ ...parts, diff, summary: { changes: true, sentences } });
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(COMMENT_LIMIT);
  const told = [...text.matchAll(/\*\*(\d+) lines? are left out here\*\*/g)].map((m) => Number(m[1]));
  expect(told.reduce((a, b) => a + b)).toBe(leftOut);
  const shown = text.split('\n').filter((line) => /^\+ .*line|^- adds|^\+  .*[0-9]$/.test(line)).length;
  expect(shown + leftOut).toBe(diff.split('\n').length + sentences.length);
  expect(text).toContain(`git fetch origin ${parts.stored?.ref} && git show FETCH_HEAD:diff.txt`);
});

test('what fits stays whole', () => {
  expect(cut('a\nb', 3)).toEqual({ text: 'a\nb', leftOut: 0 });
  expect(cut('a\nbc', 3)).toEqual({ text: 'a', leftOut: 1 });
  expect(fence('a', 'text')).toBe('```text\na\n```');
});
