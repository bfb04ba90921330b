import { MirrorError } from '../../desired-state/errors';
import { parseFileList } from '../../starlingx/file-list';

test('paths, each once; comments, blank lines and CR are no names', () => {
  expect(parseFileList(Buffer.from('# what is taken\na/one\r\n\ntwo words\na/one\n'), 'acm.txt')).toEqual(['a/one', 'two words']);
});

test.each([
  ['a\n../../escaped\n', 2],
  ['a/../../escaped', 1],
  ['/etc/passwd', 1],
  ['a\n\n./b', 3],
  ['a//b', 1],
  ['a/', 1],
  ['a\\b', 1],
  ['a\0b', 1],
  [Buffer.from([0x61, 0xff, 0x0a]), 1],
  [`a\n${'x'.repeat(256)}\n`, 2],
  ['', 1],
  ['# nothing but this\n', 1],
])('%j is refused, and its line is named', (text, line) => {
  try {
    parseFileList(Buffer.from(text as string), 'acm.txt');
  } catch (error) {
    expect(error).toBeInstanceOf(MirrorError);
    expect(error).toMatchObject({ code: 'LIST_LINE', exitCode: 3, message: expect.stringMatching(`^acm\\.txt line ${line} `) as string });
    return;
  }
  throw new Error('it was not refused');
});
