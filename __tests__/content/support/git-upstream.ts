import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const AUTHOR = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@example.org', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@example.org' };

/** A git repository that tests commit to. */
export class GitRepository {
  readonly directory = mkdtempSync(join(tmpdir(), 'git-'));

  constructor() {
    this.git('init', '--quiet', '--initial-branch=main', '.');
    // As public servers are: any commit may be asked for.
    this.git('config', 'uploadpack.allowAnySHA1InWant', 'true');
  }

  git(...argv: string[]): string {
    const env = {
      ...process.env,
      ...AUTHOR,
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_COMMITTER_DATE: '@1600000000 +0000',
      GIT_AUTHOR_DATE: '@1600000000 +0000',
    };
    return execFileSync('git', argv, { cwd: this.directory, env, encoding: 'utf8' }).trim();
  }

  /** Commits files; returns the commit. */
  commit(files: Readonly<Record<string, string>>): string {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.directory, path)), { recursive: true });
      writeFileSync(join(this.directory, path), text);
    }
    this.git('add', '--all');
    this.git('commit', '--quiet', '--message', 'a commit');
    return this.git('rev-parse', 'HEAD');
  }
}

/** Serves the repositories below a directory by git's own program, as public servers do. */
export class GitServer {
  readonly requests: string[] = [];
  /** Answers instead of git where it returns true. */
  instead: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  private server: Server | undefined;

  constructor(private readonly root: string) {}

  async start(): Promise<this> {
    this.server = createServer((request, response) => {
      this.requests.push(request.url as string);
      if (this.instead?.(request, response) !== true) this.answer(request, response);
    });
    await new Promise<void>((resolve) => this.server?.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server?.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, search } = new URL(request.url as string, 'http://x');
    const child = spawn('git', ['http-backend'], {
      env: {
        PATH: process.env['PATH'],
        GIT_PROJECT_ROOT: this.root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
        PATH_INFO: pathname,
        QUERY_STRING: search.slice(1),
        REQUEST_METHOD: request.method,
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        GIT_PROTOCOL: (request.headers['git-protocol'] as string | undefined) ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    request.pipe(child.stdin);
    child.stdin.on('error', () => undefined);
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('close', () => {
      const all = Buffer.concat(chunks);
      const end = all.indexOf('\r\n\r\n');
      const headers = all
        .subarray(0, end)
        .toString('latin1')
        .split('\r\n')
        .map((line) => line.split(': ') as [string, string]);
      const status = Number(headers.find(([name]) => name === 'Status')?.[1].slice(0, 3) ?? 200);
      response.writeHead(status, Object.fromEntries(headers.filter(([name]) => name !== 'Status')));
      response.end(all.subarray(end + 4));
    });
  }
}
