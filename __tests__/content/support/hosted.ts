import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ChangeOutcome } from '../../../content/publish';
import { dropKey, makeKey, signPackage, type TestKey } from './keys';
import { type Ran, TestMirror } from './mirror';

export interface RpmOptions {
  readonly name: string;
  readonly version?: string;
  readonly release?: string;
  readonly epoch?: string;
  /** `src`: the source package. @default noarch */
  readonly arch?: string;
  /** What its file holds. @default its name and version */
  readonly content?: string;
  /** More lines of the spec's head. */
  readonly head?: string;
  /** More sections. */
  readonly tail?: string;
}

/** Builds a package with one file; returns its path. */
export function buildRpm(directory: string, options: RpmOptions): string {
  const { name, version = '1', release = '1', epoch, arch = 'noarch', head = '', tail = '' } = options;
  const content = options.content ?? `${name} ${version}`;
  const build = join(directory, '.build');
  mkdirSync(build, { recursive: true });
  const spec = join(build, `${name}.spec`);
  writeFileSync(
    spec,
    `Name: ${name}\nVersion: ${version}\nRelease: ${release}\n${epoch === undefined ? '' : `Epoch: ${epoch}\n`}Summary: the package ${name}\nLicense: MIT\n${arch === 'noarch' ? 'BuildArch: noarch\n' : ''}${head}\n%description\nIt is ${name}.\n%install\nmkdir -p %{buildroot}/opt\ncat > %{buildroot}/opt/${name} <<'X'\n${content}\nX\n%files\n/opt/${name}\n${tail}\n`,
  );
  const define = (key: string, value: string): string[] => ['--define', `${key} ${value}`];
  const argv = [
    ...(arch === 'src' ? ['-bs'] : ['-bb', '--target', `${arch}-linux`]),
    '--quiet',
    ...define('_topdir', build),
    ...define('_rpmdir', join(build, 'rpms')),
    ...define('_srcrpmdir', join(build, 'rpms')),
    ...define('_build_name_fmt', '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm'),
    ...define('_build_id_links', 'none'),
    spec,
  ];
  execFileSync('rpmbuild', argv, { stdio: 'ignore' });
  return join(build, 'rpms', `${name}-${version}-${release}.${arch}.rpm`);
}

/** Builds a package, signs it, and puts it into the directory. */
export function signedRpm(directory: string, key: TestKey, options: RpmOptions): string {
  const built = buildRpm(directory, options);
  const target = join(directory, basename(built));
  copyFileSync(built, target);
  signPackage(key, target);
  return target;
}

/** A mirror with one codename, whose components are prepared. */
export class HostedMirror extends TestMirror {
  constructor(
    private readonly own: TestKey,
    private readonly owner: TestKey,
  ) {
    super();
    this.write('secrets/signing-key', own.secretKey);
  }

  codename(id: string, change: object = {}): void {
    const [owner] = id.split('/') as [string];
    this.write(`owners/${owner}/key.asc`, this.owner.publicKey);
    this.write(`definitions/codenames/${id}.yaml`, {
      kind: 'codename',
      id,
      owner,
      release: '7.0',
      distribution: 'centos',
      version: '6',
      publicPath: `${owner}/centos/${id.split('/')[1]}`,
      components: ['os', 'updates', 'security', 'holdback', 'cr'],
      architectures: ['x86_64'],
      keyFile: 'RPM-GPG-KEY-mos7.0',
      keys: [{ file: `owners/${owner}/key.asc`, fingerprint: this.owner.fingerprint }],
      ...change,
    });
  }

  async prepare(): Promise<void> {
    this.write('secrets/prepare', this.own.secretKey);
    const ran = await this.run('prepare', '--signing-key', join(this.configuration, 'secrets/prepare'));
    if (ran.code !== 0) throw new Error(ran.stderr);
  }

  /** Publishes, and returns what the program said of it. */
  async publish(...argv: string[]): Promise<Ran & { readonly outcome: ChangeOutcome }> {
    const ran = await this.run('publish', ...argv, '--json');
    if (ran.stdout === '') throw new Error(ran.stderr);
    return { ...ran, outcome: JSON.parse(ran.stdout) as ChangeOutcome };
  }

  /** The signed index of a tree. */
  repomd(id: string, tree: string): string {
    return readFileSync(this.published(id, tree, 'repodata/repomd.xml'), 'utf8');
  }
}

/** What a test of hosted components works with. */
export interface HostedFixture {
  /** The mirror's key. */
  readonly own: TestKey;
  /** The key of who signs packages. */
  readonly owner: TestKey;
  readonly mirror: HostedMirror;
}

/**
 * Makes the keys before the tests of a file, and before each a mirror, with `codename` prepared where one is named; all go with the tests. Returns a directory
 * that goes with them, too.
 */
export function hostedFixture(name: string, codename: string | undefined, give: (made: HostedFixture) => void): string {
  const work = mkdtempSync(join(tmpdir(), `${name}-`));
  let keys: Pick<HostedFixture, 'own' | 'owner'>;
  let mirror: HostedMirror;
  beforeAll(() => {
    keys = { own: makeKey(join(work, 'own'), 'mirror'), owner: makeKey(join(work, 'owner'), 'acme') };
  });
  afterAll(() => {
    for (const key of Object.values(keys)) dropKey(key);
    rmSync(work, { recursive: true });
  });
  beforeEach(async () => {
    mirror = new HostedMirror(keys.own, keys.owner);
    give({ ...keys, mirror });
    if (codename === undefined) return;
    mirror.codename(codename);
    await mirror.prepare();
  });
  afterEach(() => mirror.remove());
  return work;
}
