/** A Terraform plan of a mirror, in sentences that say what changes on the server. Pure: from `terraform show -json`. */
import {
  confirmSentences,
  connectionSentences,
  driftSentences,
  loginOf,
  secretChanges,
  secretNames,
  takenOver,
  waivers,
  waiverSentences,
  type Repair,
} from './activation';
import { aliasSentences, setSentences } from './aliases';
import { backupSentences } from './backup';
import { buildSentences } from './builds';
import { changesOf, plural, type Change } from './changes';
import { observedBy, observedInTrigger, type Observed } from './observed';
import { accountSentences, componentCount, ownerSentences } from './owners';
import { releaseSentences } from './releases';
import { repositorySentences } from './repositories';
import { waiverSentences as repositoryWaivers } from './selection';
import { serverSentences } from './server';
import { uploadSentences } from './uploads';
import { foreseenIn, plannedElements, type Planned, type TerraformPlan } from './terraform-plan';

export type { TerraformPlan } from './terraform-plan';

/** One thing that changes on the server. */
export type PredictedChange = { readonly element: string; readonly action: Change['action'] } | Repair;

export interface PlanSummary {
  /** Whether the plan has anything to apply; what it applies may leave the server as it is. */
  readonly changes: boolean;
  /** One sentence a change, in the order of reading: server, customers, repositories, accounts, secrets, programs, waivers, drift. */
  readonly sentences: readonly string[];
  /** What changes on the server, and nothing else: declared elements, `secret/<name>`, `owner`, and the files and units that are repaired. */
  readonly onServer: readonly PredictedChange[];
  readonly server: {
    /** Whether the apply makes the server do anything: it validates, at least. */
    readonly activates: boolean;
    /** Whether a new generation is written and nginx reloads. */
    readonly newGeneration: boolean;
    /** Whether other server programs are installed. */
    readonly programs: boolean;
    /** Why the apply would fail and change nothing. */
    readonly refused?: string;
  };
}

/** Stands in where a plan is made from a source that has none. */
const NO_ACTIVATION: Planned = { element: 'activation', action: 'change', before: {}, after: {}, tainted: false };

export function summarize(plan: TerraformPlan): PlanSummary {
  const planned = plannedElements(plan);
  const changes = planned.some((one) => one.action !== 'keep');
  const activation = planned.find((one) => one.element === 'activation') ?? NO_ACTIVATION;
  const idle = { activates: false, newGeneration: false, programs: false };
  if (!changes || activation.action === 'keep') {
    return {
      changes,
      sentences: changes ? ['changes nothing on the server: the activation is not part of this plan'] : [],
      onServer: [],
      server: idle,
    };
  }
  if (activation.action === 'remove') {
    return { changes, sentences: ['forgets the server: nothing is dismantled there'], onServer: [], server: idle };
  }
  const foreseen = foreseenIn(plan);
  const observed = foreseen === undefined ? observedInTrigger(planned, activation) : observedBy(foreseen);
  if (observed.refused !== undefined) {
    const refused = observed.refused;
    return { changes, sentences: [`would be REFUSED, and change nothing: ${refused}`], onServer: [], server: { ...idle, refused } };
  }
  if (observed.generation === 0) return setUp(planned, activation);
  const things = changesOf(planned, observed.pending);
  const secrets = secretChanges(activation, foreseen, observed.deviations);
  const drift = driftSentences(observed.deviations);
  const programs =
    observed.samePrograms === undefined
      ? activation.before !== undefined && activation.before['programs'] !== activation.after?.['programs']
      : !observed.samePrograms;
  const newGeneration = !(observed.unchanged ?? guessUnchanged(activation, observed, things));
  const sentences = [
    ...connectionSentences(activation),
    ...(takesOver(activation, observed) ? [`takes the server over from ${observed.owner}`] : []),
    ...serverSentences(things),
    ...ownerSentences(things),
    ...repositorySentences(things),
    ...releaseSentences(things),
    ...buildSentences(things),
    ...aliasSentences(things),
    ...setSentences(things),
    ...backupSentences(things),
    ...accountSentences(things),
    ...uploadSentences(things),
    ...secrets.map((secret) => secret.sentence),
    ...(programs ? ['upgrades the server programs'] : []),
    ...waiverSentences(activation, things, observed.owner),
    ...confirmSentences(activation),
    ...drift.sentences,
  ];
  return {
    changes,
    sentences: [...sentences, ...againSentences(activation, observed, newGeneration, sentences.length > 0)],
    onServer: [
      ...(takesOver(activation, observed) ? [{ element: 'owner', action: 'change' as const }] : []),
      ...things.map(({ element, action }) => ({ element, action })),
      ...secrets.filter((secret) => secret.changes).map((secret) => ({ element: `secret/${secret.name}`, action: secret.action })),
      ...drift.repairs,
    ],
    server: { activates: true, newGeneration, programs },
  };
}

/** A server without a generation: everything is new, and one sentence says how much. */
function setUp(planned: readonly Planned[], activation: Planned): PlanSummary {
  const things = changesOf(
    planned.filter((one) => one.after !== undefined),
    { exact: false, added: planned.map((one) => one.element), changed: [], removed: [] },
  );
  const of = (kind: string): Change[] => things.filter((one) => one.kind === kind);
  const hosted = of('codename').reduce((sum, one) => sum + componentCount(one), 0);
  const parts = [
    `${plural(of('repository').length, 'copied repository')}, whose first sync starts in the background`,
    `${plural(of('tree').length, 'file tree')}, likewise`,
    `${plural(of('downloads').length, 'set')} of downloads, likewise`,
    `${plural(of('lists').length, 'set')} of package lists, likewise`,
    `${plural(of('codename').length, 'codename')} (${plural(hosted, 'repository')})`,
    plural(of('customer').length, 'customer'),
    plural(of('release').length, 'release'),
    plural(of('builds').length, 'build archive'),
  ].filter((part) => !part.startsWith('0 '));
  const why = activation.before === undefined ? 'for the first time' : 'again, since it has no generation';
  const secrets = secretNames(activation).map((name) => `secret/${name}`);
  return {
    changes: true,
    sentences: [
      ...connectionSentences(activation),
      `sets up ${loginOf(activation)} ${why}: ${parts.length === 0 ? 'nothing is declared' : parts.join(', ')}`,
      ...backupSentences(things),
      ...accountSentences(things),
      ...uploadSentences(things),
      ...things
        .filter((one) => ['repository', 'downloads', 'lists'].includes(one.kind))
        .flatMap((one) => repositoryWaivers(one.id, undefined, one.after)),
      ...waiverSentences(activation, things, undefined),
    ],
    onServer: ['owner', ...things.map((one) => one.element), ...secrets].map((element) => ({ element, action: 'add' as const })),
    server: { activates: true, newGeneration: true, programs: true },
  };
}

function takesOver(activation: Planned, observed: Observed): boolean {
  return observed.owner !== undefined && waivers(activation.after).some((text) => takenOver(text) === observed.owner);
}

/** Without the server's word: whatever the plan shows to differ makes a new generation. */
function guessUnchanged(activation: Planned, observed: Observed, things: readonly Change[]): boolean {
  const { before, after } = activation;
  if (before === undefined || after === undefined) return false;
  const same = ['server', 'programs', 'secrets'].every((name) => before[name] === after[name]);
  return same && things.length === 0 && observed.deviations.length === 0 && before['desired_state'] === after['desired_state'];
}

/** Why there is an activation where no sentence tells: after a failed apply, in a state that is new, or for a setting that has no words. */
function againSentences(activation: Planned, observed: Observed, newGeneration: boolean, told: boolean): string[] {
  const stays = observed.generation === undefined ? '' : ` (generation ${observed.generation} stays)`;
  const nothing = newGeneration || told ? '' : `; nothing changes on the server${stays}`;
  if (activation.tainted) return [`activates again, since the last apply did not finish${nothing}`];
  const isNew = activation.before === undefined;
  if (isNew && observed.unchanged === undefined) return [`deploys to ${loginOf(activation)} for the first time from this state`];
  if (told) return [];
  if (isNew && !newGeneration) return [`takes the server into a new state${nothing}`];
  return [newGeneration ? 'activates a changed desired state' : `activates again${nothing}`];
}

/** The sentences, as a list. */
export function sentenceLines(summary: Pick<PlanSummary, 'sentences'>): string {
  return summary.sentences.map((sentence) => `  - ${sentence}\n`).join('');
}

/** As `npm run plan` prints it. */
export function summaryText(summary: PlanSummary): string {
  if (!summary.changes) return 'Nothing to do: the server matches main.ts.\n';
  const { refused, newGeneration } = summary.server;
  const lines = sentenceLines(summary);
  if (refused !== undefined) return `Applying this plan:\n${lines}`;
  const interrupts = newGeneration ? 'nginx reloads: no download and no sync is interrupted.' : 'Nothing is reloaded.';
  return `Applying this plan:\n${lines}${interrupts}\n`;
}
