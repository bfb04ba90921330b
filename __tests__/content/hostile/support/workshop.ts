import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dropKey, makeKey, signDetached, type TestKey } from '../../support/keys';

/** So many packages does the healthy upstream have: enough that losing most of them is suspicious. */
export const PACKAGES = 24;
/** What the upstream has more when it turns hostile. */
export const NEWER = 'p25';

/** Real packages, keys and two healthy repositories, made once for many rows. */
export class Workshop {
  readonly directory = mkdtempSync(join(tmpdir(), 'hostile-'));
  /** What is synced first. */
  readonly before = join(this.directory, 'before');
  /** The same with one package more, and newer. */
  readonly after = join(this.directory, 'after');
  private readonly keys = new Map<string, TestKey>();

  constructor() {
    const rpms = this.build();
    const now = Math.floor(Date.now() / 1000);
    for (const [root, count, revision] of [
      [this.before, PACKAGES, now - 7200],
      [this.after, PACKAGES + 1, now - 3600],
    ] as const) {
      mkdirSync(join(root, 'Packages'), { recursive: true });
      for (const name of readdirSync(rpms)
        .filter((file) => /^p\d\d-/.test(file))
        .sort()
        .slice(0, count))
        cpSync(join(rpms, name), join(root, 'Packages', name));
      this.index(root, revision);
    }
  }

  /** Runs createrepo_c and signs. */
  index(root: string, revision: number, ...options: string[]): void {
    const argv = ['--quiet', '--no-database', '--revision', String(revision), ...options, root];
    execFileSync('createrepo_c', argv, { stdio: 'ignore' });
    signDetached(this.key('pinned'), join(root, 'repodata/repomd.xml'));
  }

  key(name: string): TestKey {
    const known = this.keys.get(name);
    if (known !== undefined) return known;
    const made = makeKey(join(this.directory, 'keys', name), name);
    this.keys.set(name, made);
    return made;
  }

  remove(): void {
    for (const key of this.keys.values()) dropKey(key);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** All packages from one spec, signed by one command. */
  private build(): string {
    const top = join(this.directory, 'build');
    mkdirSync(top);
    const names = Array.from({ length: PACKAGES + 1 }, (_, i) => `p${String(i + 1).padStart(2, '0')}`);
    const parts = names.map(
      (name) => `%package -n ${name}\nSummary: test\n%description -n ${name}\ntest\n%files -n ${name}\n/opt/${name}\n`,
    );
    const install = names.map((name) => `head -c 3000 /dev/urandom > %{buildroot}/opt/${name}`);
    const spec = join(top, 'all.spec');
    writeFileSync(
      spec,
      `Name: all\nVersion: 1\nRelease: 1\nSummary: test\nLicense: MIT\nBuildArch: noarch\n%description\ntest\n${parts.join('')}%install\nmkdir -p %{buildroot}/opt\n${install.join('\n')}\n`,
    );
    const rpms = join(top, 'rpms');
    const defines = [`_topdir ${top}`, `_rpmdir ${rpms}`, '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm'];
    execFileSync('rpmbuild', ['-bb', '--quiet', ...defines.flatMap((one) => ['--define', one]), spec], { stdio: 'ignore' });
    mkdirSync(join(rpms, 'unsigned'));
    cpSync(join(rpms, fileOf(NEWER)), join(rpms, 'unsigned', fileOf(NEWER)));
    const pinned = this.key('pinned');
    execFileSync(
      'rpmsign',
      ['--define', '__gpg /usr/bin/gpg', '--define', `_gpg_name ${pinned.name}`, '--addsign', ...names.map((n) => join(rpms, fileOf(n)))],
      { stdio: 'ignore', env: { ...process.env, GNUPGHOME: pinned.home } },
    );
    return rpms;
  }
}

export function fileOf(name: string): string {
  return `${name}-1-1.noarch.rpm`;
}

/** Where a package of the healthy repositories is. */
export function pathOf(name: string): string {
  return `Packages/${fileOf(name)}`;
}
