/** Pure: what a person reads, and the exit code. */
import { ExitCode } from '../../desired-state/errors';
import { nameOf, type Report, type Result, type Verdict } from './types';

const ORDER: readonly Verdict[] = ['is another', 'cannot be met', 'unknown', 'can be met', 'on the mirror'];

export function reportText({ results, unasked, comparedWith }: Report): string {
  if (results.length === 0) return `No line asks for anything that ${comparedWith} does not ask for.\n`;
  const sorted = [...results].sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict));
  const silent = unasked.map(({ repository, problem }) => `not asked: ${repository}: ${problem.message}\n  ${problem.remedy}\n`);
  const counts = ORDER.map((verdict) => [results.filter((r) => r.verdict === verdict).length, verdict] as const).filter(
    ([count]) => count > 0,
  );
  return [
    ...sorted.map(resultText),
    ...silent,
    `\n${results.length} ${results.length === 1 ? 'request' : 'requests'} (compared with ${comparedWith}): ${counts.map(([count, verdict]) => `${count} ${verdict}`).join(', ')}.\n`,
  ].join('');
}

function resultText({ request, verdict, from, reason, remedy, versions, names, digest }: Result): string {
  const where = `${request.list}:${request.line}`;
  const lines = [`${where}: ${nameOf(request)}: ${verdict}${from.length === 0 ? '' : ` (${from.join(', ')})`}`];
  if (reason !== undefined) lines.push(`  ${reason}`);
  if (versions.length > 0) lines.push(`  there is ${versions.map(({ file, repository }) => `${file} (${repository})`).join(', ')}`);
  if (names.length > 0) lines.push(`  there is no package of that name; there is ${names.join(', ')}`);
  if (remedy !== undefined) lines.push(`  ${remedy}`);
  if (digest === 'missing') lines.push('  no digest is recorded: --record fetches it, and writes it into the file of digests');
  if (digest === 'written') lines.push('  its digest was written');
  return `${lines.join('\n')}\n`;
}

/** 6 where something else is at a URL, else 3 where nobody has something, else 5 where somebody could not be asked or a digest not be recorded, else 0. */
export function exitCodeOf({ results }: Pick<Report, 'results'>): ExitCode {
  const has = (verdict: Verdict): boolean => results.some((result) => result.verdict === verdict);
  if (has('is another')) return ExitCode.untrusted;
  if (has('cannot be met')) return ExitCode.invalid;
  return has('unknown') || results.some(({ digest }) => digest === 'failed') ? ExitCode.unreachable : ExitCode.ok;
}
