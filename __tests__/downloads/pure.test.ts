import { DownloadError, type FailureKind, failureOfStatus, isCertificateError, retryAfterSeconds } from '../../downloads/errors';
import { redirectTarget } from '../../downloads/redirects';
import { forEachParallel } from '../../downloads/parallel';
import { combined, pauseBefore, Sources, withFailover } from '../../downloads/sources';

const failure = (kind: FailureKind, message: string = kind, retryAfter?: number): DownloadError =>
  new DownloadError({ kind, message, retryAfter });

test.each<[number, FailureKind | undefined]>([
  [200, undefined],
  [304, undefined],
  [204, 'refused'],
  [206, 'refused'],
  [400, 'refused'],
  [401, 'refused'],
  [403, 'refused'],
  [404, 'missing'],
  [410, 'missing'],
  [408, 'transient'],
  [429, 'transient'],
  [500, 'transient'],
  [503, 'transient'],
])('status %i is %s', (status, kind) => {
  expect(failureOfStatus(status)).toBe(kind);
});

test.each<[string | undefined, number | undefined]>([
  [undefined, undefined],
  ['7', 7],
  [' 0 ', 0],
  ['-1', undefined],
  ['soon', undefined],
  ['99999999999', undefined],
  ['Sun, 22 Nov 2026 02:00:10 GMT', 10],
  ['Sun, 22 Nov 2026 01:00:00 GMT', 0],
])('Retry-After %s means %s seconds', (value, seconds) => {
  expect(retryAfterSeconds(value, new Date('2026-11-22T02:00:00Z'))).toBe(seconds);
});

test.each<[string, boolean]>([
  ['CERT_HAS_EXPIRED', true],
  ['ERR_TLS_CERT_ALTNAME_INVALID', true],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', true],
  ['SELF_SIGNED_CERT_IN_CHAIN', true],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', true],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', true],
  ['ECONNRESET', false],
  ['ENOTFOUND', false],
])('%s as a certificate error: %s', (code, expected) => {
  expect(isCertificateError(code)).toBe(expected);
});

test.each([
  ['https://a/x', '/y', 'https://a/y'],
  ['https://a/x/z', 'y', 'https://a/x/y'],
  ['http://a/x', 'https://b/y', 'https://b/y'],
  ['http://a/x', '//b/y', 'http://b/y'],
])('%s to %s goes to %s', (from, location, target) => {
  expect(redirectTarget(from, location)).toBe(target);
});

test.each([
  ['http://a/x', 'file:///etc/passwd', 'only http and https'],
  ['http://a/x', 'ftp://b/y', 'only http and https'],
  ['http://a/x', 'gopher://b/', 'only http and https'],
  ['http://a/x', 'javascript:1', 'only http and https'],
  ['https://a/x', 'http://a/x', 'https is not left'],
  ['http://a/x', 'http://user:pass@b/', 'with a user'],
  ['http://a/x', 'http://[', 'is no URL'],
])('%s to %s is refused: %s', (from, location, why) => {
  expect(() => redirectTarget(from, location)).toThrow(why);
});

test.each<[number, DownloadError[], number]>([
  [1, [failure('transient')], 500],
  [2, [failure('transient')], 1000],
  [1, [failure('transient', 'x', 3), failure('transient', 'x', 1)], 3000],
  [1, [failure('transient', 'x', 86_400)], 30_000],
])('the pause after round %i', (round, failures, expected) => {
  expect(pauseBefore(round, failures, 500)).toBe(expected);
});

test('one source speaks for itself, several are named, and the gravest decides the exit code', () => {
  expect(combined([failure('missing', 'a answered 404')]).message).toBe('a answered 404');
  const both = combined([failure('missing', 'a answered 404'), failure('corrupt', 'b has another sum')]);
  expect(both).toMatchObject({ kind: 'corrupt', exitCode: 6, message: 'none of 2 sources has it: a answered 404; b has another sum' });
});

describe('withFailover', () => {
  const quick = { tries: 3, backoff: 1 };
  const play = async (script: Record<string, (FailureKind | 'ok')[]>): Promise<{ asked: string[]; outcome: string }> => {
    const asked: string[] = [];
    const outcome = await withFailover(new Sources(Object.keys(script)), quick, (source) => {
      asked.push(source);
      const next = (script[source] as string[]).shift() ?? 'transient';
      if (next === 'ok') return Promise.resolve(source);
      return Promise.reject(failure(next as FailureKind, `${source} ${next}`));
    }).catch((error: Error) => error.message);
    return { asked, outcome };
  };

  test.each<[string, Record<string, (FailureKind | 'ok')[]>, string[], string]>([
    ['takes the first', { 'a/': ['ok'], 'b/': ['ok'] }, ['a/'], 'a/'],
    ['goes on at once when it is missing', { 'a/': ['missing'], 'b/': ['ok'] }, ['a/', 'b/'], 'b/'],
    ['does not ask again who lacks it', { 'a/': ['missing'], 'b/': ['transient', 'ok'] }, ['a/', 'b/', 'b/'], 'b/'],
    ['does not retry 404', { 'a/': ['missing'] }, ['a/'], 'a/ missing'],
    ['retries what is corrupt', { 'a/': ['corrupt', 'ok'] }, ['a/', 'a/'], 'a/'],
    ['asks three times', { 'a/': ['transient', 'transient', 'transient', 'ok'] }, ['a/', 'a/', 'a/'], 'a/ transient'],
    ['asks the healthier source first in the next round', { 'a/': ['transient', 'ok'], 'b/': ['corrupt', 'ok'] }, ['a/', 'b/', 'b/'], 'b/'],
  ])('%s', async (_name, script, asked, outcome) => {
    expect(await play(script)).toEqual({ asked, outcome });
  });

  test('another error ends it at once', async () => {
    const attempt = jest.fn().mockRejectedValue(new Error('disk full'));
    await expect(withFailover(new Sources(['a', 'b']), quick, attempt)).rejects.toThrow('disk full');
    expect(attempt).toHaveBeenCalledTimes(1);
  });
});

test('a source gets its slash, and moves back while it fails', () => {
  const sources = new Sources(['http://a/x', 'http://b/']);
  expect(sources.ordered()).toEqual(['http://a/x/', 'http://b/']);
  sources.failed('http://a/x/');
  expect(sources.ordered()).toEqual(['http://b/', 'http://a/x/']);
  sources.succeeded('http://a/x/');
  expect(sources.ordered()).toEqual(['http://a/x/', 'http://b/']);
});

test('a source that fails again and again stays last for the rest of the run, one that lacks a file does not', async () => {
  const sources = new Sources(['a/', 'b/', 'c/']);
  for (let i = 0; i < 3; i++) sources.failed('a/');
  sources.succeeded('a/');
  expect(sources.ordered()).toEqual(['b/', 'c/', 'a/']);
  for (let i = 0; i < 3; i++) sources.failed('b/');
  expect(sources.ordered()).toEqual(['c/', 'a/', 'b/']);
  const asked: string[] = [];
  const lacks = (source: string): Promise<string> => {
    asked.push(source);
    return source === 'c/' ? Promise.reject(failure('missing')) : Promise.resolve(source);
  };
  for (let i = 0; i < 5; i++) expect(await withFailover(sources, { backoff: 1 }, lacks)).toBe('a/');
  expect(asked).toEqual(Array.from({ length: 5 }, () => ['c/', 'a/']).flat());
});

test('forEachParallel keeps the limit, does everything, and stops after an error', async () => {
  let running = 0;
  let most = 0;
  const done: number[] = [];
  const work = async (n: number): Promise<void> => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running--;
    if (n === 99) throw new Error('ninety-nine');
    done.push(n);
  };
  await forEachParallel([1, 2, 3, 4, 5, 6, 7], 3, work);
  expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(most).toBe(3);
  done.length = 0;
  await expect(forEachParallel([1, 99, 2, 3, 4, 5, 6], 2, work)).rejects.toThrow('ninety-nine');
  expect(running).toBe(0);
  expect(done.length).toBeLessThan(4);
});
