/**
 * Run by `data.local_command` while planning, in the directory of a synthesized stack: prints what becomes the trigger `last_drift`, and
 * nothing else. What a deploy would meet goes to standard error, for `npm run plan`.
 */
import { digestOf } from '../desired-state/canonical';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { desiredStateDigest, FORESEEN_LINE, type Foreseen, type ObservationRequest } from '../desired-state/model';
import { credentialsFrom } from '../transport/credentials';
import { runHostCommand } from './deploy/host-command';
import { readDesiredState, readPrograms, readTarget } from './deploy/inputs';
import { Login } from './deploy/login';
import { runProgram } from './deploy/main';
import { hostProgram, INSTALLED_PROGRAM } from './deploy/remote';
import { readPresentSecrets } from './deploy/secrets';

async function observe(directory: string, environment: NodeJS.ProcessEnv): Promise<{ text: string; foreseen?: Foreseen }> {
  const target = readTarget(directory);
  const { desiredState } = readDesiredState(directory);
  const programs = readPrograms(__dirname);
  const request: ObservationRequest = {
    owner: desiredState.owner,
    secrets: readPresentSecrets(Object.keys(desiredState.secrets), target.secrets, environment),
    elements: Object.fromEntries(desiredState.elements.map((element) => [element.id, digestOf(element)])),
    deploy: {
      desiredState: desiredStateDigest(desiredState),
      programs: programs.digest,
      storage: desiredState.storage,
      waivers: desiredState.waivers,
      ...(desiredState.generatedKeys === undefined ? {} : { generatedKeys: desiredState.generatedKeys }),
      elements: Object.fromEntries(
        desiredState.elements.map(({ id, links, adopts }) => [id, { links, ...(adopts === undefined ? {} : { adopts }) }]),
      ),
    },
  };
  const login = new Login(target, credentialsFrom(environment));
  try {
    const connection = await login.connect().catch((error: unknown) => {
      throw withoutServer(error);
    });
    // The programs that are planned, else those that the server has: it may be asked before they arrive.
    for (const program of [hostProgram(programs), INSTALLED_PROGRAM]) {
      const outcome = await runHostCommand(connection, [program, 'observe', '--json'], JSON.stringify(request), () => undefined);
      if ('result' in outcome && outcome.result.kind === 'observation') return outcome.result;
    }
    // The time makes it another value in every plan: a bare server always shows.
    return { text: `no generation on ${target.address} (asked ${new Date().toISOString()})` };
  } finally {
    login.close();
  }
}

/** Planning without the server is possible: say how. */
function withoutServer(error: unknown): unknown {
  if (!(error instanceof MirrorError) || error.exitCode !== ExitCode.unreachable) return error;
  const { code, message, exitCode } = error;
  const remedy = `${error.remedy} To plan without asking the server, set MIRROR_OBSERVE=0.`;
  return new MirrorError({ code, message, remedy, exitCode, cause: error });
}

runProgram(async () => {
  const { text, foreseen } = await observe(process.cwd(), process.env);
  process.stdout.write(text);
  // The provider keeps standard error beside the answer: `npm run plan` finds it in the plan, and no trigger has it.
  if (foreseen !== undefined) process.stderr.write(`${FORESEEN_LINE}${JSON.stringify(foreseen)}\n`);
});
