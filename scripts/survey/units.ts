import { ExitCode, MirrorError } from '../../desired-state/errors';

const UNITS = ['K', 'M', 'G', 'T', 'P'];

/** `500G`, `1.5T`, `2048`: bytes, with powers of 1024 as `df -h` prints them. */
export function parseSpace(option: string, text: string): number {
  const [, number, unit] = /^(\d{1,15}(?:\.\d{1,3})?)([KMGTP]?)(?:iB)?$/i.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(number) * 1024 ** (UNITS.indexOf((unit ?? '').toUpperCase()) + 1));
  if (number !== undefined && Number.isSafeInteger(bytes)) return bytes;
  throw usage(`${option} ${JSON.stringify(text)} is no size`, `For instance ${option} 500G or ${option} 1.5T, as "df -h" prints it.`);
}

export function parseWhole(option: string, text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw usage(`${option} ${JSON.stringify(text)} is no whole number from ${least} to ${most}`, 'preflight --help tells what it is for.');
}

/** For people: `1.5 GiB`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = -1;
  for (; value >= 1024 && unit + 1 < UNITS.length; unit++) value /= 1024;
  if (unit < 0) return `${bytes} bytes`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}iB`;
}

/** `1 package`, `2 packages`. */
export function count(number: number, what: string): string {
  return `${number.toLocaleString('en-US')} ${what}${number === 1 ? '' : 's'}`;
}

export function usage(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'USAGE', message, remedy, exitCode: ExitCode.usage });
}
