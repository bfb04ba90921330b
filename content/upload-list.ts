/** What of uploads waits, and what was refused: for `mirrorctl uploads` and for the health of the mirror. */
import { join } from 'node:path';
import { uploadDirectory } from '../desired-state/definitions';
import type { Definitions } from './definitions';
import { size } from './progress';
import { arrivalsIn } from './upload-arrivals';
import { buildsIn } from './upload-builds';
import { refusedIn, type UploadResult } from './upload-results';

export interface WaitingUpload {
  /** A component, or the series of a build. */
  readonly component: string;
  readonly name: string;
  /** `arriving`: not complete by its name, empty, or a build that lacks something. */
  readonly state: 'waits' | 'arriving';
  readonly files: number;
  readonly bytes: number;
  /** When something of it changed last. */
  readonly since: string;
  /** Of a build: what is missing before it is complete. */
  readonly lacks?: string;
}

export interface AccountUploads {
  readonly account: string;
  readonly owner: string;
  /** The oldest first. */
  readonly waiting: readonly WaitingUpload[];
  /** The newest first. */
  readonly refused: readonly (UploadResult & { readonly path: string })[];
}

/** Of every account, or of one of them. */
export async function listUploads({ uploads }: Pick<Definitions, 'uploads'>, root: string): Promise<readonly AccountUploads[]> {
  const found: AccountUploads[] = [];
  for (const { id, owner, components, builds = [] } of uploads) {
    const place = join(root, id);
    const waiting: WaitingUpload[] = [];
    for (const component of components) {
      for (const { name, arriving, files, bytes, changed } of await arrivalsIn(join(place, uploadDirectory(component)))) {
        const state = arriving ? 'arriving' : 'waits';
        waiting.push({ component, name, state, files: files.length, bytes, since: new Date(changed).toISOString() });
      }
    }
    for (const { series, directory } of builds) {
      for (const { name, files, bytes, changed, lacks } of await buildsIn(join(place, directory))) {
        const state = lacks === undefined ? 'waits' : 'arriving';
        const since = new Date(changed).toISOString();
        waiting.push({ component: series, name, state, files, bytes, since, ...(lacks === undefined ? {} : { lacks }) });
      }
    }
    found.push({ account: id, owner, waiting, refused: await refusedIn(place) });
  }
  return found;
}

/** For people. */
export function uploadLines(accounts: readonly AccountUploads[]): readonly string[] {
  if (accounts.length === 0) return ['no account uploads to this server: declare an UploadAccount in main.ts'];
  return accounts.flatMap(({ account, owner, waiting, refused }) => [
    `${account} (${owner}): ${waiting.length === 0 ? 'nothing waits' : `${waiting.length} waiting`}, ${refused.length} refused within 30 days`,
    ...waiting.map(
      ({ component, name, state, files, bytes, since, lacks }) =>
        `  ${state}  ${component}  ${name} (${files === 1 ? 'one file' : `${files} files`}, ${size(bytes)}), unchanged since ${minute(since)}${lacks === undefined ? '' : `, lacks ${lacks}`}`,
    ),
    ...refused.flatMap(({ component, upload, at, files, path }) => [
      `  refused  ${component}  ${upload} at ${minute(at)}; it is in ${path}`,
      ...files.filter(({ result }) => result === 'refused').map(({ file, message }) => `    ${file}: ${message}`),
    ]),
  ]);
}

function minute(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ');
}
