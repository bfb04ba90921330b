/**
 * Makes a server's content without upstreams, for benchmarks: `snapshots.cjs DIRECTORY REPOSITORIES PACKAGES BYTES`. Snapshots are built by the engine's
 * own builder; packages are sparse files of so many bytes under made-up digests, since nothing that is measured reads them. It prints the time at which all were published.
 */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { buildSnapshot } from '../../content/build-snapshot';
import { Layout } from '../../content/layout';
import { Store } from '../../content/store';
import { emptyMetadata } from '../../rpm-metadata/empty';
import type { ListedPackage } from '../../rpm-metadata/primary';

async function main(directory: string, repositories: number, packages: number, bytes: number): Promise<void> {
  const [root, state, configuration] = ['storage', 'state', 'configuration'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const write = (path: string, value: unknown): void => {
    mkdirSync(dirname(join(configuration, path)), { recursive: true });
    writeFileSync(join(configuration, path), stringify(value));
  };
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, '.mirror-data'), '');
  write('definitions/server.yaml', { kind: 'server', storageRoot: root, ownMount: false });
  const layout = new Layout(root, state, configuration);
  const store = new Store(layout.store);
  for (let n = 0; n < repositories; n++) {
    const id = `repository-${n}`;
    const url = `https://upstream.example.org/${id}/`;
    const trust = { mode: 'digestsOnly', reason: 'a benchmark' };
    const publicPath = `mirror/centos/upstream.example.org/${id}`;
    write(`definitions/repositories/${id}.yaml`, {
      kind: 'repository',
      id,
      publishedAs: url,
      publicPath,
      fetchFrom: [url],
      trust,
      view: 'accumulate',
    });
    const listed = Array.from({ length: packages }, (_, i) => packageOf(id, i, bytes));
    for (const { checksum } of listed) sparse(store.path(checksum), bytes);
    const { repomd, files } = emptyMetadata();
    await buildSnapshot(layout, store, await store.incoming(id), {
      id,
      at: new Date(),
      graceSeconds: 3600,
      published: undefined,
      packages: listed,
      lost: [],
      withheld: [],
      files: files.map(({ name, bytes: content }) => ({ path: `repodata/${name}`, bytes: content })),
      write: () => Promise.resolve({ repomd: repomd.bytes, signature: undefined, key: undefined, made: [] }),
      announce: () => Promise.resolve(),
      record: { definition: 'benchmark', repomd: 'benchmark', url, upstreamPackages: packages, problems: [] },
    });
  }
  process.stdout.write(new Date().toISOString().replace(/\.\d+Z$/, 'Z'));
}

function packageOf(id: string, i: number, size: number): ListedPackage {
  const name = `package-${i}`;
  const path = `Packages/${name}-1.${i % 10}-1.el7.x86_64.rpm`;
  const checksum = { algorithm: 'sha256' as const, hex: createHash('sha256').update(`${id} ${i}`).digest('hex') };
  return { name, epoch: '0', version: `1.${i % 10}`, release: '1.el7', arch: 'x86_64', path, href: path, checksum, size };
}

function sparse(path: string, size: number): void {
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, 'w', 0o444);
  ftruncateSync(file, size);
  closeSync(file);
}

const [directory = '', ...numbers] = process.argv.slice(2);
const [repositories = 20, packages = 2500, bytes = 100_000] = numbers.map(Number);
main(directory, repositories, packages, bytes).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
