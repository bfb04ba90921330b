/** Accounts that upload: what sshd is told, and what deviates of them. With real accounts it is tried in the lab (24-uploads). */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { ElementSchema } from '../../desired-state/model';
import { uploadsOf } from '../../host-agent/generation';
import { hostPaths, type HostPaths } from '../../host-agent/paths';
import { sshdText, unlikeDeclared } from '../../host-agent/sshd';
import { uploadDeviations } from '../../host-agent/uploads';

let directory: string;
let paths: HostPaths;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mirror-uploads-'));
  paths = hostPaths(directory);
});
afterEach(() => rmSync(directory, { recursive: true }));

// Where no sshd was ever started.
beforeAll(() => {
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
});
const sshd = (...args: string[]) => spawnSync('/usr/sbin/sshd', args, { encoding: 'utf8' });

/** A configuration as Debian's: what is in files of its own comes first. */
function configuration(mirrors: string | undefined, others: Readonly<Record<string, string>> = {}): string {
  const dropIns = join(directory, 'sshd_config.d');
  mkdirSync(dropIns, { recursive: true });
  const files = { ...(mirrors === undefined ? {} : { '00-mirror-uploads.conf': mirrors }), ...others };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dropIns, name), text);
  const key = join(directory, 'host_key');
  spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const main = join(directory, 'sshd_config');
  writeFileSync(
    main,
    `Include ${dropIns}/*.conf\nHostKey ${key}\nX11Forwarding yes\nPermitTTY yes\nSubsystem sftp /usr/lib/openssh/sftp-server\n`,
  );
  return main;
}
const effective = (main: string, user: string): string =>
  sshd('-T', '-f', main, '-C', `user=${user},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22`).stdout;

describe('what sshd is told', () => {
  test('is nothing where there is no account', () => {
    expect(sshdText([])).toBeUndefined();
  });
  test('is understood by sshd, for these accounts and nobody else', () => {
    const before = effective(configuration(undefined), 'root');
    const main = configuration(sshdText(['mos-build', 'acme-build']));
    expect(sshd('-t', '-f', main)).toMatchObject({ status: 0, stderr: '' });
    for (const account of ['acme-build', 'mos-build']) expect(unlikeDeclared(effective(main, account))).toEqual([]);
    expect(effective(main, 'acme-build')).toContain('chrootdirectory /var/lib/mirror-uploads/%u');
    expect(before).toContain('permittty yes');
    expect(effective(main, 'root')).toBe(before);
    expect(effective(main, 'acme-builder')).toContain('permittty yes');
  });
  test('names what another file says of an account', () => {
    const main = configuration(sshdText(['acme-build']), { '00-first.conf': 'Match User acme-*\n  PermitTTY yes\n  ForceCommand none\n' });
    expect(unlikeDeclared(effective(main, 'acme-build'))).toEqual(['ForceCommand', 'PermitTTY']);
  });
  test('is missed where the file is not read', () => {
    expect(unlikeDeclared(effective(configuration(undefined), 'acme-build'))).toEqual(
      expect.arrayContaining(['ChrootDirectory', 'ForceCommand']),
    );
  });
});

test('the elements of a desired state say which accounts there are', () => {
  const element = (uploads?: object) => ElementSchema.parse({ id: 'upload/a', files: {}, links: {}, ...(uploads ? { uploads } : {}) });
  expect(uploadsOf({ elements: [element()] })).toEqual({});
  const uploads = { account: 'acme-build', directories: ['mos9.0-centos7/cr'] };
  expect(uploadsOf({ elements: [element(), element(uploads)] })).toEqual({ uploads: { 'acme-build': ['mos9.0-centos7/cr'] } });
  for (const bad of ['..', '../x', 'a', 'a/b/c', 'a/..', '/a/b', 'a/B', 'results'])
    expect(() => element({ ...uploads, directories: [bad] })).toThrow();
  for (const bad of ['Root', '../x', 'a b', 'x'.repeat(32), '']) expect(() => element({ ...uploads, account: bad })).toThrow();
});

describe('what deviates', () => {
  const uploads = { 'acme-build': ['mos9.0-centos7/cr'] };
  const content = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  /** All as it should be, with the account's number this process' own, so that its directories can be made. */
  function intact(change: { passwd?: string; group?: string; shadow?: string } = {}): void {
    const place = join(paths.uploads, 'acme-build');
    mkdirSync(dirname(paths.passwd), { recursive: true });
    writeFileSync(paths.passwd, change.passwd ?? `acme-build:x:${content.uid}:${content.gid}::${place}:/usr/sbin/nologin\n`);
    writeFileSync(paths.group, change.group ?? `acme-build:x:${content.gid}:\nsudo:x:27:alice\n`);
    writeFileSync(paths.shadow, change.shadow ?? 'acme-build:*:20000::::::\n');
    for (const [path, mode] of [
      ['', 0o711],
      ['acme-build', 0o755],
      ['acme-build/results', 0o755],
      ['acme-build/refused', 0o750],
      ['acme-build/mos9.0-centos7', 0o755],
      ['acme-build/mos9.0-centos7/cr', 0o2770],
    ] as const) {
      mkdirSync(join(paths.uploads, path), { recursive: true });
      chmodSync(join(paths.uploads, path), mode);
    }
  }
  const deviating = (): string[] => uploadDeviations(paths, uploads, content).map((text) => text.replace(directory, ''));

  test('nothing', () => {
    intact();
    expect(deviating()).toEqual([]);
    expect(uploadDeviations(paths, {}, content)).toEqual([]);
  });
  test('an account that is gone', () => {
    intact({ passwd: 'root:x:0:0::/root:/bin/bash\n' });
    expect(deviating()).toEqual(['the account acme-build missing']);
  });
  test.each([
    ['a shell', { passwd: 'SHELL' }],
    ['another group', { group: 'acme-build:x:GID:\nsudo:x:27:alice,acme-build\n' }],
    ['a password', { shadow: 'acme-build:$y$j9T$x:20000::::::\n' }],
    ['a locked password, for which sshd refuses its keys', { shadow: 'acme-build:!:20000::::::\n' }],
  ])('an account with %s', (_what, change) => {
    const place = join(paths.uploads, 'acme-build');
    const texts: { passwd?: string; group?: string; shadow?: string } = change;
    intact({
      ...texts,
      ...(texts.passwd === undefined ? {} : { passwd: `acme-build:x:${content.uid}:${content.gid}::${place}:/bin/bash\n` }),
      ...(texts.group === undefined ? {} : { group: texts.group.replace('GID', String(content.gid)) }),
    });
    expect(deviating()).toEqual(['the account acme-build modified']);
  });
  test('a directory that is gone, or open to others', () => {
    intact();
    rmSync(join(paths.uploads, 'acme-build/results'), { recursive: true });
    chmodSync(join(paths.uploads, 'acme-build/mos9.0-centos7/cr'), 0o2777);
    expect(deviating()).toEqual([
      '/var/lib/mirror-uploads/acme-build/results missing',
      '/var/lib/mirror-uploads/acme-build/mos9.0-centos7/cr modified',
    ]);
  });
});
