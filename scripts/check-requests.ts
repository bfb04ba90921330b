/** `npm run check-requests`: before review, whether what a branch asks for in lists can be met. Changes nothing but the file of digests, if asked to. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { DownloadError } from '../downloads/errors';
import { exitOnSignals, runProgram } from './program';
import { commitOf, mergeBase, textsAt } from './requests/base';
import { changed, filesOf, requestsOf } from './requests/changed';
import { declaredLists, type ServerLists } from './requests/declared';
import { digestNow, recordedName, withDigests } from './requests/record';
import { exitCodeOf, reportText } from './requests/report';
import { clientOf, lookFor, type RunOptions } from './requests/run';
import type { Report, Request, Result } from './requests/types';
import { synthesize } from './survey/declared';
import { parseWhole, usage } from './survey/units';

interface Options {
  readonly base?: string;
  readonly all: boolean;
  readonly mirror?: string;
  readonly record: boolean;
  readonly timeout: string;
  readonly concurrency: string;
  readonly json: boolean;
}

const HELP = `
Requests are the lines of the lists that main.ts declares (PackageLists, TarballDownloads, InstallTree). Each that the base does not have is looked for:
on the mirror (with --mirror), in the package lists of all declared repositories' upstreams, or at the URL that the line says, where the header of
a package must name what the line names. A repository that does not answer costs that repository: what only it might have is "unknown".

Exit codes:
  0  each request can be met
  1  a defect of check-requests
  2  the command line is wrong
  3  main.ts cannot be synthesized, or nobody has what some line asks for
  5  some repository or URL cannot be reached, and what is asked for may be there, or its digest cannot be recorded (--record)
  6  something else is at a URL than its line says (this wins over 3, 3 over 5)
  7  this machine lacks a program: git, gpg, gpgv, xz, bzip2, zstd

Examples:
  npm run check-requests
  npm run check-requests -- --base HEAD~1 --mirror http://mirror.example.org
  npm run check-requests -- --record
  npm run check-requests -- --all --json`;

const program = new Command('check-requests')
  .description('Says whether what the lists of this branch ask for can be met, and by whom.')
  .option('--base <ref>', 'look at lines that this commit does not have (default: where the branch left origin/main, or main)')
  .option('--all', 'look at all lines', false)
  .option('--mirror <url>', 'ask this mirror first, for instance http://mirror.example.org')
  .option('--record', 'fetch what has a URL and no recorded digest, and write its digest into the file that the construct names', false)
  .option('--timeout <seconds>', 'how long an upstream may take to answer; ten times that for all of a repository', '20')
  .option('--concurrency <number>', 'repositories and URLs at a time', '4')
  .option('--json', 'print everything that was found as JSON', false)
  .addHelpText('after', HELP)
  .exitOverride();

async function main(options: Options): Promise<void> {
  if (options.all && options.base !== undefined) throw usage('--all and --base contradict each other', 'Give one of them.');
  if (options.mirror !== undefined && !/^https?:\/\/[^/]+/.test(options.mirror))
    throw usage(`--mirror ${JSON.stringify(options.mirror)} is no URL`, 'For instance --mirror http://mirror.example.org');
  const run: RunOptions = {
    mirror: options.mirror?.replace(/\/+$/, ''),
    timeout: parseWhole('--timeout', options.timeout, 1, 3600),
    concurrency: parseWhole('--concurrency', options.concurrency, 1, 64),
    say: (line) => void process.stderr.write(`${line}\n`),
  };
  synthesize();
  const servers = declaredLists();
  if (servers.every(({ lists }) => lists.length === 0))
    throw usage('main.ts declares no lists', 'Declare them: PackageLists, TarballDownloads or InstallTree.');
  const commit = options.all ? undefined : options.base === undefined ? mergeBase() : commitOf(options.base);
  const results: Result[] = [];
  const unasked: Report['unasked'][number][] = [];
  for (const one of servers) {
    const requests = selected(one, commit);
    const found = await lookFor(requests, one.server, one.lists, run);
    results.push(...(options.record ? await recorded(found.results, one, run.timeout) : found.results));
    unasked.push(...found.unasked);
  }
  const report: Report = { results, unasked, comparedWith: commit === undefined ? 'nothing: all lines' : commit.slice(0, 12) };
  const exitCode = exitCodeOf(report);
  process.stdout.write(options.json ? `${JSON.stringify({ exitCode, ...report }, null, 2)}\n` : reportText(report));
  process.exitCode = exitCode;
}

function selected({ lists }: ServerLists, commit: string | undefined): readonly Request[] {
  const requests = lists.flatMap(requestsOf);
  if (commit === undefined) return requests;
  const paths = filesOf(requests);
  return changed(requests, textsAt(commit, paths), new Map(paths.map((path) => [path, readFileSync(path, 'utf8')])));
}

/** Writes the digests that are missing, where the construct names a file for them. */
async function recorded(results: readonly Result[], { lists }: ServerLists, timeout: number): Promise<readonly Result[]> {
  const client = clientOf(timeout);
  const temporary = await mkdtemp(join(tmpdir(), 'check-requests-'));
  const after: Result[] = [];
  try {
    for (const result of results) {
      const file = lists.find(({ definition }) => definition.id === result.request.id)?.digests;
      const name = recordedName(result.request);
      if (result.digest !== 'missing' || result.verdict === 'cannot be met' || result.verdict === 'is another' || name === undefined)
        after.push(result);
      else if (file === undefined)
        after.push({ ...result, remedy: `Declare a file for digests in main.ts: digests: '<path>' of ${result.request.id}.` });
      else {
        after.push(await withDigest(result, file, name, () => digestNow(client, result.request, temporary)));
      }
    }
    return after;
  } finally {
    await client.close();
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Writes the digest of one; where it cannot be had, that is said of this one. */
async function withDigest(result: Result, file: string, name: string, digest: () => Promise<string>): Promise<Result> {
  try {
    const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
    writeFileSync(file, withDigests(before, new Map([[name, await digest()]])));
    return { ...result, digest: 'written' };
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    const { message, remedy } = error;
    return {
      ...result,
      digest: 'failed',
      reason: result.reason ?? `its digest cannot be recorded: ${message}`,
      remedy: result.remedy ?? remedy,
    };
  }
}

exitOnSignals();
runProgram(async () => main(program.parse().opts<Options>()));
