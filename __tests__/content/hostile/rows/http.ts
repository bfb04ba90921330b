import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Field } from '../support/field';
import { guard, type Row } from '../support/row';
import { first, type Handler, status } from '../support/server';
import { NEWER, pathOf } from '../support/workshop';

const RPM = pathOf(NEWER);
const INDEX = 'repodata/repomd.xml';
const ERRORS = 'downloads/errors.ts';
const LARGE = 'downloads/large-file.ts';
const RANGES = 'downloads/ranges.ts';
const ROUTES = 'downloads/routes.ts';
const ONCE = { tries: 1 };

const reset: Handler = (request) => void request.socket.destroy();

/** Sends a byte now and then; gives up after seconds, so that a client without a guard does not hang. */
const drip =
  (headers: Record<string, string | number>): Handler =>
  (_request, response) => {
    response.writeHead(200, headers);
    const timer = setInterval(() => response.write('x'), 50);
    setTimeout(() => (clearInterval(timer), response.destroy()), 6000).unref();
    response.on('close', () => clearInterval(timer));
  };

/** Seconds between the first two times that it was asked for. */
function pauses(field: Field, path: string, answer: Handler): number[] {
  const times: number[] = [];
  field.server.on(path, (request, response, count) => {
    times.push(Date.now());
    return first(1, answer)(request, response, count);
  });
  return times;
}

const patient = (name: string, code: string, without: string, after: () => string): Row => {
  let times: number[] = [];
  return {
    name,
    ends: 'survived',
    guard: guard(name.includes('date') ? ERRORS : 'downloads/sources.ts', code, without),
    hostile: (field) =>
      void (times = pauses(field, RPM, (_request, response) => void response.writeHead(503, { 'retry-after': after() }).end())),
    also: () => ((times[1] ?? 0) - (times[0] ?? 0) >= 900 ? [] : [`it came back after ${(times[1] ?? 0) - (times[0] ?? 0)} ms`]),
  };
};

const SIZE = 9 * 1024 * 1024;

/** A large file whose download is cut; then somebody asks for the rest of it. */
function rest(
  name: string,
  requests: number,
  answer: (response: ServerResponse, start: number, body: Buffer) => void,
  file: string,
  code: string,
  without?: string,
): Row {
  let path = '';
  return {
    name: `the rest of a large file: ${name}`,
    attack: 'mix-and-match',
    ends: 'survived',
    guard: guard(file, code, without),
    retry: ONCE,
    hostile: (field) => {
      const body = randomBytes(SIZE);
      path = field.add('productid', body);
      field.server.on(path, (request, response, count) => {
        const etag = '"one"';
        if (count === 1) {
          response.writeHead(200, { 'content-length': SIZE, etag });
          response.write(body.subarray(0, SIZE - 100_000), () => setTimeout(() => response.destroy(), 100));
        } else if (count === 2) answer(response, Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1]), body);
        else response.writeHead(200, { 'content-length': SIZE, etag }).end(body);
      });
    },
    also: (field) => (field.server.asked(path) === requests ? [] : [`it was asked for ${field.server.asked(path)} times`]),
  };
}

function part(response: ServerResponse, range: string, bytes: Buffer, etag = '"one"'): void {
  response.writeHead(206, { 'content-range': `bytes ${range}`, 'content-length': bytes.length, etag }).end(bytes);
}

/** How servers answer. */
export const HTTP: readonly Row[] = [
  {
    name: 'a byte now and then',
    attack: 'slow retrieval',
    exitCode: 5,
    guard: guard('downloads/exchange.ts', 'if (this.windowBytes < lowSpeedBytes * elapsed)'),
    retry: ONCE,
    hostile: (field) => field.server.on(RPM, drip({ 'content-length': field.file(RPM).length })),
    says: /p25-1-1\.noarch\.rpm brings less than 1000 bytes a second/,
    within: 5000,
  },
  {
    name: 'headers that never come',
    attack: 'slow retrieval',
    exitCode: 5,
    guard: guard(ROUTES, 'headersTimeout: headersTimeout ?? 30_000', 'headersTimeout: 0'),
    retry: ONCE,
    hostile: (field) => field.server.on(RPM, (request) => void setTimeout(() => request.socket.destroy(), 6000).unref()),
    says: /p25-1-1\.noarch\.rpm: Headers Timeout/,
    within: 5000,
  },
  {
    name: 'a body that falls silent',
    attack: 'slow retrieval',
    exitCode: 5,
    guard: guard(ROUTES, 'bodyTimeout: idleTimeout ?? 30_000', 'bodyTimeout: 0'),
    retry: ONCE,
    hostile: (field) =>
      field.server.on(RPM, (_request, response) => {
        response.writeHead(200, { 'content-length': field.file(RPM).length }).write('x');
        setTimeout(() => response.destroy(), 6000).unref();
      }),
    says: /p25-1-1\.noarch\.rpm: Body Timeout/,
    within: 5000,
  },
  {
    name: 'a name that nobody knows',
    exitCode: 5,
    guard: guard('downloads/exchange.ts', 'this.fail(connectionFailure(this.options.url, error, this.options.via));', 'this.fail(error);'),
    hostile: (field) => field.fetchFrom('http://no-such-host.invalid/'),
    says: [/http:\/\/no-such-host\.invalid\/repodata\/repomd\.xml: .*getaddrinfo (ENOTFOUND|EAI_AGAIN)/, /add another source to fetchFrom/],
  },
  {
    name: '503 once',
    ends: 'survived',
    guard: guard(ERRORS, ' || status >= 500', ''),
    hostile: (field) => field.server.on(INDEX, first(1, status(503))),
  },
  {
    name: '429 once',
    ends: 'survived',
    guard: guard(ERRORS, ' || status === 429', ''),
    hostile: (field) => field.server.on(INDEX, first(1, status(429))),
  },
  {
    name: '500 twice, for metadata',
    ends: 'survived',
    guard: guard('downloads/sources.ts', 'options.tries ?? 3', 'options.tries ?? 1'),
    hostile: (field) => field.server.on(field.path('primary'), first(2, status(500))),
  },
  {
    name: 'a connection that breaks in the middle of a body',
    ends: 'survived',
    guard: guard(
      ERRORS,
      "return new DownloadError({ kind: 'transient', message: `${url}: ${via}${reason}`",
      "return new DownloadError({ kind: 'refused', message: `${url}: ${via}${reason}`",
    ),
    hostile: (field) =>
      field.server.on(
        INDEX,
        first(1, (_request, response) => {
          response.writeHead(200, { 'content-length': field.file(INDEX).length });
          response.write('x', () => response.destroy());
        }),
      ),
  },
  {
    name: 'a kept connection that closes when it is used again',
    ends: 'survived',
    guard: guard(
      'downloads/connections.ts',
      'if (head !== undefined || job.again >= MAX_AGAIN || !(company || used) || !isBroken(error)) return false;',
      'if (head === head) return false;',
    ),
    retry: ONCE,
    hostile: (field) => field.server.on(RPM, first(1, reset)),
  },
  {
    name: 'the answer to another request',
    attack: 'mix-and-match',
    ends: 'survived',
    guard: guard(
      'downloads/file.ts',
      "if (!shared || !(error instanceof DownloadError) || error.kind === 'transient') throw error;",
      'if (shared || !shared) throw error;',
    ),
    retry: ONCE,
    hostile: (field) => field.server.on(RPM, first(1, status(200, {}, 'the answer to another request'))),
  },
  {
    name: 'many connections in a row break',
    exitCode: 5,
    guard: guard('content/fetch.ts', 'if (inARow >= MAX_IN_A_ROW)'),
    retry: ONCE,
    http: { connections: 1, pipelining: 1 },
    hostile: (field) => {
      field.emptyStore();
      for (let i = 1; i <= 25; i++) field.server.on(pathOf(`p${String(i).padStart(2, '0')}`), reset);
    },
    says: /was not asked for: 10 files in a row could not be had/,
  },
  patient(
    'Retry-After in seconds',
    'const asked = Math.max(0, ...failures.map((f) => (f.retryAfter ?? 0) * 1000));',
    'const asked = 0;',
    () => '1',
  ),
  patient('Retry-After as a date', 'return Number.isNaN(at) ? undefined :', 'return true ? undefined :', () =>
    new Date(Date.now() + 2000).toUTCString(),
  ),
  rest(
    'the whole file',
    2,
    (response, _start, body) => void response.writeHead(200, { 'content-length': SIZE }).end(body),
    LARGE,
    'if (answer.status === 206 || this.received === 0) return undefined;',
    'if (answer === answer) return undefined;',
  ),
  rest(
    'from another place on',
    3,
    (response, start, body) => part(response, `${start - 9}-${SIZE - 1}/${SIZE}`, body.subarray(start - 9)),
    RANGES,
    'Number(from) === rest.offset && ',
    '',
  ),
  rest(
    'not to its end',
    3,
    (response, start, body) => part(response, `${start}-${SIZE - 10}/${SIZE}`, body.subarray(start, SIZE - 9)),
    RANGES,
    'rest.offset && complete &&',
    'rest.offset &&',
  ),
  rest(
    'of another size',
    3,
    (response, start, body) => part(response, `${start}-${SIZE + 8}/${SIZE + 9}`, body.subarray(start)),
    RANGES,
    '(rest.total ?? size) === size',
    'true',
  ),
  rest(
    'of another version',
    3,
    (response, start) => part(response, `${start}-${SIZE - 1}/${SIZE}`, Buffer.alloc(SIZE - start), '"two"'),
    RANGES,
    ' && !otherVersion)',
    ')',
  ),
];
