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

const ACME = { uploads: { 'acme-build': ['mos9.0-centos7/cr'] } };
const BOTH = { uploads: { 'mos-build': ['p7/cr'], ...ACME.uploads } };
const STX = {
  uploads: { ...ACME.uploads, 'stx-build': ['stx-master/flock'], 'stx-other': ['stx-rc/builds'] },
  uploadsByRsync: ['stx-build', 'stx-other'],
};

describe('what sshd is told', () => {
  test('is nothing where there is no account', () => {
    expect(sshdText({})).toBeUndefined();
  });
  test('is understood by sshd, for these accounts and nobody else', () => {
    const before = effective(configuration(undefined), 'root');
    const main = configuration(sshdText(BOTH));
    expect(sshd('-t', '-f', main)).toMatchObject({ status: 0, stderr: '' });
    for (const account of ['acme-build', 'mos-build']) expect(unlikeDeclared(effective(main, account), BOTH, account)).toEqual([]);
    expect(effective(main, 'acme-build')).toContain('chrootdirectory /var/lib/mirror-uploads/%u');
    expect(before).toContain('permittty yes');
    expect(effective(main, 'root')).toBe(before);
    expect(effective(main, 'acme-builder')).toContain('permittty yes');
  });
  test('of accounts that upload by rsync: that rsync runs, by the configuration of the account, and nothing else', () => {
    const main = configuration(sshdText(STX));
    expect(sshd('-t', '-f', main)).toMatchObject({ status: 0, stderr: '' });
    for (const account of Object.keys(STX.uploads)) expect(unlikeDeclared(effective(main, account), STX, account)).toEqual([]);
    const command = (account: string): string => /^forcecommand (.*)$/m.exec(effective(main, account))?.[1] ?? '';
    expect(command('stx-build')).toBe(
      'exec /usr/bin/env -i /usr/bin/rsync --server --daemon --config=/etc/mirror/current/ssh/rsync/stx-build.conf .',
    );
    expect(command('stx-other')).toContain('/stx-other.conf .');
    expect(command('acme-build')).toMatch(/^internal-sftp/);
    for (const line of ['chrootdirectory none', 'permittty no', 'disableforwarding yes', 'passwordauthentication no'])
      expect(effective(main, 'stx-build').split('\n')).toContain(line);
    expect(unlikeDeclared(effective(main, 'stx-other'), STX, 'stx-build')).toEqual(['ForceCommand']);
  });
  test('names what another file says of an account', () => {
    const main = configuration(sshdText(ACME), { '00-first.conf': 'Match User acme-*\n  PermitTTY yes\n  ForceCommand none\n' });
    expect(unlikeDeclared(effective(main, 'acme-build'), ACME, 'acme-build')).toEqual(['ForceCommand', 'PermitTTY']);
  });
  test('is missed where the file is not read', () => {
    expect(unlikeDeclared(effective(configuration(undefined), 'acme-build'), ACME, 'acme-build')).toEqual(
      expect.arrayContaining(['ChrootDirectory', 'ForceCommand']),
    );
  });
});

test('the elements of a desired state say which accounts there are', () => {
  const element = (uploads?: object) => ElementSchema.parse({ id: 'upload/a', files: {}, links: {}, ...(uploads ? { uploads } : {}) });
  expect(uploadsOf({ elements: [element()] })).toEqual({});
  const uploads = { account: 'acme-build', directories: ['mos9.0-centos7/cr'] };
  expect(uploadsOf({ elements: [element(), element(uploads)] })).toEqual({ uploads: { 'acme-build': ['mos9.0-centos7/cr'] } });
  expect(uploadsOf({ elements: [element(uploads), element({ ...uploads, account: 'stx-build', protocol: 'rsync' })] })).toEqual({
    uploads: { 'acme-build': ['mos9.0-centos7/cr'], 'stx-build': ['mos9.0-centos7/cr'] },
    uploadsByRsync: ['stx-build'],
  });
  expect(() => element({ ...uploads, protocol: 'ftp' })).toThrow();
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
  const deviating = (uploadsByRsync: string[] = []): string[] =>
    uploadDeviations(paths, { uploads, uploadsByRsync }, content).map((text) => text.replace(directory, ''));

  test('nothing', () => {
    intact();
    expect(deviating()).toEqual([]);
    expect(uploadDeviations(paths, {}, content)).toEqual([]);
  });
  test('an account that uploads by rsync: a shell, by which sshd starts it, and a group that the mirror is in', () => {
    const place = join(paths.uploads, 'acme-build');
    const passwd = `acme-build:x:${content.uid}:${content.gid}::${place}:/bin/sh\n`;
    const group = `acme-build:x:${content.gid}:mirror\n`;
    intact({ passwd, group });
    expect(deviating(['acme-build'])).toEqual([]);
    expect(deviating()).toEqual(['the account acme-build modified']);
    intact({ passwd });
    expect(deviating(['acme-build'])).toEqual(['the account acme-build modified']);
    intact({ group });
    expect(deviating(['acme-build'])).toEqual(['the account acme-build modified']);
    intact({ passwd, group: `acme-build:x:${content.gid}:mirror,alice\n` });
    expect(deviating(['acme-build'])).toEqual(['the account acme-build modified']);
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
