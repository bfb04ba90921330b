/** Sentences about the site, the services and the packages of a server. Pure. */
import { diskLimits, type DiskLimits } from '../../desired-state/disk-guard';
import { besides, differing, fieldsOf, linesOf, textField, UNKNOWN_BEFORE, type Change } from './changes';
import { limitSentences } from './limits';
import { serverRetentionSentences } from './retention';
import type { Triggers } from './terraform-plan';

export function serverSentences(changes: readonly Change[]): string[] {
  return [
    ...siteSentences(changes.filter((one) => one.kind === 'vhost')),
    ...changes.filter((one) => one.kind === 'server').flatMap(services),
  ];
}

function siteSentences(changes: readonly Change[]): string[] {
  const [added, removed] = [changes.find((one) => one.action === 'add'), changes.find((one) => one.action === 'remove')];
  if (added !== undefined && removed !== undefined) {
    return [`serves the site as ${added.id}, and as ${removed.id} no longer`, ...siteParts(added.id, removed.before, added.after)];
  }
  return changes.flatMap((one) => {
    if (one.action === 'add') return [`serves the site as ${one.id}`];
    if (one.action === 'remove') return [`serves the site as ${one.id} no longer`];
    if (one.before === undefined) return [`changes how the site is served ${UNKNOWN_BEFORE}`];
    const parts = siteParts(one.id, one.before, one.after);
    return parts.length > 0 ? parts : [`changes how ${one.id} is served (${differing(one).join(', ')})`];
  });
}

function siteParts(id: string, before: Triggers | undefined, after: Triggers | undefined): string[] {
  if (before === undefined) return [];
  const port = (triggers: Triggers | undefined): string => /^ *listen (\d+);/m.exec(triggers?.['nginx'] ?? '')?.[1] ?? '';
  const ipv6 = (triggers: Triggers | undefined): boolean => /^ *listen \[::\]/m.test(triggers?.['nginx'] ?? '');
  const sentences: string[] = [];
  if (port(before) !== port(after)) sentences.push(`serves ${id} on port ${port(after)}: port ${port(before)} stops answering`);
  if (ipv6(before) !== ipv6(after)) sentences.push(ipv6(after) ? `serves ${id} on IPv6 too` : `serves ${id} on IPv6 no longer`);
  return [...sentences, ...tlsParts(id, before, after)];
}

const CERTIFICATES: Readonly<Record<string, string>> = {
  declared: 'a certificate of the project',
  made: 'a certificate that the server makes itself',
  acme: 'certificates by ACME',
};

function tlsParts(id: string, before: Triggers, after: Triggers | undefined): string[] {
  const port = (triggers: Triggers | undefined): string => /^ *listen (\d+) ssl/m.exec(triggers?.['nginx'] ?? '')?.[1] ?? '';
  const kind = (triggers: Triggers | undefined): string => CERTIFICATES[textField(triggers, 'certificate')] ?? '';
  const [was, now] = [port(before), port(after)];
  if (was !== '' && now === '') return [`serves ${id} by TLS no longer: addresses with https:// stop answering`];
  if (now === '') return [];
  const common = was === now && kind(before) === kind(after);
  const [certificate, former] = [after?.['certificate'], before['certificate']];
  return [
    ...(common ? [] : [`serves ${id} by TLS on port ${now}, with ${kind(after)}`]),
    ...(common && certificate !== former ? [`replaces the certificate of ${id}: ${linesOf(after, 'certificate')[0]}`] : []),
    ...(plainHttp(before) === plainHttp(after) ? [] : [PLAIN_HTTP[plainHttp(after)](id)]),
  ];
}

const PLAIN_HTTP = {
  served: (id: string) => `serves ${id} over plain HTTP too`,
  redirected: (id: string) => `redirects plain HTTP to https://${id}: clients that do not follow are turned away`,
  closed: (id: string) => `closes plain HTTP of ${id}: clients without TLS are turned away`,
} as const;

function plainHttp(triggers: Triggers | undefined): keyof typeof PLAIN_HTTP {
  const nginx = triggers?.['nginx'] ?? '';
  if (nginx.includes('return 444;')) return 'closed';
  return nginx.includes('return 301 https://') ? 'redirected' : 'served';
}

function services(one: Change): string[] {
  if (one.action !== 'change' || one.before === undefined) return ['changes the sync services of the server'];
  const [before, after] = [linesOf(one.before, 'packages'), linesOf(one.after, 'packages')];
  const [wanted, unwanted] = [besides(before, after), besides(after, before)];
  const [from, to] = [textField(one.before, 'storageRoot'), textField(one.after, 'storageRoot')];
  const names = differing(one).filter(
    (name) => !['packages', 'storageRoot', 'sync', 'scrubEveryDays', 'diskGuard', 'retention'].includes(name),
  );
  const [every, formerly] = [scrubDays(one.after), scrubDays(one.before)];
  return [
    ...(from === to ? [] : [`keeps all content below ${to} (was ${from})`]),
    ...limitSentences(one.before, one.after),
    ...serverRetentionSentences(one.before, one.after),
    ...(every === formerly ? [] : [`reads all content again within ${every} (was ${formerly})`]),
    ...guardSentences(one.before, one.after),
    ...(wanted.length === 0 ? [] : [`installs the packages ${wanted.join(', ')}`]),
    ...(unwanted.length === 0 ? [] : [`needs the packages ${unwanted.join(', ')} no longer: they stay installed`]),
    ...(names.length === 0 || from !== to ? [] : [`changes the sync services of the server (${names.join(', ').replaceAll('_', ' ')})`]),
  ];
}

function guardSentences(before: Triggers | undefined, after: Triggers | undefined): string[] {
  const limits = (triggers: Triggers | undefined): DiskLimits => diskLimits(fieldsOf(triggers)['diskGuard'] ?? {});
  const [was, now] = [limits(before), limits(after)];
  const told = [
    [now.stopAtPercent, was.stopAtPercent, (value: number) => `stops syncs where the disk would be more than ${value} % full`],
    [now.alertAtPercent, was.alertAtPercent, (value: number) => `reports a disk that is ${value} % full`],
    [now.forecastDays, was.forecastDays, (value: number) => `reports a disk that will be full within ${value} days`],
  ] as const;
  return told.flatMap(([to, from, words]) => (to === from ? [] : [`${words(to)} (was ${from})`]));
}

function scrubDays(triggers: Triggers | undefined): string {
  const days = fieldsOf(triggers)['scrubEveryDays'];
  return typeof days === 'number' ? `${days} days` : 'the default';
}
