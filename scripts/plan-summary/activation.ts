/** Sentences about the activation: the connection, secrets, programs, waivers, drift. Pure. */
import { MIRROR_KEY, SIGNING_KEYS, type Foreseen } from '../../desired-state/model';
import { besides, linesOf, listed, type Change } from './changes';
import type { Planned, Triggers } from './terraform-plan';

/** How many repairs a sentence names. */
const REPAIRS_NAMED = 20;

/** How deploys connect; nothing that happens on the server. */
export function connectionSentences(activation: Planned): string[] {
  const { before, after } = activation;
  if (before === undefined || after === undefined || before['server'] === after['server']) return [];
  const [was, now] = [server(before), server(after)];
  if (was.endpoint !== now.endpoint) return [`deploys to another server: ${now.login} (was ${was.login})`];
  const sentences: string[] = [];
  if (was.login !== now.login) sentences.push(`logs in as ${now.login} (was ${was.login})`);
  const [more, less] = [besides(was.keys, now.keys), besides(now.keys, was.keys)];
  if (more.length > 0) sentences.push(`expects the host key ${more.join(' or ')}`);
  if (less.length > 0) sentences.push(`expects the host key ${less.join(' or ')} no longer`);
  return sentences;
}

function server(triggers: Triggers): { login: string; endpoint: string; keys: string[] } {
  const [login = '', ...keys] = (triggers['server'] ?? '').split(' ');
  return { login, endpoint: login.replace(/^[^@]*@/, ''), keys };
}

/** `root@mirror.example.org:22`. */
export function loginOf(activation: Planned): string {
  return server(activation.after ?? {}).login || 'the server';
}

export interface SecretChange {
  readonly name: string;
  readonly action: 'add' | 'change' | 'remove';
  readonly sentence: string;
  /** Whether the content changes, as far as is known. */
  readonly changes: boolean;
}

const [SIGNING, PREVIOUS] = SIGNING_KEYS;

export function secretChanges(activation: Planned, foreseen: Foreseen | undefined, deviations: readonly string[]): SecretChange[] {
  const [before, after] = [versions(activation.before), versions(activation.after)];
  const rotated = [...after].flatMap(([name, version]): SecretChange[] => {
    const other = deviations.includes(`the secret ${name} is another than the deployed one`);
    const was = before.get(name);
    const change = (sentence: string, changes = true): SecretChange[] => [{ name, action: 'change', sentence, changes }];
    const effect = name === SIGNING ? `: ${effectOfRotation(after.has(PREVIOUS), foreseen)}` : '';
    if (was !== undefined && was !== version) {
      if (foreseen?.secrets[name] === 'same')
        return change(`calls the secret ${name} version ${version} (was ${was}): its content is the deployed one`, false);
      return change(`rotates the secret ${name} (version ${was} to ${version})${effect}`);
    }
    if (was === undefined && before.size > 0 && name !== SIGNING && name !== PREVIOUS)
      return [{ name, action: 'add', sentence: `brings the secret ${name} (version ${version})`, changes: true }];
    if (!other) return [];
    const same = was === undefined ? '' : `, and its version is ${version} as before`;
    return change(`replaces the secret ${name}, which differs from the deployed one${same}${effect}`);
  });
  return [...rotated, ...overlapChanges(before, after)];
}

/** What clients see of another signing key. */
function effectOfRotation(overlap: boolean, foreseen: Foreseen | undefined): string {
  const anew = 'hosted repositories are signed anew, accumulated ones by their next sync';
  const refused = `clients that have only the former key REFUSE them until they import /${MIRROR_KEY.publicPath}`;
  if (!overlap) return `${anew}; ${refused}`;
  if (foreseen?.previousKey === 'other') return `${anew}; the declared previousSigningKey is NOT the key that signs now: ${refused}`;
  return `${anew}, and the former key goes on signing beside it`;
}

function overlapChanges(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): SecretChange[] {
  const [was, is] = [before.get(PREVIOUS), after.get(PREVIOUS)];
  // Where nothing was deployed before, nothing changes for anybody.
  if (before.size === 0 || (was === undefined) === (is === undefined)) return [];
  const common = { name: PREVIOUS, changes: true } as const;
  if (is !== undefined) return [{ ...common, action: 'add', sentence: `signs with the former key (${PREVIOUS} version ${is}) too` }];
  const sentence = `ends the overlap of signing keys (${PREVIOUS} version ${was}): clients that have only that one REFUSE what the mirror signs`;
  return [{ ...common, action: 'remove', sentence }];
}

/** Names of the secrets that are declared. */
export function secretNames(activation: Planned): string[] {
  return [...versions(activation.after).keys()];
}

function versions(triggers: Triggers | undefined): Map<string, string> {
  const lines = linesOf(triggers, 'secrets');
  return new Map(
    lines.map((line) => /^(\S+) version (.*)$/.exec(line)?.slice(1) as [string, string] | undefined).filter((pair) => pair !== undefined),
  );
}

/** What the confirmation changes: never the server. */
export function confirmSentences(activation: Planned): string[] {
  const [was, now] = [activation.before?.['confirm'], activation.after?.['confirm']];
  return was === undefined || now === undefined || was === now ? [] : [`lets the server wait for confirmations ${now} (was ${was})`];
}

/** Waivers that this plan brings or uses; those that it takes away. */
export function waiverSentences(activation: Planned, changes: readonly Change[], owner: string | undefined): string[] {
  const [before, after] = [waivers(activation.before), waivers(activation.after)];
  const removed = new Set(changes.filter((one) => one.action === 'remove').map((one) => one.element));
  const used = (text: string): boolean =>
    (owner !== undefined && takenOver(text) === owner) || waivedElements(text).some((element) => removed.has(element));
  return [
    ...after.filter((text) => !before.includes(text) || used(text)).map((text) => `waives: ${text}`),
    ...besides(after, before).map((text) => `waives no longer: ${text}`),
  ];
}

export function waivers(triggers: Triggers | undefined): string[] {
  return linesOf(triggers, 'waivers');
}

/** Owner that a waiver takes over from. An owner has no space, and what follows it is ": <reason>". */
export function takenOver(text: string): string | undefined {
  return /^takes over from (\S+?): /.exec(text)?.[1];
}

export function waivedElements(text: string): string[] {
  return /^unpublishes ([^:]*): /.exec(text)?.[1]?.split(', ') ?? [];
}

export interface Repair {
  /** File, link or unit. */
  readonly element: string;
  readonly action: 'repair';
}

/** What deviates on the server, in words, and what of it is put right. */
export function driftSentences(deviations: readonly string[]): { sentences: string[]; repairs: Repair[] } {
  const sentences: string[] = [];
  const drift: string[] = [];
  for (const text of deviations) {
    const rolledBack = /^rolled back from generation (\d+)$/.exec(text);
    if (/^the secret \S+ is another than the deployed one$/.test(text)) continue;
    else if (/^generation \d+ was taken back: /.test(text)) sentences.push(`deploys again: ${text}`);
    else if (rolledBack) sentences.push(`ends the rollback from generation ${rolledBack[1]}`);
    else if (/^generation \d+ waits for its confirmation$/.test(text)) sentences.push(`waits for another deploy: ${text}`);
    else if (text === 'an activation is running or was interrupted') sentences.push(`recovers first: ${text}`);
    else drift.push(text);
  }
  if (drift.length > 0) sentences.push(`repairs drift: ${listed(drift, REPAIRS_NAMED, '; ')}`);
  return { sentences, repairs: drift.map((text) => ({ element: subject(text), action: 'repair' })) };
}

/** "/etc/x modified" → "/etc/x". */
function subject(text: string): string {
  return text.replace(/ (modified|missing|unexpected|disabled|stopped|not mounted)$/, '');
}
