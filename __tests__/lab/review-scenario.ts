/** What the tests of reviewed plans begin with: a project on a platform, and a mirror that was deployed before plans were reviewed. */
import { readFileSync } from 'node:fs';
import { startStateServer, type StateServer } from '../support/state-server';
import { GITLAB_TOKEN, Platform, type JobRun } from './review-support';
import { adding, asItIs, fetchPath, lab, labEnvironment, withDeployment } from './support';

export const STATE_PASSWORD = 'CANARY-state-password';
export const PLAN_KEY = 'CANARY-plan-key';

/** A platform, its state server, and a mirror that was deployed before plans were reviewed. */
export interface Review {
  readonly platform: Platform;
  readonly state: StateServer;
  /** As GitHub's environments hold them. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Points a deployment by hand at the same state. */
  readonly sameState: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

export async function startReview(): Promise<Review> {
  lab('up');
  const env = labEnvironment();
  const state = await startStateServer({ user: 'ci', password: STATE_PASSWORD });
  const sameState = { MIRROR_STATE: `${state.url}/mirror`, TF_HTTP_USERNAME: 'ci', TF_HTTP_PASSWORD: STATE_PASSWORD };
  const secrets = {
    ...sameState,
    MIRROR_SSH_KEY: readFileSync(env['MIRROR_SSH_KEY'] as string, 'utf8').trimEnd(),
    MIRROR_SIGNING_KEY: readFileSync(env['MIRROR_SIGNING_KEY_FILE'] as string, 'utf8'),
    MIRROR_PLAN_KEY: PLAN_KEY,
  };
  // What main.ts of a real project would say itself.
  const { MIRROR_ADDRESS, MIRROR_PORT, MIRROR_USER, MIRROR_HOST_KEY, MIRROR_KEYS } = env;
  const platform = new Platform({ MIRROR_ADDRESS, MIRROR_PORT, MIRROR_USER, MIRROR_HOST_KEY, MIRROR_KEYS }, secrets, {
    ...sameState,
    MIRROR_PLAN_KEY: PLAN_KEY,
    GITLAB_TOKEN,
    // Variables of type "file": the platform writes them and passes their paths.
    MIRROR_SSH_KEY: env['MIRROR_SSH_KEY'] as string,
    MIRROR_SIGNING_KEY_FILE: env['MIRROR_SIGNING_KEY_FILE'] as string,
  });
  await platform.start();
  await withDeployment(asItIs, (deployment) => deployment.deploy(), sameState);
  const stop = async (): Promise<void> => {
    await withDeployment(asItIs, (deployment) => deployment.deploy());
    platform.stop();
    await state.remove();
  };
  return { platform, state, secrets, sameState, stop };
}

/** An edit of main.ts that adds a public customer with one codename. */
export const addingCustomer = (name: string): ((main: string) => string) =>
  adding(`const ${name} = new Customer(server, '${name}', { access: Access.public() });
new MosCodename(${name}, 'mos9.0-centos7', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });
`);

/** What the site answers to who asks for a customer's yum configuration. */
export const served = async (name: string): Promise<number> => (await fetchPath(`/${name}/mos9.0-centos7.repo`)).status;
export const jobs = (runs: readonly JobRun[]): string[] => runs.map((r) => `${r.job}: ${r.status === 0 ? 'ok' : `exit ${r.status}`}`);
