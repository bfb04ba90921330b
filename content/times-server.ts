import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { TIME_LOCATION } from '../desired-state/render/nginx';
import type { SnapshotTime, TimeAnswer, Times } from './times';

/**
 * Tells nginx which file a URL with a time means: nginx asks over a socket that it alone may write to, has decided before who may read, and serves
 * the bytes itself. Ends when nobody has asked for so long; the socket starts it again.
 *
 * @param listening descriptor of the socket
 */
export async function serveTimes(times: Times, listening: number, idleSeconds: number): Promise<void> {
  const server: Server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    idle.refresh();
    respond(times, request, response).catch((error: unknown) => {
      process.stderr.write(`mirrorctl: ${request.url ?? ''}: ${error instanceof Error ? error.message : String(error)}\n`);
      if (response.headersSent) response.destroy();
      else text(response, 500, 'The server could not look it up; its journal says why: journalctl -u mirror-time.');
    });
  });
  const closed = new Promise<void>((resolve, reject) => server.on('close', resolve).on('error', reject));
  const end = (): void => void server.close();
  const idle = setTimeout(end, idleSeconds * 1000);
  server.listen({ fd: listening });
  process.once('SIGTERM', end);
  await closed;
  clearTimeout(idle);
}

async function respond(times: Times, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { url = '/', method, headers } = request;
  response.setHeader('Connection', 'close');
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    text(response, 405, 'Only GET and HEAD.');
    return;
  }
  const answer = await times.answer(url);
  switch (answer.kind) {
    case 'file':
      redirect(response, answer);
      return;
    case 'slash':
      response.setHeader('Location', `${url.split('?', 1)[0]}/`);
      text(response, 301, 'This is a directory.');
      return;
    case 'times':
      list(response, answer.publicPath, answer.times, headers.accept?.includes('application/json') === true || /[?&]json(&|=|$)/.test(url));
      return;
    case 'refused':
      text(response, answer.status, answer.message);
  }
}

function redirect(response: ServerResponse, { file, sunset }: Extract<TimeAnswer, { kind: 'file' }>): void {
  response.setHeader('X-Accel-Redirect', `${TIME_LOCATION}${file.map(encodeURIComponent).join('/')}`);
  // RFC 8594, as an HTTP date.
  if (sunset !== undefined) response.setHeader('Sunset', new Date(sunset).toUTCString());
  response.removeHeader('Content-Type');
  response.end();
}

function text(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-cache' });
  response.end(`${message}\n`);
}

/** Newest first. */
function list(response: ServerResponse, publicPath: string, times: readonly SnapshotTime[], json: boolean): void {
  const newest = [...times].reverse();
  response.setHeader('Cache-Control', 'no-cache');
  response.setHeader('Vary', 'Accept');
  if (json) {
    response.setHeader('Content-Type', 'application/json');
    response.end(`${JSON.stringify({ path: `/${publicPath}/`, times: newest }, undefined, 1)}\n`);
    return;
  }
  const lines = newest.map(({ time, goes, gone }) => {
    if (gone !== undefined) return `<li>${time} (removed on ${gone.slice(0, 10)})</li>`;
    return `<li><a href="../@${time}/">${time}</a>${goes === undefined ? '' : ` (goes on ${goes.slice(0, 10)})`}</li>`;
  });
  const title = `Times of /${escaped(publicPath)}/`;
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.end(
    `<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>${title}</title></head><body>\n<h1>${title}</h1>\n<p>Any UTC time works: <code>@2026-11-22T02:30:00Z</code> is the snapshot that was current then.</p>\n<ul>\n${lines.join('\n')}\n</ul>\n</body></html>\n`,
  );
}

function escaped(value: string): string {
  return value.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
