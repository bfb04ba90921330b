/** Names of what retention takes, and comparisons that throw. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { MirrorError } from '../../../desired-state/errors';
import type { Pool } from './model';
import type { Files, Observed } from './observed';

export function at<T>(list: readonly T[], index: number): T {
  return list[index % Math.max(1, list.length)] as T;
}

export function timeOf(snapshot: string): number {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-/.exec(snapshot) ?? [];
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
}

/** `Packages/a-3-1.noarch.rpm` is newer than `Packages/a-1-1.noarch.rpm`. */
export function isNewer(one: string, other: string): boolean {
  const [name, version] = basename(one).split('-') as [string, string];
  const [otherName, otherVersion] = basename(other).split('-') as [string, string];
  return name === otherName && Number(version) > Number(otherVersion);
}

export function keyOfPackage(id: string, path: string): string {
  return `${id}:${basename(path, '.rpm')}`;
}

export function keysOf(entries: readonly { readonly item: object }[]): string[] {
  return entries
    .map(({ item }) => {
      const { kind, id, nevra, snapshot } = item as { kind: string; id: string; nevra?: string; snapshot?: string };
      return kind === 'package' ? `${id}:${nevra}` : kind === 'snapshot' ? `${id}@${snapshot}` : kind === 'release' ? `releases/${id}` : id;
    })
    .sort();
}

/** Keys of what was in service and is no more. */
export function leaving(before: Observed, after: Observed): string[] {
  const left: string[] = [];
  for (const [id, { listed, snapshots }] of before.repositories) {
    // What a release pins goes with it.
    if (id.startsWith('releases/')) continue;
    const now = after.repositories.get(id);
    if (now === undefined) {
      left.push(id);
      continue;
    }
    for (const path of listed.keys()) if (!now.listed.has(path)) left.push(keyOfPackage(id, path));
    for (const name of snapshots.keys()) if (!now.snapshots.has(name)) left.push(`${id}@${name}`);
  }
  for (const id of before.releases.keys()) if (!after.releases.has(id)) left.push(`releases/${id}`);
  return [...new Set(left)].sort();
}

/** Of a release that never was frozen there are pins at most. */
export function wasThere(before: Observed, key: string): boolean {
  return !key.startsWith('releases/') || before.releases.has(key.slice('releases/'.length));
}

/** It is of a repository that is among the keys. */
export function isWithin(key: string, keys: readonly string[]): boolean {
  return keys.some((other) => key.startsWith(`${other}@`) || key.startsWith(`${other}:`));
}

export function same(what: string, one: readonly string[], other: readonly string[]): void {
  if ([...one].sort().join() !== [...other].sort().join())
    throw new Error(`${what}: ${JSON.stringify(one)} is not ${JSON.stringify(other)}`);
}

export function sameFiles(what: string, wanted: Files | undefined, found: Files | undefined): void {
  const missing = [...(wanted ?? [])].filter(([path, digest]) => found?.get(path) !== digest).map(([path]) => path);
  const more = [...(found ?? [])].filter(([path]) => wanted?.has(path) !== true).map(([path]) => path);
  if (missing.length + more.length > 0)
    throw new Error(`${what}: missing or other bytes: ${missing.join(', ')}; not expected: ${more.join(', ')}`);
}

export function refusal(error: unknown): MirrorError {
  if (error instanceof MirrorError) return error;
  throw error;
}

export function poolOf(files: ReadonlyMap<string, string>): Pool {
  return new Map(
    [...files].map(([name, file]) => [
      name,
      { file, path: `Packages/${basename(file)}`, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') },
    ]),
  );
}
