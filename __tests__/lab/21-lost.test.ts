/** A lost disk and a lost server come back by their runbooks alone: hosted content, what upstream dropped, a release, and the signing key. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checkout, Runbook } from './runbook';
import { asItIs, dnf, fetchPath, lab, labEnvironment, must, NAME, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(900_000);

const ID = 'centos-7-os';
const HOSTED = 'mos/mos7.0-centos6/os';
const DROPPED = 'bash';
const work = mkdtempSync('/var/tmp/mirror-lost-');
const gateway = (labEnvironment()['MIRROR_ADDRESS'] as string).replace(/\.\d+$/, '.1');
const PORT = 2222;
let sshd: ChildProcess;

/** Another machine: an SFTP server with a key and a directory of its own. */
beforeAll(() => {
  lab('up');
  for (const name of ['host', 'client']) must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(work, name)]);
  mkdirSync('/run/sshd', { recursive: true });
  writeFileSync(
    join(work, 'sshd_config'),
    [
      `ListenAddress ${gateway}`,
      `Port ${PORT}`,
      `HostKey ${join(work, 'host')}`,
      `AuthorizedKeysFile ${join(work, 'client.pub')}`,
      'StrictModes no',
      'PasswordAuthentication no',
      'UsePAM no',
      'PidFile none',
      'Subsystem sftp internal-sftp',
      'ForceCommand internal-sftp',
      '',
    ].join('\n'),
  );
  sshd = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', join(work, 'sshd_config')], { stdio: 'ignore' });
  process.env['MIRROR_BACKUP_PASSWORD'] = 'correct horse battery staple';
  process.env['MIRROR_BACKUP_SSH_KEY_FILE'] = join(work, 'client');
});
afterAll(async () => {
  sshd.kill();
  lab('upstream', 'restore');
  lab('reset', 'mirror');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  rmSync(work, { recursive: true, force: true });
});

/** The real main.ts with a key that the server makes, and a backup by SFTP; with a release of what it publishes when `release` says so. */
const withBackup =
  (release: Readonly<Record<string, string>> | undefined) =>
  (main: string): string =>
    main
      .replace('import {\n', 'import {\n  Backup,\n  Release,\n  SigningKey,\n')
      .replace("signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY')", 'signingKey: SigningKey.generated()')
      .replace(
        '\napp.synth();',
        `
new Backup(server, 'backup', {
  repository: 'sftp://root@${gateway}:${PORT}/${join(work, 'repository')}',
  password: Secret.fromEnvironment('MIRROR_BACKUP_PASSWORD'),
  sshKey: Secret.fromEnvironment('MIRROR_BACKUP_SSH_KEY'),
  hostKey: '${readFileSync(join(work, 'host.pub'), 'utf8').trim()}',
});
${release === undefined ? '' : `new Release(server, 'lost-1.0', { snapshots: ${JSON.stringify(release)} });`}
app.synth();`,
      );

/** Digests of everything below public paths, as clients get it. */
const served = (...ids: string[]): string =>
  onMirror(ids.map((id) => `cd -P /srv/mirror/repositories/${id}/current/ && find . -type f | sort | xargs sha256sum`).join(' && '));
const current = (id: string): string => onMirror(`basename $(readlink /srv/mirror/repositories/${id}/current)`).trim();
const released = (): string =>
  onMirror('cd /srv/mirror/releases/lost-1.0 && find -L . -type f -not -path "*/releases/*" | sort | xargs sha256sum');

/** An owner's package in a hosted component. */
function publishHosted(): void {
  const tree = mkdtempSync(join(tmpdir(), 'hosted-'));
  const rpm = must('find', [join(labEnvironment()['MIRROR_STATE'] as string, '../..'), '-name', '*.rpm', '-size', '-20k']).split(
    '\n',
  )[0] as string;
  mkdirSync(join(tree, 'Packages'));
  must('cp', [rpm, join(tree, 'Packages')]);
  must('createrepo_c', ['--quiet', '--no-database', tree]);
  const archive = must('bash', ['-c', `tar -C ${tree} -c . | base64 -w0`]);
  rmSync(tree, { recursive: true });
  const component = `/srv/mirror/repositories/${HOSTED}`;
  onMirror(
    `setpriv --reuid=mirror --regid=mirror --clear-groups bash -ec '
      cd ${component}/snapshots
      next=$(date -u +%Y%m%dT%H%M%SZ)-0123456789ab
      cp -rL ../current/ $next && chmod -R u+w $next
      rm -rf $next/x86_64/repodata
      base64 -d <<< ${archive} | tar -C $next/x86_64 -x
      ln -s snapshots/$next ../.next && mv -T ../.next ../current'`,
  );
}

test('a lost disk, then a lost server', async () => {
  const checkout = new Checkout(withBackup(undefined));
  try {
    // A release of a snapshot that has a package which upstream drops later.
    checkout.run('node scripts/build.mjs');
    const deploy = (): void => {
      const done = checkout.run('npx cdktf deploy mirror');
      if (done.status !== 0) throw new Error(done.text.slice(-4000));
    };
    deploy();
    onMirror('systemctl stop mirror-sync-new.service; mirrorctl sync --all --wait 600');
    publishHosted();
    checkout.edit(withBackup({ [ID]: current(ID), [HOSTED]: current(HOSTED) }));
    deploy();
    const old = released();
    lab('upstream', 'drop', 'centos-os', DROPPED);
    onMirror(`mirrorctl sync ${ID} --wait 300`);
    const key = onMirror('cat /srv/mirror/keys/RPM-GPG-KEY-mirror');
    tryOnMirror('systemctl start mirror-backup.service');
    const journal = onMirror('journalctl -u mirror-backup.service -o cat --no-pager -n 50');
    expect(journal).toContain('the signing key 1');
    expect(onMirror('mirrorctl status')).toMatch(/backup to sftp:\/\/root@.*: done, the last on/);
    expect(onMirror('systemctl is-enabled mirror-backup.timer')).toBe('enabled\n');
    for (const secret of ['correct horse', 'PRIVATE KEY']) {
      expect(journal).not.toContain(secret);
      expect(tryOnMirror(`grep -rl '${secret}' /var/lib/mirror /srv/mirror/backup /srv/mirror/repositories 2>/dev/null`).stdout).toBe('');
    }
    const hosted = served(HOSTED);
    const copied = served(ID);

    const intact = (): void => {
      expect(served(HOSTED)).toBe(hosted);
      expect(onMirror('cat /srv/mirror/keys/RPM-GPG-KEY-mirror')).toBe(key);
      const packages = (text: string): string[] =>
        text
          .split('\n')
          .filter((line) => line.endsWith('.rpm'))
          .sort();
      expect(packages(served(ID))).toEqual(packages(copied));
      expect(packages(copied).some((line) => line.includes(`/${DROPPED}-`))).toBe(true);
      expect(released()).toBe(old);
      expect(onMirror('mirrorctl status')).not.toContain('damaged');
    };

    // ---- The disk --------------------------------------------------------------------------------------------------------------------
    const disk = new Runbook('disk-lost');
    onMirror('systemctl stop "mirror-*.timer" "mirror-*.service"; find /srv/mirror -mindepth 1 -delete; chown root:root /srv/mirror');
    expect(tryOnMirror(`mirrorctl sync ${ID}`).text).toMatch(disk.messages[0] as RegExp);
    expect(checkout.run('npx cdktf deploy mirror').text.replaceAll(/\s+/g, ' ')).toContain('.mirror-data is gone: this is not the disk');
    disk.follow(0);
    disk.follow(1, { checkout });
    expect(tryOnMirror('mirrorctl backup run').text).toMatch(disk.messages[2] as RegExp);
    disk.follow(2);
    intact();
    disk.follow(3);

    // ---- The server ------------------------------------------------------------------------------------------------------------------
    const server = new Runbook('server-lost');
    lab('reset', 'mirror');
    const repository = `sftp:backup:${join(work, 'repository')}`;
    server.follow(0, {
      checkout,
      replace: {
        'sftp:backup:/srv/backup/mirror': repository,
        '-p 22 backup@backup.example.org': `-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p ${PORT} root@${gateway}`,
        'ssh root@mirror.example.org': `ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i ${labEnvironment()['MIRROR_SSH_KEY']} root@${labEnvironment()['MIRROR_ADDRESS']}`,
      },
    });
    server.follow(1, { checkout });
    expect(tryOnMirror('mirrorctl backup run').text).toMatch(server.messages[0] as RegExp);
    server.follow(2);
    intact();
    server.follow(3);
    expect((await fetchPath('/RPM-GPG-KEY-mirror')).body).toBe(key);
    expect(dnf([`http://${NAME}/repo-files/${ID}.repo`], 'install', '-y', DROPPED).status).toBe(0);
  } finally {
    checkout.remove();
  }
});
