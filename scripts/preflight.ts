/** `npm run preflight`: looks at every declared upstream before anything is deployed. Writes nothing, on no server. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { exitOnSignals, runProgram } from './program';
import { declaredServers, only, synthesize } from './survey/declared';
import { reportText } from './survey/report';
import { exitCodeOf, preflight, type ServerReport } from './survey/run';
import { parseSpace, parseWhole } from './survey/units';

interface Options {
  readonly json?: boolean;
  readonly only?: readonly string[];
  readonly free?: string;
  readonly timeout: string;
  readonly concurrency: string;
}

const HELP = `
For each address of each repository: does it answer, and how is repomd.xml signed. At the first that has an index: is the trust that main.ts
declares right (and which line to change if not), digests, names, compressions, number and size of packages, newest change. Three packages
are looked at (newest, smallest, largest; about 100 KB of each). Then: the disk and the inodes that the server would need.
Needs no server and no secret. Asks upstreams with GET requests only, once each, and writes nothing but dist/, cdktf.out/ and a temporary directory.

Exit codes:
  0  everything fits
  1  a defect of preflight
  2  the command line is wrong
  3  main.ts cannot be synthesized
  5  some address, file or package cannot be reached
  6  something does not verify, or is not as declared; or the free space is too small (this wins over 5)
  7  this machine lacks a program: gpg, gpgv, rpmkeys, xz, bzip2, zstd

Examples:
  npm run preflight
  npm run preflight -- --only epel-7 --only docker-ce-7
  npm run preflight -- --free 500G --json`;

const program = new Command('preflight')
  .description('Says whether every declared upstream is as main.ts declares it, and what the server would need. Changes nothing.')
  .option('--only <id>', 'look at this repository; can be given again', (id: string, ids: readonly string[] = []) => [...ids, id])
  .option('--free <size>', 'compare with this free space, for instance 500G')
  .option(
    '--timeout <seconds>',
    'how long an upstream may take to answer, or to bring 1,000 bytes for each second; ten times that for all of a repository',
    '20',
  )
  .option('--concurrency <number>', 'repositories at a time', '4')
  .option('--json', 'print everything that was found as JSON')
  .addHelpText('after', HELP)
  .exitOverride();

async function main(options: Options): Promise<void> {
  const timeout = parseWhole('--timeout', options.timeout, 1, 3600);
  const concurrency = parseWhole('--concurrency', options.concurrency, 1, 64);
  const free = options.free === undefined ? undefined : parseSpace('--free', options.free);
  synthesize();
  const servers = only(declaredServers(), options.only ?? []);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const common = { timeout, concurrency, free, main: readFileSync('main.ts', 'utf8'), say, now: () => new Date() };
  const reports: ServerReport[] = [];
  for (const server of servers) reports.push(await preflight(server, common));
  const exitCode = exitCodeOf(reports);
  process.stdout.write(
    options.json === true ? `${JSON.stringify({ exitCode, servers: reports }, null, 2)}\n` : reportText(reports, exitCode),
  );
  process.exitCode = exitCode;
}

exitOnSignals();
runProgram(async () => main(program.parse().opts<Options>()));
