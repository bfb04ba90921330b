/** mirror-host: what runs as root on a mirror's server. */
import { Command, InvalidArgumentError } from 'commander';
import type { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { ActivationRequestSchema, ObservationRequestSchema, SCHEMA_VERSION } from '../desired-state/model';
import { activate } from './activate';
import { bootstrap } from './bootstrap';
import { asMirrorError, reporter, type Reporter } from './events';
import { describeCaller, takeLock } from './lock';
import { observe } from './observe';
import { hostPaths } from './paths';
import { requirePrograms } from './programs';
import { parseRequest } from './request';
import { describeStatus, readStatus } from './status';

const paths = hostPaths();

/** Reads the JSON document on standard input. Not by readFileSync, which fails on a pipe that has nothing to read yet. */
async function readRequest<T extends z.ZodTypeAny>(schema: T): Promise<z.output<T>> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return parseRequest(schema, Buffer.concat(chunks).toString('utf8'));
}

async function locked<T>(owner: string, waitSeconds: number, report: Reporter, action: () => Promise<T>): Promise<T> {
  const lock = await takeLock(paths.lock, describeCaller(process.env, owner), waitSeconds, (text) => report.stillHeard(text));
  try {
    return await action();
  } finally {
    lock.release();
  }
}

/** Prints a line; false when nobody reads any more. */
function printLine(line: string): Promise<boolean> {
  return new Promise((resolve) => process.stdout.write(`${line}\n`, (error) => resolve(!error)));
}

interface EventOptions {
  readonly json?: true;
}

/** Runs a command that reports events; its error is the last event, its exit code the process's. */
async function reporting(options: EventOptions, action: (report: Reporter) => Promise<void>): Promise<void> {
  const report = reporter(options.json === true || !process.stdout.isTTY, printLine);
  try {
    requireRoot();
    await action(report);
  } catch (thrown) {
    const error = asMirrorError(thrown);
    report.error(error);
    process.exitCode = error.exitCode;
  }
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new MirrorError({
    code: 'NOT_ROOT',
    message: 'mirror-host works as root only',
    remedy: 'Run it with sudo.',
    exitCode: ExitCode.environment,
  });
}

function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 86_400) throw new InvalidArgumentError('Must be whole seconds from 0 to 86400.');
  return value;
}

const program = new Command('mirror-host')
  .description(`Makes this server match a desired state, as a whole or not at all (schema version ${SCHEMA_VERSION}).`)
  .addHelpText(
    'after',
    '\nReports one JSON document a line, or sentences on a terminal.\nExit codes: 0 done, 2 usage, 3 invalid (nothing changed), 4 locked, 7 environment, 8 rolled back, 1 defect.',
  )
  .exitOverride((error) => process.exit(error.exitCode === 0 ? ExitCode.ok : ExitCode.usage));

program
  .command('bootstrap')
  .description('install packages, user and directories; reads an activation request on standard input, switches nothing')
  .option('--json', 'print JSON also on a terminal')
  .option('--wait <seconds>', 'how long to wait for another deploy', seconds, 120)
  .action((options: EventOptions & { wait: number }) =>
    reporting(options, async (report) => {
      const request = await readRequest(ActivationRequestSchema);
      requirePrograms(paths, request.programs);
      await locked(request.desiredState.owner, options.wait, report, () =>
        bootstrap(paths, request.desiredState, request.programs, report),
      );
      report.progress('the server is ready for its first generation');
    }),
  );

program
  .command('activate')
  .description('activate the desired state in the request on standard input')
  .option('--json', 'print JSON also on a terminal')
  .option('--wait <seconds>', 'how long to wait for another deploy', seconds, 120)
  .action((options: EventOptions & { wait: number }) =>
    reporting(options, async (report) => {
      const request = await readRequest(ActivationRequestSchema);
      report.result(await locked(request.desiredState.owner, options.wait, report, () => activate(paths, request, report)));
    }),
  );

program
  .command('observe')
  .description('compare the server with its generation and with the request on standard input; changes nothing')
  .option('--json', 'print JSON also on a terminal')
  .action((options: EventOptions) =>
    reporting(options, async (report) => report.result(await observe(paths, await readRequest(ObservationRequestSchema), new Date()))),
  );

program
  .command('status')
  .description('which generation serves, whose it is, since when, and what deviates')
  .option('--json', 'print one JSON document')
  .action((options: EventOptions) =>
    readStatus(paths).then(
      (status) => void process.stdout.write(options.json === true ? `${JSON.stringify(status)}\n` : `${describeStatus(status)}\n`),
      (thrown: unknown) => {
        const error = asMirrorError(thrown);
        process.stderr.write(`${error.describe()}\n`);
        process.exitCode = error.exitCode;
      },
    ),
  );

// The connection may be cut at any moment: what has begun is finished or taken back, whether anybody listens or not.
process.on('SIGHUP', () => undefined);
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

void program.parseAsync();
