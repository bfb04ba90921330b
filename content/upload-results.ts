/** What became of uploads: told to the account in `results/`, and to operators in `refused/`, beside what was refused. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ExitCode } from '../desired-state/errors';
import { UPLOADS } from '../desired-state/model';
import { removeTree, writeAtomically } from './files';
import { readJson } from './json-file';

/** Faults of what was uploaded, or of what is declared for it: everything else passes, or is for an operator. */
export const CONCERNS_UPLOAD: ReadonlySet<ExitCode> = new Set([ExitCode.invalid, ExitCode.untrusted]);

/** How long results and what was refused are kept. */
export const KEPT_DAYS = 30;

const FileSchema = z.object({
  file: z.string(),
  package: z.string().optional(),
  /** `withheld`: nothing is wrong with it, but with another file of the batch. */
  result: z.enum(['published', 'skipped', 'refused', 'withheld']),
  code: z.string().optional(),
  message: z.string().optional(),
  remedy: z.string().optional(),
});
export type UploadedFile = z.infer<typeof FileSchema>;

const ResultSchema = z.object({
  /** Name of the file or batch; of a build its time. */
  upload: z.string(),
  /** Id of the component, or the series of a build. */
  component: z.string(),
  at: z.string(),
  result: z.enum(['published', 'refused']),
  /** What is published now because of it; absent where everything was there already. */
  snapshot: z.string().optional(),
  files: z.array(FileSchema),
});
/** `skipped` files count as published: the very same is there. */
export type UploadResult = z.infer<typeof ResultSchema>;

/** For people. */
export function resultText({ upload, component, at, result, files }: UploadResult): string {
  const lines = files.map(({ file, result: of, message, remedy }) =>
    message === undefined ? `  ${of}  ${file}` : `  ${of}  ${file}: ${message}${remedy === undefined ? '' : `\n      ${remedy}`}`,
  );
  return [`${component}, ${upload}: ${result} at ${at}`, ...lines, ''].join('\n');
}

/** Says in `results/<codename>/<component>/`, or `results/<archive>/<layer>/`, what became of an upload, in the place of what became of one of the same name before. */
export async function tellAccount(place: string, directory: string, result: UploadResult): Promise<void> {
  const base = join(place, UPLOADS.results, directory, fileName(result.upload));
  await writeAtomically(`${base}.json`, `${JSON.stringify(result, undefined, 1)}\n`);
  await writeAtomically(`${base}.txt`, resultText(result));
}

/** A directory of its own for something that is refused. The caller moves it there, as `REFUSED`. */
export async function refusedDirectory(place: string, result: UploadResult): Promise<string> {
  const base = join(place, UPLOADS.refused, `${result.at.replaceAll(/[-:]|\.\d+/g, '')}-${fileName(result.upload)}`);
  for (let number = 1; ; number++) {
    const path = number === 1 ? base : `${base}.${number}`;
    try {
      await mkdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      continue;
    }
    await writeAtomically(join(path, REASON), `${JSON.stringify(result, undefined, 1)}\n`);
    return path;
  }
}

const REASON = 'result.json';
export const REFUSED = 'upload';

/** What was refused and is still here, the newest first. */
export async function refusedIn(place: string): Promise<readonly (UploadResult & { readonly path: string })[]> {
  const names = await readdir(join(place, UPLOADS.refused)).catch(() => [] as string[]);
  const found = await Promise.all(
    names.map(async (name) => {
      const path = join(place, UPLOADS.refused, name);
      const result = await readJson(join(path, REASON), ResultSchema).catch(() => undefined);
      // A run that was killed in between refuses it again.
      return result === undefined || !existsSync(join(path, REFUSED)) ? [] : [{ ...result, path }];
    }),
  );
  return found.flat().sort((a, b) => (a.at > b.at ? -1 : 1));
}

/** Removes what is older than `KEPT_DAYS`. What does not let itself be removed stays: it harms nobody. */
export async function forgetOld(place: string, now: Date): Promise<void> {
  const old = now.getTime() - KEPT_DAYS * 24 * 3_600_000;
  const isOld = async (path: string): Promise<boolean> => ((await stat(path).catch(() => undefined))?.mtimeMs ?? Infinity) < old;
  for (const name of await readdir(join(place, UPLOADS.refused)).catch(() => [] as string[])) {
    const path = join(place, UPLOADS.refused, name);
    if (await isOld(path)) await removeTree(path).catch(() => undefined);
  }
  for (const path of await filesBelow(join(place, UPLOADS.results))) if (await isOld(path)) await removeTree(path).catch(() => undefined);
}

async function filesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) found.push(...(await filesBelow(path)));
    else found.push(path);
  }
  return found;
}

/** Names of files that an account chose: where they are none that a batch or a package has, without what is odd. */
function fileName(name: string): string {
  return name
    .replaceAll(/[^A-Za-z0-9._+~^-]/g, '_')
    .replace(/^\./, '_')
    .slice(0, 200);
}
