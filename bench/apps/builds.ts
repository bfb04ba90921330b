// A storage root with one series of builds, as publishing leaves it: files of the store by hard links, a manifest and a record each.
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { linksOf } from '../../content/builds';
import { Layout } from '../../content/layout';
import { manifestLine } from '../../content/release-manifest';
import { replaceLink } from '../../content/snapshot';
import { timestampOf } from '../../starlingx/build-layout';

const [work = '', builds = '', files = ''] = process.argv.slice(2);
const SERIES = 'master/centos/flock';
const DAY = 24 * 3600 * 1000;
/** Of the files of a build so many are its own. */
const CHANGED = 0.1;
const DIRECTORIES = 30;

const layout = new Layout(join(work, 'storage'), join(work, 'state'), join(work, 'configuration'));
const content = (text: string): { readonly path: string; readonly hex: string } => {
  const hex = createHash('sha256').update(text).digest('hex');
  return { hex, path: join(layout.store, 'sha256', hex.slice(0, 2), hex) };
};

async function main(): Promise<void> {
  mkdirSync(layout.store, { recursive: true });
  writeFileSync(layout.sentinel, '');
  mkdirSync(join(layout.configuration, 'definitions/builds'), { recursive: true });
  const definition = { kind: 'builds', id: 'stx', branch: 'master', distribution: 'centos', series: [SERIES] };
  // YAML is a superset of JSON.
  writeFileSync(join(layout.configuration, 'definitions/builds/stx.yaml'), JSON.stringify(definition));
  writeFileSync(
    join(layout.configuration, 'definitions/server.yaml'),
    JSON.stringify({ kind: 'server', storageRoot: layout.root, ownMount: false }),
  );
  rmSync(join(layout.root, 'builds'), { recursive: true, force: true });
  const now = Date.now();
  const made = [];
  for (let n = 0; n < Number(builds); n++) {
    const timestamp = timestampOf(new Date(now - (n + 1) * DAY));
    const tree = layout.build(SERIES, timestamp);
    let manifest = '';
    for (let f = 0; f < Number(files); f++) {
      const path = `outputs/RPMS/std/${f % DIRECTORIES}/file-${f}`;
      const text = f < Number(files) * CHANGED ? `${timestamp} ${f}` : `shared ${f}`;
      const { path: stored, hex } = content(text);
      mkdirSync(dirname(stored), { recursive: true });
      writeFileSync(stored, text);
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      linkSync(stored, join(tree, path));
      manifest += manifestLine({ path, size: text.length, checksum: { algorithm: 'sha256', hex } });
    }
    const record = {
      version: 1,
      series: SERIES,
      timestamp,
      publishedAt: new Date(now - (n + 1) * DAY).toISOString(),
      succeeded: true,
      noNewContent: false,
      files: Number(files),
      bytes: manifest.length,
      newBytes: 0,
      dockerImages: false,
      repositories: [],
      manifest: createHash('sha256').update(manifest).digest('hex'),
    };
    mkdirSync(dirname(layout.buildRecord(SERIES, timestamp, 'json')), { recursive: true });
    writeFileSync(layout.buildRecord(SERIES, timestamp, 'json'), JSON.stringify(record));
    writeFileSync(layout.buildRecord(SERIES, timestamp, 'manifest'), manifest);
    made.push(record);
  }
  for (const [link, timestamp] of linksOf(made)) await replaceLink(join(layout.series(SERIES), link), timestamp);
}

void main();
