// Upstream repositories: directories of real packages with createrepo_c's metadata, served by nginx on the loopback interface, and once more
// through toxiproxy, which answers 20 ms later.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '../measure.mjs';
import { cache, complete, fileOf, isNew, packages } from './packages.mjs';

export const LATENCY = 20;

const range = (from, count) => Array.from({ length: count }, (_, i) => from + i);

/** A repository of the first `count` packages, of which in state `k` the first `changed` × k have a newer version. Returns its directory. */
export async function repository(count, { changed = 0, state = 0 } = {}) {
  const directory = join(cache, 'repositories', `${count}-${changed}-${state}`);
  if (!isNew(directory)) return directory;
  for (const path of await packages(range(0, count))) linkSync(path, join(directory, basename(path)));
  for (let k = 1; k <= state; k++) {
    const numbers = range((k - 1) * changed, changed).map((i) => i % count);
    for (const i of numbers) rmSync(join(directory, fileOf(i, 0)), { force: true });
    for (const path of await packages(numbers, k)) linkSync(path, join(directory, basename(path)));
  }
  await run('createrepo_c', ['--quiet', '--no-database', directory]);
  complete(directory);
  return directory;
}

/**
 * A repository whose metadata lists `count` packages, each like one of `files` real ones but for its name and path: what a program does per
 * package, without as many downloads.
 */
export async function listedRepository(count, files) {
  const directory = join(cache, 'repositories', `listed-${count}-${files}`);
  if (!isNew(directory)) return directory;
  const real = (await packages(range(0, files))).map((path) => {
    const bytes = readFileSync(path);
    return { path, size: bytes.length, id: createHash('sha256').update(bytes).digest('hex') };
  });
  const hrefOf = (i) => `Packages/listed-${i}-1-1.noarch.rpm`;
  mkdirSync(join(directory, 'Packages'));
  mkdirSync(join(directory, 'repodata'));
  real.forEach(({ path }, i) => linkSync(path, join(directory, hrefOf(i))));
  const requires = range(0, 8).map((i) => `<rpm:entry name="a-library-that-is-needed-${i}" flags="GE" epoch="0" ver="1.${i}"/>`);
  const lists = {
    primary: [
      'metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"',
      (i, { id, size }) =>
        `<package type="rpm"><name>listed-${i}</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/><checksum type="sha256" pkgid="YES">${id}</checksum><summary>Package ${i}</summary><description>The package number ${i} of a repository that is large.</description><packager/><url>http://example.org/</url><time file="1500000000" build="1400000000"/><size package="${size}" installed="3000" archive="3500"/><location href="${hrefOf(i)}"/><format><rpm:license>MIT</rpm:license><rpm:vendor/><rpm:group>Unspecified</rpm:group><rpm:buildhost>localhost</rpm:buildhost><rpm:sourcerpm>listed-${i}-1-1.src.rpm</rpm:sourcerpm><rpm:header-range start="4504" end="6000"/><rpm:provides><rpm:entry name="listed-${i}" flags="EQ" epoch="0" ver="1" rel="1"/></rpm:provides><rpm:requires>${requires.join('')}</rpm:requires><file>/usr/bin/listed-${i}</file></format></package>\n`,
    ],
    filelists: [
      'filelists xmlns="http://linux.duke.edu/metadata/filelists"',
      (i, { id }) =>
        `<package pkgid="${id}" name="listed-${i}" arch="noarch"><version epoch="0" ver="1" rel="1"/><file>/usr/bin/listed-${i}</file></package>\n`,
    ],
    other: [
      'otherdata xmlns="http://linux.duke.edu/metadata/other"',
      (i, { id }) => `<package pkgid="${id}" name="listed-${i}" arch="noarch"><version epoch="0" ver="1" rel="1"/></package>\n`,
    ],
  };
  const records = Object.entries(lists).map(([type, [element, one]]) => {
    const body = range(0, count).map((i) => one(i, real[i % files]));
    const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<${element} packages="${count}">\n${body.join('')}</${element.split(' ')[0]}>\n`;
    const bytes = gzipSync(xml);
    const digest = (data) => createHash('sha256').update(data).digest('hex');
    writeFileSync(join(directory, 'repodata', `${digest(bytes)}-${type}.xml.gz`), bytes);
    return `<data type="${type}"><checksum type="sha256">${digest(bytes)}</checksum><open-checksum type="sha256">${digest(xml)}</open-checksum><location href="repodata/${digest(bytes)}-${type}.xml.gz"/><timestamp>1500000000</timestamp><size>${bytes.length}</size><open-size>${Buffer.byteLength(xml)}</open-size></data>`;
  });
  writeFileSync(
    join(directory, 'repodata', 'repomd.xml'),
    `<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1500000000</revision>\n${records.join('\n')}\n</repomd>\n`,
  );
  complete(directory);
  return directory;
}

/** The web server, and the same with latency. */
export class Web {
  /** @param directory of this run */
  static async start(directory) {
    const web = new Web();
    web.root = join(directory, 'www');
    mkdirSync(web.root, { recursive: true });
    const port = await freePort();
    web.loopback = `http://127.0.0.1:${port}`;
    const configuration = join(directory, 'nginx.conf');
    writeFileSync(
      configuration,
      `daemon off; pid ${directory}/nginx.pid; error_log ${directory}/nginx.log; worker_processes auto; user root;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; types { } default_type application/octet-stream;
  client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy; fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
  server { listen 127.0.0.1:${port}; root ${web.root};
    location ~ ^/copies/[0-9]+/(.*)$ { alias ${web.root}/copied/$1; } } }
`,
    );
    web.children = [spawn('nginx', ['-c', configuration, '-e', join(directory, 'nginx.log')], { stdio: ['ignore', 'ignore', 'inherit'] })];
    await eventually(() => fetch(web.loopback));
    web.port = port;
    return web;
  }

  /** The address through toxiproxy. */
  async slow() {
    if (this.latency !== undefined) return this.latency;
    const toxiproxy = await toxiproxyServer();
    const [port, control] = [await freePort(), await freePort()];
    this.children.push(spawn(toxiproxy, ['-host', '127.0.0.1', '-port', String(control)], { stdio: 'ignore' }));
    const api = async (path, body) => {
      const answer = await fetch(`http://127.0.0.1:${control}${path}`, { method: 'POST', body: JSON.stringify(body) });
      if (!answer.ok) throw new Error(`toxiproxy refuses ${path}: ${await answer.text()}`);
    };
    const proxy = { name: 'slow', listen: `127.0.0.1:${port}`, upstream: `127.0.0.1:${this.port}`, enabled: true };
    await eventually(() => api('/proxies', proxy));
    await api('/proxies/slow/toxics', { type: 'latency', stream: 'downstream', attributes: { latency: LATENCY, jitter: 0 } });
    return (this.latency = `http://127.0.0.1:${port}`);
  }

  /** From now on the repository `name` is what is in `directory`. */
  serve(name, directory) {
    const link = join(this.root, name);
    rmSync(`${link}.new`, { force: true });
    symlinkSync(directory, `${link}.new`);
    renameSync(`${link}.new`, link);
  }

  async stop() {
    for (const child of this.children) {
      const ended = new Promise((resolve) => child.on('close', resolve));
      if (child.exitCode === null) child.kill();
      await ended;
    }
  }
}

/** The path of the program; it is built the first time. */
async function toxiproxyServer() {
  const directory = join(cache, 'programs');
  const program = join(directory, 'server');
  if (existsSync(program) && statSync(program).size > 0) return program;
  mkdirSync(directory, { recursive: true });
  await run('go', ['install', 'github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0'], { env: { GOBIN: directory } });
  return program;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function eventually(action) {
  for (let tries = 0; ; tries++) {
    try {
      return await action();
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Brings every earlier write to disk, so that no run pays for another's. */
export function settle() {
  execFileSync('sync');
}
