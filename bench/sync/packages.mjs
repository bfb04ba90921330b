// Real packages of about 7 KB, made once and kept in a temporary directory: making 20,000 takes minutes.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../measure.mjs';

/** What is made once: packages and metadata, without any result. */
export const cache = join(tmpdir(), 'mirror-bench-sync');

const BATCH = 500;
const nameOf = (i) => `bench-${String(i).padStart(6, '0')}`;

/** The file of a package: `bench-000007-1.0-1.noarch.rpm`. */
export const fileOf = (i, version) => `${nameOf(i)}-1.${version}-1.noarch.rpm`;

/** Paths of the packages with these numbers, in this version. */
export async function packages(numbers, version = 0) {
  const directory = join(cache, 'packages', `1.${version}`);
  mkdirSync(directory, { recursive: true });
  const there = new Set(readdirSync(directory));
  const missing = numbers.filter((i) => !there.has(fileOf(i, version)));
  for (let from = 0; from < missing.length; from += BATCH) {
    if (missing.length > BATCH) process.stderr.write(`  packages to be made: ${missing.length - from}\n`);
    await build(directory, missing.slice(from, from + BATCH), version);
  }
  return numbers.map((i) => join(directory, fileOf(i, version)));
}

/** One rpmbuild for many packages, each with bytes that do not compress. */
async function build(directory, numbers, version) {
  const work = join(cache, `rpmbuild-${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const spec = [
    `Name: bench-base\nVersion: 1.${version}\nRelease: 1\nSummary: base\nLicense: MIT\nBuildArch: noarch\nAutoReqProv: no\n%description\nbase`,
    ...numbers.map((i) => {
      const name = nameOf(i);
      return `%package -n ${name}\nSummary: Package number ${i}\nAutoReqProv: no\n%description -n ${name}\nThe package number ${i}.\n%files -n ${name}\n/opt/bench/${i}`;
    }),
    `%install\nmkdir -p %{buildroot}/opt/bench\nfor i in ${numbers.join(' ')}; do head -c 1000 /dev/urandom > %{buildroot}/opt/bench/$i; done\n`,
  ].join('\n');
  writeFileSync(join(work, 'bench.spec'), spec);
  const defines = [`_topdir ${work}`, `_rpmdir ${work}/out`, '__os_install_post %{nil}'].flatMap((define) => ['--define', define]);
  await run('rpmbuild', ['-bb', '--quiet', ...defines, join(work, 'bench.spec')]);
  for (const i of numbers) renameSync(join(work, 'out', 'noarch', fileOf(i, version)), join(directory, fileOf(i, version)));
  rmSync(work, { recursive: true, force: true });
}

/** True when `path` has to be made; nothing is left of an attempt that was interrupted. */
export function isNew(path) {
  if (existsSync(join(path, '.complete'))) return false;
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  return true;
}

export function complete(path) {
  writeFileSync(join(path, '.complete'), '');
}
