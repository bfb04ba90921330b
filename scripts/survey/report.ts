/** Pure: what a person reads. */
import { ExitCode } from '../../desired-state/errors';
import { keysOf } from './judge';
import { GRACE_HOURS, HEADROOM, RECENT_DAYS } from './needs';
import type { ServerReport } from './run';
import type { AddressReport, Change, RepositoryReport, SampleReport, SignatureFact } from './types';
import { count, size } from './units';

export function reportText(servers: readonly ServerReport[], exitCode: ExitCode): string {
  const several = servers.length > 1;
  const parts = servers.flatMap((server) => [
    ...(several ? [`=== ${server.stack}`] : []),
    ...server.repositories.map(repositoryText),
    needsText(server),
  ]);
  return `${[...parts, conclusion(servers, exitCode)].join('\n\n')}\n`;
}

function repositoryText(repository: RepositoryReport): string {
  const { metadata, packages, trust } = repository;
  const rows: [string, string][] = repository.addresses.map((address) => ['address', addressText(address)]);
  if (metadata !== undefined) {
    const signature = repository.addresses.find((a) => a.signature !== undefined)?.signature;
    rows.push(['signed', `metadata: ${signatureText(signature)}; packages: ${samplesText(repository.samples)}`]);
  }
  rows.push(['trust', trust.text]);
  if (trust.change !== undefined) rows.push(...changeRows(trust.change));
  if (metadata !== undefined) {
    const what = [metadata.digests.join(' and '), `${metadata.names === 'unique' ? 'names with checksums' : 'names used again'}`];
    const more = [metadata.compressions.join(', '), ...(metadata.databases ? ['sqlite too'] : [])];
    const when = metadata.changed ?? metadata.revision ?? 'none';
    rows.push([
      'metadata',
      `${count(metadata.files, 'file')}, ${size(metadata.bytes)}: ${[...what, ...more].join(', ')}; revision ${when}`,
    ]);
  }
  if (packages !== undefined) {
    const newest = packages.newestBuilt === undefined ? '' : `; newest built ${packages.newestBuilt}`;
    const digests = packages.digests.length === 0 ? '' : `: ${packages.digests.join(' and ')}`;
    rows.push([
      'packages',
      `${count(packages.count, 'package')}, ${size(packages.bytes)}${digests}; list in ${packages.compression}${newest}`,
    ]);
  }
  for (const note of repository.notes) rows.push(['note', note]);
  for (const problem of repository.problems) {
    rows.push([problem.exitCode === 5 ? 'UNREACHABLE' : 'DOES NOT FIT', problem.message]);
    rows.push(['', problem.remedy]);
  }
  const head = `${repository.id}: ${repository.result}${trust.verdict === 'could be stronger' && repository.result === 'fits' ? ', could be stronger' : ''}`;
  return [head, ...rows.map(([name, text]) => `  ${name.padEnd(12)} ${text}`)].map((line) => line.trimEnd()).join('\n');
}

function addressText(address: AddressReport): string {
  const answer = address.status ?? address.cause ?? 'no answer';
  const hops = address.redirects.map((hop) => `${hop.status} from ${hop.url}`).join(', ');
  return `${address.url}  ${answer} in ${address.seconds} s${hops === '' ? '' : ` (${hops})`}`;
}

function signatureText(signature: SignatureFact | undefined): string {
  if (signature === undefined || signature.state === 'absent') return 'no';
  const by = `by ${('fingerprint' in signature ? signature.fingerprint : undefined) ?? keysOf(signature.by)}`;
  const words = { good: 'good', bad: 'BAD', untrusted: 'not by a pinned key', unchecked: 'nothing is pinned to check it with' } as const;
  return `${by}, ${words[signature.state]}`;
}

function samplesText(samples: readonly SampleReport[]): string {
  if (samples.length === 0) return 'none looked at';
  const texts = samples.map((sample) => {
    if (sample.verdict === 'unsigned') return 'no';
    const by = sample.by.length === 0 ? '' : `by ${keysOf(sample.by)} (${[...new Set(sample.by.map((b) => b.digest))].join(', ')}), `;
    return `${by}${sample.verdict}`;
  });
  const distinct = [...new Set(texts)];
  return `${distinct.join('; ')} (${samples.length} looked at)`;
}

function changeRows(change: Change): [string, string][] {
  const rows: [string, string][] = [
    ['change', `${change.at ?? 'main.ts'}${change.now === undefined ? '' : `: ${change.now}`}`],
    ['to', change.then],
  ];
  if (change.alsoFor.length > 0) rows.push(['', `That line declares ${change.alsoFor.join(', ')}, too: look at their verdicts first.`]);
  return rows;
}

function needsText({ needs, notCounted, space }: ServerReport): string {
  const row = (name: string, { bytes, inodes }: { bytes: number; inodes: number }, what: string): string =>
    `  ${name.padEnd(10)} ${size(bytes).padStart(9)} ${inodes.toLocaleString('en-US').padStart(10)}  ${what}`;
  const { sharedFiles, sharedBytes } = needs.packages;
  const shared = sharedFiles === 0 ? '' : `; ${count(sharedFiles, 'file')} (${size(sharedBytes)}) of others are the same and need nothing`;
  const lines = [
    'What the server needs    disk     inodes',
    row('packages', needs.packages, `each once${shared}`),
    row('metadata', needs.metadata, 'with indexes and signatures'),
    row('tree', needs.tree, 'directories and links (files in a tree are hard links)'),
    row('grace', needs.grace, `for ${GRACE_HOURS} hours: metadata and directories once more, and packages of the last ${RECENT_DAYS} days`),
    row('headroom', needs.headroom, `${HEADROOM * 100} % of all of that`),
    row('total', needs.total, totalText(space)),
  ];
  if (notCounted.length > 0) lines.push(`  not counted, since their size is unknown: ${notCounted.join(', ')}`);
  return lines.join('\n');
}

function totalText(space: { free: number; missing: number } | undefined): string {
  if (space === undefined) return '';
  if (space.missing > 0) return `DOES NOT FIT into ${size(space.free)}: ${size(space.missing)} are missing`;
  return `fits into ${size(space.free)}`;
}

function conclusion(servers: readonly ServerReport[], exitCode: ExitCode): string {
  const all = servers.flatMap((server) => server.repositories);
  const of = (result: RepositoryReport['result']): number => all.filter((r) => r.result === result).length;
  const stronger = all.filter((r) => r.trust.verdict === 'could be stronger').length;
  const parts = [`${of('fits')} of ${all.length === 1 ? '1 repository' : `${all.length} repositories`} fit`];
  if (stronger > 0) parts.push(`${stronger} could be declared stronger`);
  if (of('does not fit') > 0) parts.push(`${of('does not fit')} ${of('does not fit') === 1 ? 'does' : 'do'} not fit`);
  if (of('unreachable') > 0) parts.push(`${of('unreachable')} unreachable, or in part`);
  if (of('not looked at') > 0) parts.push(`${of('not looked at')} not looked at`);
  if (servers.some((s) => (s.space?.missing ?? 0) > 0)) parts.push('the disk is too small');
  return `${parts.join('; ')}. ${exitCode === ExitCode.ok ? `Nothing ${of('not looked at') > 0 ? 'that was seen ' : ''}stands in the way.` : `Exit code ${exitCode}.`}`;
}
