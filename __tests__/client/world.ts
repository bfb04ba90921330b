import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';
import type { Report } from '../../client/report';
import { mirrorPath } from '../../starlingx/url-mapping';
import { buildRpm, signedRpm } from '../content/support/hosted';
import { dropKey, makeKey, signDetached, type TestKey } from '../content/support/keys';
import { createrepo } from '../content/support/upstream';
import { TestWeb } from './web';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Who runs the program: `TEST_NODE` names another one than runs the tests, for instance of version 18. */
const NODE = process.env['TEST_NODE'] ?? process.execPath;

export const sha256Of = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

export const OS = 'http://vault.example.org/7/os/x86_64/';
export const EXTRAS = 'http://extras.example.org/7/x86_64/';
export const THIRD = 'http://third.example.org/rpms/';
export const TARBALLS = 'http://source.example.org/archives/';
export const INSTALL = 'http://mirror.centos.org/7.6.1810/os/x86_64/';

/** Of `yum.repos.d`. */
export const REPOSITORIES = `[os]
name=os
baseurl=${OS}
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-upstream

[extras]
name=extras
baseurl=http://extras.example.org/$releasever/$basearch
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-upstream
`;

/** What the mirror has, and what upstreams have: real packages, signed by real keys, behind web servers on loopback. */
export class World {
  readonly directory = mkdtempSync(join(tmpdir(), 'download-mirror-test-'));
  readonly mirrorKey: TestKey;
  readonly upstreamKey: TestKey;
  readonly mirror: TestWeb;
  /** A proxy for http: upstreams have the names of real ones. */
  readonly upstream: TestWeb;
  readonly lists = join(this.directory, 'lists');
  readonly keys = join(this.directory, 'keys');
  readonly bundle = join(this.directory, 'download-mirror.cjs');
  /** Path in the output → SHA-256 of what must be there. */
  readonly expected = new Map<string, string>();
  packages: readonly string[] = [];
  private outputs = 0;

  constructor() {
    this.mirrorKey = makeKey(join(this.directory, 'gnupg-mirror'), 'mirror');
    this.upstreamKey = makeKey(join(this.directory, 'gnupg-upstream'), 'upstream');
    this.mirror = new TestWeb(join(this.directory, 'mirror'));
    this.upstream = new TestWeb(join(this.directory, 'upstream'));
    buildSync({
      entryPoints: [join(__dirname, '../../client/main.ts')],
      outfile: this.bundle,
      bundle: true,
      platform: 'node',
      target: 'node18',
      logLevel: 'error',
    });
  }

  /** Everything that both sides have when all is well. */
  async fill(): Promise<this> {
    for (const directory of [this.lists, this.keys]) mkdirSync(directory, { recursive: true });
    writeFileSync(join(this.directory, 'mirror.asc'), this.mirrorKey.publicKey);
    writeFileSync(join(this.keys, 'RPM-GPG-KEY-upstream'), this.upstreamKey.publicKey);
    const build = join(this.directory, 'build');
    mkdirSync(build);
    const signed = (name: string, arch = 'noarch'): string => signedRpm(build, this.upstreamKey, { name, arch });
    const inOs = [signed('acl'), signed('bash', 'x86_64'), signed('acl-source', 'src')];
    const inExtras = [signed('cmake')];
    const third = [buildRpm(build, { name: 'novnc' })];
    for (const [url, packages] of [
      [OS, inOs],
      [EXTRAS, inExtras],
    ] as const) {
      const at = this.upstreamPath(url);
      this.put(at, packages);
      createrepo(at);
    }
    this.put(this.upstreamPath(THIRD), third);
    this.list(
      'rpms_centos.lst',
      inOs.map((path) => basename(path)),
    );
    this.list('rpms_centos3rdparties.lst', ['# from elsewhere', ...inExtras.map((path) => basename(path))]);
    this.list(
      'rpms_3rdparties.lst',
      third.map((path) => `${basename(path)}#${THIRD}${basename(path)}`),
    );
    const packages = [...inOs, ...inExtras, ...third];
    for (const path of packages) {
      const arch = path.split('.').at(-2) as string;
      this.expected.set(arch === 'src' ? `Source/${basename(path)}` : `Binary/${arch}/${basename(path)}`, sha256Of(path));
    }
    this.tarballs();
    this.install();
    writeFileSync(join(this.lists, 'novnc.sha256'), this.sumLines(['novnc-1-1.noarch.rpm'], this.upstreamPath(THIRD)));
    this.repositories(REPOSITORIES);
    this.packages = packages;
    this.publish(packages);
    await Promise.all([this.mirror.start(), this.upstream.start()]);
    return this;
  }

  async close(): Promise<void> {
    await Promise.all([this.mirror.stop(), this.upstream.stop()]);
    for (const key of [this.mirrorKey, this.upstreamKey]) dropKey(key);
    rmSync(this.directory, { recursive: true, force: true });
  }

  upstreamPath(url: string): string {
    return join(this.upstream.root, url.replace('http://', ''));
  }

  mirrorPath(path: string): string {
    return join(this.mirror.root, path);
  }

  list(name: string, lines: readonly string[]): void {
    writeFileSync(join(this.lists, name), lines.map((line) => `${line}\n`).join(''));
  }

  repositories(text: string): void {
    mkdirSync(join(this.lists, 'yum.repos.d'), { recursive: true });
    writeFileSync(join(this.lists, 'yum.repos.d', 'test.repo'), text);
  }

  put(directory: string, files: readonly string[]): void {
    mkdirSync(directory, { recursive: true });
    for (const file of files) copyFileSync(file, join(directory, basename(file)));
  }

  /** Packages of the lists and copies of the repositories, as a mirror publishes them. */
  publish(packages: readonly string[], branch = 'master'): void {
    const at = this.mirrorPath(`mirror/starlingx/lists/${branch}/centos`);
    rmSync(at, { recursive: true, force: true });
    this.put(join(at, 'Packages'), packages);
    createrepo(at);
    signDetached(this.mirrorKey, join(at, 'repodata/repomd.xml'));
    const names = readdirSync(this.lists).filter((name) => name.startsWith('rpms'));
    this.put(
      join(at, 'lists'),
      names.map((name) => join(this.lists, name)),
    );
    this.sign(join(at, 'lists'), 'SHA256SUMS', names);
    for (const url of [OS, EXTRAS]) {
      const copy = this.mirrorPath(mirrorPath(url, 'centos').decoded);
      rmSync(copy, { recursive: true, force: true });
      mkdirSync(dirname(copy), { recursive: true });
      execFileSync('cp', ['-a', this.upstreamPath(url), copy]);
    }
  }

  sign(directory: string, sums: string, names: readonly string[]): void {
    mkdirSync(dirname(join(directory, sums)), { recursive: true });
    writeFileSync(join(directory, sums), this.sumLines(names, directory));
    signDetached(this.mirrorKey, join(directory, sums));
  }

  sumLines(names: readonly string[], directory: string): string {
    return names.map((name) => `${sha256Of(join(directory, name))}  ${name}\n`).join('');
  }

  /** Runs the program; every run has an output of its own unless one is given. */
  async run(
    argv: readonly string[],
    options: { output?: string; env?: Record<string, string>; onStart?: (pid: number) => void; under?: readonly string[] } = {},
  ): Promise<Ran & { output: string }> {
    const output = options.output ?? join(this.directory, `output-${this.outputs++}`);
    const env = {
      PATH: process.env['PATH'] ?? '',
      HOME: this.directory,
      http_proxy: this.upstream.url,
      no_proxy: '127.0.0.1',
      DOWNLOAD_MIRROR_URL: this.mirror.url,
      DOWNLOAD_MIRROR_KEY: join(this.directory, 'mirror.asc'),
      ...options.env,
    };
    const [command, ...rest] = [...(options.under ?? []), NODE, this.bundle, '--output', output, ...argv] as [string, ...string[]];
    const child = spawn(command, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    options.onStart?.(child.pid as number);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => (stdout += String(chunk)));
    child.stderr.on('data', (chunk) => (stderr += String(chunk)));
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { code, stdout, stderr, output };
  }

  /** The same with the lists of this world, and its report. */
  async download(
    argv: readonly string[],
    options: { output?: string; keys?: boolean } = {},
  ): Promise<{ code: number | null; report: Report; output: string; stderr: string }> {
    const keys = options.keys === false ? [] : ['--keys', this.keys];
    const ran = await this.run([...argv, '--lists', this.lists, ...keys, '--json'], options);
    if (ran.stdout === '') throw new Error(ran.stderr);
    return { code: ran.code, report: JSON.parse(ran.stdout) as Report, output: ran.output, stderr: ran.stderr };
  }

  /** Path → digest of what is in an output. */
  there(output: string): Map<string, string> {
    const found = new Map<string, string>();
    for (const entry of readdirSync(output, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const relative = path.slice(output.length + 1);
      if (entry.isFile() && !relative.startsWith('.download-mirror/')) found.set(relative, sha256Of(path));
    }
    return found;
  }

  private tarballs(): void {
    const at = this.upstreamPath(TARBALLS);
    mkdirSync(at, { recursive: true });
    const files = { 'dpdk-18.11.tar.gz': 'dpdk', 'puppet-boolean-1.tar.gz': 'puppet', 'kmod-1.tar.gz': 'original' };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(at, name), gzipSync(text));
    this.list('tarball-dl.lst', [
      `dpdk-18.11.tar.gz#dpdk-18.11#${TARBALLS}dpdk-18.11.tar.gz#http##`,
      `puppet-boolean-1.tar.gz#puppet-boolean#${TARBALLS}puppet-boolean-1.tar.gz#http##`,
      `!kmod-1.tar.gz#kmod#${TARBALLS}kmod-1.tar.gz#http_script##post-dl-script/kmod.sh`,
    ]);
    // Recorded as declarations have it: what a script makes is another file than what the URL gives.
    const sums = this.sumLines(Object.keys(files), at).replace('  kmod-1', '  originals/kmod-1');
    writeFileSync(join(this.lists, 'tarball-dl.sha256'), sums);
    const served = this.mirrorPath('mirror/starlingx/tarballs/master/centos');
    const plain = Object.keys(files).filter((name) => name !== 'kmod-1.tar.gz');
    this.put(
      served,
      plain.map((name) => join(at, name)),
    );
    this.put(join(served, 'originals'), [join(at, 'kmod-1.tar.gz')]);
    this.put(join(served, 'lists'), [join(this.lists, 'tarball-dl.lst')]);
    this.sign(served, 'SHA256SUMS', [...plain, 'originals/kmod-1.tar.gz', 'lists/tarball-dl.lst']);
    this.expected.set('downloads/dpdk-18.11.tar.gz', sha256Of(join(at, 'dpdk-18.11.tar.gz')));
    this.expected.set('downloads/puppet/puppet-boolean-1.tar.gz', sha256Of(join(at, 'puppet-boolean-1.tar.gz')));
    this.expected.set('downloads/originals/kmod-1.tar.gz', sha256Of(join(at, 'kmod-1.tar.gz')));
  }

  private install(): void {
    const at = this.upstreamPath(INSTALL);
    const files = ['images/pxeboot/vmlinuz', 'LiveOS/squashfs.img'];
    for (const name of files) {
      mkdirSync(dirname(join(at, name)), { recursive: true });
      writeFileSync(join(at, name), `the file ${name}`);
      this.expected.set(`Binary/${name}`, sha256Of(join(at, name)));
    }
    this.list('other_downloads.lst', ['folder:EFI', ...files.map((name) => `file:${name}`)]);
    writeFileSync(join(this.lists, 'other.sha256'), this.sumLines(files, at));
    const served = this.mirrorPath(mirrorPath(INSTALL, 'centos').decoded);
    for (const name of files) this.put(dirname(join(served, name)), [join(at, name)]);
    mkdirSync(join(served, '.mirror'));
    writeFileSync(join(served, '.mirror/SHA256SUMS'), this.sumLines(files, served));
    signDetached(this.mirrorKey, join(served, '.mirror/SHA256SUMS'));
  }
}
