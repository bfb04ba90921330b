/** What a run did: for people, and for programs. Pure. */
import { ExitCode } from '../desired-state/errors';
import type { PlaceProblem } from './places';
import { remedyOf } from './remedies';
import type { Outcome } from './run';
import type { Settings } from './settings';

export interface Report {
  readonly version: 1;
  readonly sources: readonly string[];
  readonly mirror: string | null;
  readonly output: string;
  readonly dryRun: boolean;
  readonly startedAt: string;
  readonly seconds: number;
  readonly exitCode: number;
  readonly lists: readonly string[];
  readonly files: {
    readonly wanted: number;
    readonly present: number;
    readonly fetched: number;
    readonly found: number;
    /** In a dry run: of these only an address is known. */
    readonly unasked: number;
    readonly failed: number;
  };
  readonly bytes: number;
  /** Which place served how much. */
  readonly served: readonly { readonly place: string; readonly files: number; readonly bytes: number }[];
  /** Places that could not be used. */
  readonly problems: readonly { readonly place: string; readonly code: string; readonly message: string; readonly remedy: string }[];
  readonly warnings: readonly string[];
  /** Originals that a script has to be run on, and the file that builds want. */
  readonly scripts: readonly { readonly file: string; readonly original: string; readonly script: string }[];
  readonly results: readonly Result[];
}

interface Result {
  readonly file: string;
  readonly list: string;
  readonly line: number;
  readonly status: Outcome['status'];
  readonly place?: string;
  readonly url?: string;
  readonly sha256?: string;
  readonly size?: number;
  readonly proof?: string;
  readonly failures?: readonly { readonly place: string; readonly code: string; readonly message: string; readonly remedy: string }[];
}

export interface ReportInput {
  readonly settings: Settings;
  readonly lists: readonly string[];
  readonly outcomes: readonly Outcome[];
  readonly problems: readonly PlaceProblem[];
  readonly warnings: readonly string[];
  readonly startedAt: Date;
  readonly endedAt: Date;
}

export function reportOf({ settings, lists, outcomes, problems, warnings, startedAt, endedAt }: ReportInput): Report {
  const count = (status: Outcome['status']): number => outcomes.filter((outcome) => outcome.status === status).length;
  const served = new Map<string, { files: number; bytes: number }>();
  for (const { place, size = 0, status } of outcomes) {
    if (place === undefined || status === 'failed') continue;
    const sum = served.get(place) ?? { files: 0, bytes: 0 };
    served.set(place, { files: sum.files + 1, bytes: sum.bytes + size });
  }
  return {
    version: 1,
    sources: settings.sides,
    mirror: settings.base ?? null,
    output: settings.output,
    dryRun: settings.dryRun,
    startedAt: startedAt.toISOString(),
    seconds: (endedAt.getTime() - startedAt.getTime()) / 1000,
    exitCode: exitCodeOf(outcomes, problems),
    lists,
    files: {
      wanted: outcomes.length,
      present: count('present'),
      fetched: count('fetched'),
      found: count('found'),
      unasked: count('not asked'),
      failed: count('failed'),
    },
    bytes: outcomes.reduce((sum, { status, size = 0 }) => sum + (status === 'fetched' ? size : 0), 0),
    served: [...served].map(([place, sum]) => ({ place, ...sum })),
    problems: problems.map(({ place, error }) => ({ place, code: error.code, message: error.message, remedy: remedyOf(error) })),
    warnings: [...warnings, ...unsignedWarning(outcomes)],
    scripts: outcomes.flatMap(({ wanted, status }) =>
      wanted.script === undefined || status === 'failed' ? [] : [{ file: wanted.name, original: wanted.path, script: wanted.script }],
    ),
    results: outcomes.map(resultOf),
  };
}

/** Nothing but the digest of a server that anybody may have been speaks for these. */
function unsignedWarning(outcomes: readonly Outcome[]): readonly string[] {
  const count = outcomes.filter(({ status, proof }) => status !== 'failed' && proof === 'unsigned metadata').length;
  return count === 0 ? [] : [`files that rest on unsigned metadata (gpgcheck=0) alone: ${count}`];
}

function resultOf({ wanted, status, place, url, sha256, size, proof, failures }: Outcome): Result {
  return {
    file: wanted.path,
    list: wanted.list,
    line: wanted.line,
    status,
    ...(place === undefined ? {} : { place }),
    ...(url === undefined ? {} : { url }),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(size === undefined ? {} : { size }),
    ...(proof === undefined ? {} : { proof }),
    ...(failures.length === 0
      ? {}
      : {
          failures: failures.map(({ place: at, error }) => ({
            place: at,
            code: error.code,
            message: error.message,
            remedy: remedyOf(error),
          })),
        }),
  };
}

/**
 * Everything here: 0, whatever had to be asked twice. Else what did not verify weighs more than what could not be had; of a file that nobody has,
 * it is what was wrong with the places that may have it.
 */
export function exitCodeOf(outcomes: readonly Outcome[], problems: readonly PlaceProblem[]): ExitCode {
  const lacking = outcomes.filter(({ status }) => status === 'failed');
  if (lacking.length === 0) return ExitCode.ok;
  const errors = [...lacking.flatMap(({ failures }) => failures), ...problems].map(({ error }) => error);
  return errors.some(({ exitCode }) => exitCode === ExitCode.untrusted) ? ExitCode.untrusted : ExitCode.unreachable;
}

const MAX_SHOWN = 20;

export function reportText(report: Report): string {
  const { files, failed, lines } = {
    files: report.files,
    failed: report.results.filter(({ status }) => status === 'failed'),
    lines: [] as string[],
  };
  for (const warning of report.warnings) lines.push(`warning: ${warning}`);
  for (const { place, message, remedy } of report.problems) lines.push(`${place} cannot be used: ${message}`, `  ${remedy}`);
  for (const result of failed.slice(0, MAX_SHOWN)) lines.push(...failureLines(result, report));
  if (failed.length > MAX_SHOWN) lines.push(`… and ${failed.length - MAX_SHOWN} more; all of them are in the report (--report, --json)`);
  for (const { place, files: count, bytes } of report.served)
    lines.push(`${String(count).padStart(6)} ${sizeOf(bytes).padStart(9)}  ${place}`);
  for (const { file, original, script } of report.scripts) lines.push(`run ${script} on ${original} to make ${file}`);
  const took = `${report.seconds.toFixed(1)} s`;
  const unasked = files.unasked === 0 ? '' : `, ${files.unasked} have an address that was not asked`;
  if (report.dryRun)
    lines.push(
      `${files.wanted} files are asked for: ${files.present} are here, ${files.found} can be had, ${files.failed} cannot${unasked} (${took})`,
    );
  else
    lines.push(
      `${files.wanted} files are asked for: ${files.present} were here, ${files.fetched} came (${sizeOf(report.bytes)}), ${files.failed} are missing (${took})`,
    );
  return lines.map((line) => `${line}\n`).join('');
}

function failureLines({ file, list, line, failures = [] }: Result, { sources }: Report): readonly string[] {
  const said = `${file} (${list} line ${line}):`;
  if (failures.length > 0)
    return [said, ...failures.map(({ place, message }) => `  ${place}: ${message}`), `  ${failures.at(-1)?.remedy ?? ''}`];
  const remedy =
    sources.length === 1 && sources[0] === 'mirror'
      ? 'If the line was merged a moment ago, the mirror has not fetched it yet: wait for its next sync, or take upstream as well (-S).'
      : 'Compare the line with what the repositories have: npm run check-requests says which versions there are.';
  return [said, '  no place that was asked has it', `  ${remedy}`];
}

export function sizeOf(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
