/** mirror-host: what runs as root on a mirror's server. */
import { Command, InvalidArgumentError } from 'commander';
import { ExitCode } from '../desired-state/errors';
import { ActivationRequestSchema, ObservationRequestSchema, ProgramsRequestSchema, SCHEMA_VERSION } from '../desired-state/model';
import { activate } from './activate';
import { locked, lockedAndSettled, printing, readRequest, reporting, revertWhenDue, type EventOptions } from './commands';
import { takeCertificate } from './certificates';
import { decommission, decommissionText } from './decommission';
import { generatedKeyFiles } from './generated-keys';
import { generationsText, listGenerations } from './generations';
import { currentGeneration } from './generation';
import { gatherFacts, writeFacts } from './machine';
import { observe } from './observe';
import { hostPaths } from './paths';
import { receivePrograms } from './receive';
import { rollback } from './rollback';
import { confirm } from './settle';
import { describeStatus, readStatus } from './status';

const paths = hostPaths();

function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 86_400) throw new InvalidArgumentError('Must be whole seconds from 0 to 86400.');
  return value;
}

function generationNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Must be the number of a generation (mirror-host generations).');
  return Number(text);
}

const program = new Command('mirror-host')
  .description(`Makes this server match a desired state, as a whole or not at all (schema version ${SCHEMA_VERSION}).`)
  .addHelpText(
    'after',
    '\nReports one JSON document a line, or sentences on a terminal.\nExit codes: 0 done, 2 usage, 3 invalid (nothing changed), 4 locked, 7 environment, 8 rolled back, 1 defect.',
  )
  .exitOverride((error) => process.exit(error.exitCode === 0 ? ExitCode.ok : ExitCode.usage));

program
  .command('receive')
  .description('install the server programs in the request on standard input; runs none of them')
  .option('--json', 'print JSON also on a terminal')
  .action((options: EventOptions) =>
    reporting(options, async (report) => report.result(receivePrograms(paths, await readRequest(ProgramsRequestSchema)))),
  );

program
  .command('activate')
  .description('activate the desired state in the request on standard input; taken back unless `confirm` follows in time')
  .option('--json', 'print JSON also on a terminal')
  .option('--wait <seconds>', 'how long to wait for another deploy', seconds, 120)
  .action((options: EventOptions & { wait: number }) =>
    reporting(options, async (report) => {
      const request = await readRequest(ActivationRequestSchema);
      const run = (by: string) => activate(paths, request, by, report);
      report.result(await lockedAndSettled(paths, request.desiredState.owner, options.wait, report, run));
    }),
  );

program
  .command('confirm')
  .description('keep the generation that was switched to: the operator can still log in')
  .option('--generation <number>', 'which one; without it the one that waits', generationNumber)
  .option('--json', 'print JSON also on a terminal')
  .action((options: EventOptions & { generation?: number }) =>
    reporting(options, async (report) =>
      report.result(await locked(paths, 'confirm', 60, report, () => confirm(paths, options.generation, report))),
    ),
  );

program
  .command('revert')
  .description('take back a deploy that was interrupted, or not confirmed in time; run by a timer and at boot')
  .option('--json', 'print JSON also on a terminal')
  .action((options: EventOptions) => reporting(options, async (report) => report.result(await revertWhenDue(paths, report)), 'journal'));

program
  .command('rollback')
  .description('an emergency: let an older generation serve; shows as drift until the next deploy')
  .option('--to <number>', 'which one; without it the newest that was confirmed before the current', generationNumber)
  .option('--json', 'print JSON also on a terminal')
  .option('--wait <seconds>', 'how long to wait for a deploy', seconds, 120)
  .action((options: EventOptions & { to?: number; wait: number }) =>
    reporting(options, async (report) =>
      report.result(await locked(paths, 'rollback', options.wait, report, (by) => rollback(paths, options.to, by, report))),
    ),
  );

program
  .command('decommission')
  .description('dismantle the mirror: unpublish everything and remove what was installed; content stays')
  .option('--yes', 'do it; without it, say what would be done')
  .option('--json', 'print JSON also on a terminal')
  .action((options: EventOptions & { yes?: true }) =>
    reporting(options, async (report) => {
      if (options.yes === true) return report.result(await locked(paths, 'decommission', 120, report, () => decommission(paths, report)));
      report.progress(decommissionText(currentGeneration(paths).storage?.root, generatedKeyFiles(paths)));
    }),
  );

program
  .command('certificate')
  .description('let the site serve the certificate that certbot has got; run by mirror-certificate.service')
  .argument('<directory>', "certbot's directory of it")
  .option('--json', 'print JSON also on a terminal')
  .action((directory: string, options: EventOptions) =>
    reporting(options, (report) => takeCertificate(paths, directory, currentGeneration(paths), report), 'journal'),
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
  .action((options: EventOptions) => printing(options, () => readStatus(paths), describeStatus));

program
  .command('generations')
  .description('the generations on this server, newest first, and what each changed')
  .option('--json', 'print one JSON document')
  .action((options: EventOptions) => printing(options, () => listGenerations(paths), generationsText));

program
  .command('machine')
  .description('ask disks (SMART), arrays, the clock and systemd how they are, for `mirrorctl health`; run by its timer')
  .option('--json', 'print JSON also on a terminal')
  .action((options: EventOptions) =>
    reporting(
      options,
      async (report) => {
        const facts = await gatherFacts(paths.machine, new Date());
        writeFacts(paths.machine, facts);
        report.progress(`looked at ${facts.disks.length} disks and ${facts.arrays.length} arrays`);
      },
      'journal',
    ),
  );

// The connection may be cut at any moment: what has begun is finished or taken back, whether anybody listens or not.
process.on('SIGHUP', () => undefined);
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

void program.parseAsync();
