/** SIGKILL at each call by which a sync, or a program that it starts, changes something on disk. */
import { Clients, sightingProblems, type Sightings } from './clients';
import { choice, type Ground } from './ground';
import { endedAs, judgeNext, judgeStruck, type Outcome, type Round } from './judge';
import type { View } from './mirror';
import { Scene } from './scene';
import { clockAt, isOfChild, Striker } from './strike';
import { identityOf, type Call } from './trace';
import type { UpstreamState } from './upstream';

/** How many calls there are, and how many were struck. */
export interface Coverage {
  readonly view: View;
  readonly scenario: string;
  readonly by: string;
  readonly calls: number;
  readonly struck: number;
}

export interface KillOptions {
  readonly view: View;
  /** Every so many calls; 1: each. */
  readonly every: number;
  readonly report: (outcome: Outcome) => void;
  readonly say: (text: string) => void;
}

export const SCENARIOS = ['first sync', 'update'] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** A minute between the runs: names with the time in them do not meet. */
const MINUTE = 60_000;

/** What a scenario begins with, saved under its name; and the state that upstream has then. */
export interface Stage {
  readonly scene: Scene;
  readonly scenario: Scenario;
  readonly upstream: UpstreamState;
  /** Clock of the run that is struck. */
  readonly clock: Date;
  readonly calls: readonly Call[];
  readonly striker: Striker;
}

/** Prepares both scenarios: runs each undisturbed once, and records its calls. */
export async function stagesOf(ground: Ground, view: View): Promise<[Stage, ...Stage[]]> {
  const scene = new Scene(ground, view);
  const clock = new Date(Math.ceil(Date.now() / MINUTE) * MINUTE + 60 * MINUTE);
  const revision = Math.floor(Date.now() / 1000);
  const states = [
    await ground.upstream.make(choice(ground.pool, 0), revision),
    await ground.upstream.make(choice(ground.pool, 1), revision + 1),
  ] as const;
  const striker = new Striker(ground.workshop, scene.mirror, ground.disk, clock);
  const stages: Stage[] = [];
  await scene.begin();
  for (const [index, scenario] of SCENARIOS.entries()) {
    const upstream = states[index as 0 | 1];
    await scene.save(scenario);
    ground.upstream.show(upstream);
    const { ended, calls } = await striker.record();
    if (ended.code !== 0) throw new Error(`the recorded run ended with ${endedAs(ended)}: ${ended.stderr}`);
    scene.learn();
    await scene.restore(scenario);
    stages.push({ scene, scenario, upstream, clock, calls, striker });
    await scene.undisturbed(scene.against(upstream), clockAt(new Date(clock.getTime() - 10 * MINUTE)));
  }
  return stages as [Stage, ...Stage[]];
}

/** Sets the mirror back to the beginning of a stage. */
export async function setBack({ scene, scenario, upstream }: Stage): Promise<Round> {
  await scene.restore(scenario);
  scene.ground.upstream.show(upstream);
  return scene.against(upstream);
}

/** The clock of the run after the one that was struck. */
export const clockAfter = ({ clock }: Stage): NodeJS.ProcessEnv => clockAt(new Date(clock.getTime() + MINUTE));

export async function kills(ground: Ground, options: KillOptions): Promise<{ coverage: Coverage[]; seen: Sightings }> {
  const coverage: Coverage[] = [];
  const stages = await stagesOf(ground, options.view);
  const [{ scene }] = stages;
  const clients = new Clients({
    url: scene.mirror.url(ground.site.mirror),
    signer: scene.mirror.signer,
    signed: true,
    directory: ground.workshop.path('clients', 'kills', options.view),
    now: () => Date.now() / 1000,
    maxAgeSeconds: 49 * 3600,
    random: ground.random,
    clients: 2,
    pauseMs: 20,
  });
  for (const stage of stages) {
    const { scenario } = stage;
    options.say(`${options.view}, ${scenario}: ${stage.calls.length} mutating calls`);
    const struck = new Set<string>();
    const chosen = stage.calls.filter((_, index) => index % options.every === 0);
    for (const [number, call] of chosen.entries()) {
      for (const aim of stage.striker.aims(call, stage.calls)) {
        if (struck.has(identityOf(call))) break;
        const hit = await killAt(stage, call, aim, !isOfChild(call) || number % 2 === 0, clients, options);
        if (hit !== undefined) struck.add(hit);
      }
    }
    coverage.push(...coverageOf(options.view, scenario, stage.calls, struck));
  }
  await clients.close();
  return { coverage, seen: clients.seen };
}

async function killAt(
  stage: Stage,
  call: Call,
  aim: { readonly path: string | undefined; readonly when: number },
  group: boolean,
  clients: Clients,
  { view, report }: KillOptions,
): Promise<string | undefined> {
  const started = Date.now();
  const round = await setBack(stage);
  const watched = round.old !== undefined;
  clients.forget();
  const before = sightingProblems(clients.seen).join();
  if (watched) clients.start();
  const { ended, hit } = await stage.striker.strike(call, aim, 'signal=SIGKILL', group);
  const { after, failures } = await judgeStruck(round, ended, 'store too');
  failures.push(...(await judgeNext(round, clockAfter(stage))));
  if (watched) await clients.stop();
  const saw = sightingProblems(clients.seen).join();
  if (saw !== before) failures.push(saw);
  report({
    part: 'kills',
    view,
    what: `${stage.scenario}, ${hit ?? identityOf(call)}${group ? '' : ', alone'}`,
    after,
    ended: endedAs(ended),
    failures,
    missed: hit === undefined,
    seconds: (Date.now() - started) / 1000,
  });
  return hit;
}

/** Calls and strikes by the program that makes them. Pure. */
export function coverageOf(view: View, scenario: string, calls: readonly Call[], struck: ReadonlySet<string>): Coverage[] {
  const programOf = ({ by }: Call): string => by.split(' ')[0] ?? '';
  return [...new Set(calls.map(programOf))].map((by) => {
    const of = calls.filter((call) => programOf(call) === by);
    return { view, scenario, by, calls: of.length, struck: of.filter((call) => struck.has(identityOf(call))).length };
  });
}
