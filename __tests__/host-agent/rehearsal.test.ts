import { faultOf, parseAnswer } from '../../host-agent/rehearsal';

const answer = (status: number, body: string): string => `HTTP/1.1 ${status} X\r\nServer: nginx\r\n\r\n${body}`;
const both = (marker: string, root: string): string => `${marker}\n--mirror-rehearsal--\n${root}`;
const fine = answer(200, 'welcome');

test.each([
  ['it answers', both(answer(200, '7\n'), fine), undefined],
  ['a listing that nobody may see is no fault', both(answer(200, '7\n'), answer(403, '')), undefined],
  ['another generation', both(answer(200, '6\n'), fine), /status 200, "6\\n"/],
  ['a foreign site answers', both(answer(404, 'none'), fine), /status 404/],
  ['the connection is closed', both('', ''), /closed without an answer/],
  ['nothing listens', both('HTTP/1.0 000 refused\n', 'HTTP/1.0 000 refused\n'), /nothing listens/],
  ['nothing is said', both('HTTP/1.0 000 silent\n', fine), /no answer within 3 s/],
  ['not HTTP', both('SSH-2.0-OpenSSH', ''), /not HTTP/],
  ['a server error', both(answer(200, '7\n'), answer(500, 'oops')), /\/ gets status 500/],
  ['it could not be tried at all', '', undefined],
] as const)('%s', (_, printed, fault) => {
  const found = faultOf(printed, 7);
  if (fault === undefined) expect(found).toBeUndefined();
  else expect(found).toMatch(fault);
});

test('the body begins after the empty line', () => {
  expect(parseAnswer(answer(200, 'a\r\n\r\nb'))).toEqual({ status: 200, body: 'a\r\n\r\nb' });
});
