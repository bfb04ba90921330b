/**
 * Run by Terraform's local-exec in the directory of a synthesized stack: makes the server match the planned desired state, in one SSH
 * session, confirmed over a second. Everything it needs to know comes from files beside the stack and from the environment; see `docs/architecture.md`.
 */
import type { ActivationRequest } from '../desired-state/model';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { credentialsFrom } from '../transport/credentials';
import { confirmGeneration } from './deploy/confirm';
import { runHostCommand, type HostOutcome } from './deploy/host-command';
import { readDesiredState, readPrograms, readTarget, requirePlanned } from './deploy/inputs';
import { Login } from './deploy/login';
import { runProgram } from './deploy/main';
import { hostProgram, installPrograms } from './deploy/remote';
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
    secrets: readSecrets(Object.keys(desiredState.secrets), target.secrets, environment),
    lastDrift: environment.MIRROR_LAST_DRIFT ?? '',
  };

  const tell = (text: string): void => void process.stdout.write(`${target.address}: ${text}\n`);
  const login = new Login(target, credentialsFrom(environment));
  try {
    const connection = await login.connect();
    const program = hostProgram(programs);
    const activate = (): Promise<HostOutcome> => runHostCommand(connection, [program, 'activate', '--json'], JSON.stringify(request), tell);
    let outcome = await activate();
    if ('unavailable' in outcome) {
      await installPrograms(connection, programs, () => login.rootShell(), tell);
      outcome = await activate();
    }
    if ('unavailable' in outcome || outcome.result.kind !== 'activation') {
      throw new MirrorError({
        code: 'BOOTSTRAP_INCOMPLETE',
        message: `${target.address} cannot run the server programs after they were installed${'unavailable' in outcome ? `: ${outcome.unavailable}` : ''}`,
        remedy: 'Look there: command -v node; ls -l /usr/local/lib/mirror. Something removes or forbids them.',
        exitCode: ExitCode.environment,
      });
    }
    const { result } = outcome;
    if (result.confirmSeconds !== undefined) {
      await confirmGeneration(result.generation, result.confirmSeconds, program, () => login.anew(), tell);
    }
    tell(describeActivation(result));
  } finally {
    login.close();
  }
}

runProgram(() => apply(process.cwd(), process.env));
