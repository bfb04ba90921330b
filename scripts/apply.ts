/**
 * Run by Terraform's local-exec in the directory of a synthesized stack: makes the server match the planned desired state, in one SSH
 * connection. Everything it needs to know comes from files beside the stack and from the environment; see `docs/architecture.md`.
 */
import type { ActivationRequest } from '../desired-state/model';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { connect } from '../transport/connection';
import { credentialsFrom } from '../transport/credentials';
import { runHostCommand, type HostOutcome } from './deploy/host-command';
import { readDesiredState, readPrograms, readTarget, requirePlanned } from './deploy/inputs';
import { runProgram } from './deploy/main';
import { activateScript, bootstrapServer, NODE_MISSING, PROGRAMS_MISSING } from './deploy/remote';
import { describeActivation } from './deploy/report';
import { readSecrets } from './deploy/secrets';

async function apply(directory: string, environment: NodeJS.ProcessEnv): Promise<void> {
  const target = readTarget(directory);
  const { desiredState, sha256 } = readDesiredState(directory);
  requirePlanned('the desired state', 'MIRROR_DESIRED_STATE_SHA256', environment.MIRROR_DESIRED_STATE_SHA256, sha256);
  const programs = readPrograms(__dirname);
  requirePlanned('the server programs', 'MIRROR_PROGRAMS_SHA256', environment.MIRROR_PROGRAMS_SHA256, programs.digest);
  const request: ActivationRequest = {
    desiredState,
    programs: programs.digest,
    secrets: readSecrets(desiredState.secrets, target.secrets, environment),
    lastDrift: environment.MIRROR_LAST_DRIFT ?? '',
  };

  const tell = (text: string): void => void process.stdout.write(`${target.address}: ${text}\n`);
  const connection = await connect(target, credentialsFrom(environment));
  try {
    const activate = (): Promise<HostOutcome> =>
      runHostCommand(connection, activateScript(programs), request, [NODE_MISSING, PROGRAMS_MISSING], tell);
    let outcome = await activate();
    if ('scriptExit' in outcome) {
      await bootstrapServer(connection, programs, tell);
      outcome = await activate();
    }
    if ('scriptExit' in outcome || outcome.result.kind !== 'activation') {
      throw new MirrorError({
        code: 'BOOTSTRAP_INCOMPLETE',
        message: `${target.address} still lacks Node or the server programs after they were installed`,
        remedy: 'Look there: command -v node; ls -l /usr/local/lib/mirror. Something removes them.',
        exitCode: ExitCode.environment,
      });
    }
    tell(describeActivation(outcome.result));
  } finally {
    connection.close();
  }
}

runProgram(() => apply(process.cwd(), process.env));
