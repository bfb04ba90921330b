// Stands in for the comment APIs of GitHub and GitLab, which cannot run here: the same paths, methods, status codes and fields, for one token
// each. GET /recorded returns all comments and requests; POST /recorded adds a comment as somebody else.
import { createServer } from 'node:http';

const [githubToken, gitlabToken] = process.argv.slice(2);
const comments = []; // { id, pull, body, login, edited }
const requests = [];

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString();
    const { status, body } = answer(request, text === '' ? undefined : JSON.parse(text));
    // A test that waits for a program cannot see that an idle connection was closed.
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(body ?? null));
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));

function answer(request, body) {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/recorded') {
    if (request.method === 'GET') return { status: 200, body: { comments, requests } };
    comments.push({ id: comments.length + 1, edited: 0, ...body });
    return { status: 201 };
  }
  requests.push(`${request.method} ${url.pathname}`);
  if (url.pathname.startsWith('/github/')) {
    if (request.headers.authorization !== `Bearer ${githubToken}`) return { status: 401, body: { message: 'Bad credentials' } };
    return github(request.method, url, body);
  }
  if (request.headers['private-token'] !== gitlabToken) return { status: 401, body: { message: '401 Unauthorized' } };
  return gitlab(request.method, url, body);
}

function github(method, url, body) {
  if (url.pathname === '/github/user') return { status: 403, body: { message: 'Resource not accessible by integration' } };
  const shown = (c) => ({ id: c.id, body: c.body, user: { login: c.login } });
  const pull = /^\/github\/repos\/example\/mirror\/issues\/(\d+)\/comments$/.exec(url.pathname)?.[1];
  if (pull) return list(method, url, Number(pull), body, 'github-actions[bot]', shown);
  const id = /^\/github\/repos\/example\/mirror\/issues\/comments\/(\d+)$/.exec(url.pathname)?.[1];
  return id && method === 'PATCH' ? edit(Number(id), body, shown) : { status: 404, body: { message: 'Not Found' } };
}

function gitlab(method, url, body) {
  if (url.pathname === '/gitlab/user') return { status: 200, body: { username: 'project_42_bot' } };
  const shown = (c) => ({ id: c.id, body: c.body, author: { username: c.login } });
  const [, pull, id] = /^\/gitlab\/projects\/42\/merge_requests\/(\d+)\/notes(?:\/(\d+))?$/.exec(url.pathname) ?? [];
  if (pull && !id) return list(method, url, Number(pull), body, 'project_42_bot', shown);
  return id && method === 'PUT' ? edit(Number(id), body, shown) : { status: 404, body: { message: '404 Not Found' } };
}

function list(method, url, pull, body, login, shown) {
  if (method === 'GET') {
    const [size, page] = [Number(url.searchParams.get('per_page') ?? 30), Number(url.searchParams.get('page') ?? 1)];
    return {
      status: 200,
      body: comments
        .filter((c) => c.pull === pull)
        .slice((page - 1) * size, page * size)
        .map(shown),
    };
  }
  if (Buffer.byteLength(body.body) > 65_536)
    return { status: 422, body: { message: 'Validation Failed: body is too long (maximum is 65536 characters)' } };
  const comment = { id: comments.length + 1, pull, login, body: body.body, edited: 0 };
  comments.push(comment);
  return { status: 201, body: shown(comment) };
}

function edit(id, body, shown) {
  const comment = comments.find((c) => c.id === id);
  if (!comment) return { status: 404, body: { message: 'Not Found' } };
  comment.body = body.body;
  comment.edited++;
  return { status: 200, body: shown(comment) };
}
