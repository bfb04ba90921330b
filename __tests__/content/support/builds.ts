import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { BuildRecord } from '../../../content/build-record';
import type { Definitions } from '../../../content/definitions';
import { Layout } from '../../../content/layout';
import type { BuildRetention, BuildsDefinition } from '../../../desired-state/definitions';

export const SERIES = 'master/centos/flock';

export function archive(series: readonly string[] = [SERIES], retention?: BuildRetention): BuildsDefinition {
  return {
    kind: 'builds',
    id: 'stx-master',
    branch: 'master',
    distribution: 'centos',
    series: [...series],
    ...(retention === undefined ? {} : { retention }),
  };
}

/** A storage root of its own, with the sentinel; `remove` when the test is done. */
export function buildStorage(): { readonly layout: Layout; readonly definitions: Definitions; readonly remove: () => void } {
  const base = mkdtempSync(join(tmpdir(), 'builds-'));
  const layout = new Layout(join(base, 'root'), join(base, 'state'), join(base, 'configuration'));
  mkdirSync(layout.store, { recursive: true });
  writeFileSync(layout.sentinel, '');
  const definitions = {
    server: { storageRoot: layout.root, ownMount: false },
    builds: [archive()],
    releases: [],
  } as unknown as Definitions;
  return { layout, definitions, remove: () => rmSync(base, { recursive: true }) };
}

export interface MadeBuild {
  readonly timestamp: string;
  readonly series?: string;
  /** Path below the build → text. */
  readonly files?: Readonly<Record<string, string>>;
  /** Undefined: as published. `false`: the record is lost. */
  readonly record?: Partial<BuildRecord> | false;
}

/** Puts a build in its place as a publish leaves it, without the store. */
export function makeBuild(layout: Layout, { timestamp, series = SERIES, files = { Success: '' }, record = {} }: MadeBuild): string {
  const directory = layout.build(series, timestamp);
  for (const [path, text] of Object.entries({ 'logs/build.log': 'all that was done\n', ...files })) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  const has = (name: string): boolean => name in files || `outputs/${name}` in files;
  const paths = Object.keys(files).length + 1;
  const whole: BuildRecord = {
    version: 1,
    series,
    timestamp,
    publishedAt: `${timestamp.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6')}.000Z`,
    succeeded: has('Success'),
    noNewContent: has('No_New_Content'),
    files: paths,
    bytes: 1000,
    newBytes: 100,
    dockerImages: Object.keys(files).some((path) => path.startsWith('outputs/docker-images/')),
    repositories: [],
    manifest: '0'.repeat(64),
    ...(record === false ? {} : record),
  };
  if (record === false) return directory;
  const path = layout.buildRecord(series, timestamp, 'json');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(whole));
  return directory;
}
