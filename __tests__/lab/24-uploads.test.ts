/** Uploads by SFTP: what an account may do, what it may not, and what becomes of what it uploads. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { builtPackages } from '../../lab/rpm-build';
import { signingKeys } from '../../lab/signing-keys';
import {
  adding,
  asItIs,
  dnf,
  fetchPath,
  type Finished,
  generation,
  importing,
  lab,
  labEnvironment,
  must,
  NAME,
  onMirror,
  run,
  tryOnMirror,
  withDeployment,
  codeBlocks,
} from './support';

jest.setTimeout(300_000);

const work = mkdtempSync(join(tmpdir(), 'mirror-uploads-'));
const SSH = join(work, 'config');
const DROP_IN = '/etc/ssh/sshd_config.d/00-mirror-uploads.conf';
const PLACE = '/var/lib/mirror-uploads/acme-build';
const CODENAME = 'mos9.0-centos7';
/** Another one in each run: what was published stays on a lab host. */
const TOOL = `acme-tool${Math.floor(Date.now() / 1000)}`;

/** A key pair of SSH; the path of its secret half. */
function keyPair(name: string): string {
  const path = join(work, name);
  must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', `${name}@example.org`, '-f', path]);
  return path;
}
const publicHalf = (path: string): string => readFileSync(`${path}.pub`, 'utf8').trim();

let acme: string;
let product: string;
/** Packages that acme signed, and one that somebody else did. */
let packages: Readonly<Record<'first' | 'second' | 'third' | 'foreign', string>>;

const ACME = `const acme = new Customer(server, 'acme', { access: Access.public(), keys: [key('RPM-GPG-KEY-CentOS-7')] });
const c7 = new MosCodename(acme, 'c7', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });`;
const account = (keys: readonly string[] = [acme], components = "['cr', 'updates']"): string =>
  `new UploadAccount(acme, 'acme-build', { authorizedKeys: [${keys.map((key) => `'${publicHalf(key)}'`).join()}], codenames: [c7], components: ${components} });`;
const PRODUCT =
  (): string => `const p7 = new MosCodename(server, 'p7', { release: '9.0', distribution: Distribution.CENTOS, version: '7' });
new UploadAccount(server, 'mos-build', { authorizedKeys: ['${publicHalf(product)}'], codenames: [p7] });`;
const declared =
  (...lines: string[]) =>
  (main: string): string =>
    importing('UploadAccount')(adding(lines.join('\n'))(main));
const both = (main: string): string => declared(ACME, account(), PRODUCT())(main);

const onClient = (...command: string[]): Finished => run(process.execPath, ['dist/lab.cjs', 'ssh', 'client', ...command]);
const address = (): string => labEnvironment()['MIRROR_ADDRESS'] as string;

/** What a build system does: a batch of sftp's own commands. */
function sftp(name: string, identity: string, ...commands: string[]): Finished {
  const batch = join(work, 'batch');
  writeFileSync(batch, `${commands.join('\n')}\n`);
  return onClient('sftp', '-F', SSH, '-b', batch, '-i', identity, `${name}@${address()}`);
}
const ssh = (name: string, identity: string, ...args: string[]): Finished =>
  onClient('timeout', '20', 'ssh', '-F', SSH, '-i', identity, ...args.slice(0, -1), `${name}@${address()}`, ...args.slice(-1));

/** Waits until what became of an upload can be read, and returns it. */
async function resultOf(
  upload: string,
  component = 'cr',
  seconds = 90,
): Promise<{ result: string; files: { result: string; code?: string; message?: string }[] }> {
  const path = join(work, 'result.json');
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    rmSync(path, { force: true });
    if (sftp('acme-build', acme, `get results/${CODENAME}/${component}/${upload}.json ${path}`).status === 0)
      return JSON.parse(readFileSync(path, 'utf8')) as Awaited<ReturnType<typeof resultOf>>;
    if (Date.now() > deadline)
      throw new Error(`no result of ${upload}:\n${tryOnMirror('journalctl -o cat --no-pager -n 40 -u "mirror-uploads@*"').text}`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

beforeAll(async () => {
  lab('up');
  // What a run that was cut off left would be in the way.
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('rm -rf /var/lib/mirror-uploads');
  const clientConfiguration = `Host *\n  BatchMode yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile ${join(work, 'known_hosts')}\n  LogLevel ERROR\n  ConnectTimeout 10\n`;
  writeFileSync(SSH, clientConfiguration);
  acme = keyPair('acme');
  product = keyPair('product');
  const { cache } = JSON.parse(lab('status', '--json')) as { cache: string };
  const keys = await signingKeys(cache, ['RPM-GPG-KEY-CentOS-7', 'RPM-GPG-KEY-EPEL-7']);
  const build = async (version: string, key: string): Promise<string> => {
    const source = { name: TOOL, version, release: '1', arch: 'noarch' } as const;
    const built = await builtPackages(cache, [source], keys.get(key) as NonNullable<ReturnType<typeof keys.get>>);
    return (built.find((one) => !one.source) as { path: string }).path;
  };
  packages = {
    first: await build('1.0', 'RPM-GPG-KEY-CentOS-7'),
    second: await build('2.0', 'RPM-GPG-KEY-CentOS-7'),
    third: await build('3.0', 'RPM-GPG-KEY-CentOS-7'),
    foreign: await build('4.0', 'RPM-GPG-KEY-EPEL-7'),
  };
  await withDeployment(both, (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
  });
});
afterAll(async () => {
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  rmSync(work, { recursive: true });
});

describe('an account', () => {
  test('sees its own directories, and nothing else of the server', () => {
    const listed = sftp('acme-build', acme, 'pwd', 'ls -1', `ls -1 ${CODENAME}`, 'ls -1 /', 'cd ../../..', 'ls -1');
    expect(listed.status).toBe(0);
    const names = listed.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('sftp>'));
    expect(names).toEqual(['Remote working directory: /', CODENAME, 'refused', 'results', `${CODENAME}/cr`, `${CODENAME}/updates`, `/${CODENAME}`, '/refused', '/results', CODENAME, 'refused', 'results']); // prettier-ignore
  });

  test.each([
    ['what others have', ['get /etc/passwd']],
    ['what others have, above its root', ['get ../../../../etc/passwd']],
    ['other accounts', ['ls /var/lib/mirror-uploads/mos-build']],
    ['what was refused', ['ls refused']],
    ['a file at its root', ['put FILE /x']],
    ['a file beside its components', [`put FILE ${CODENAME}/x`]],
    ['a component that it was not given', [`mkdir ${CODENAME}/os`]],
    ['a result', ['put FILE results/x']],
    ['a symbolic link', [`symlink /etc/passwd ${CODENAME}/cr/link.rpm`]],
    ['a hard link', [`put FILE ${CODENAME}/cr/a.part`, `ln ${CODENAME}/cr/a.part ${CODENAME}/cr/b.part`]],
    ['the name of its directory', [`rename ${CODENAME}/cr ${CODENAME}/os`]],
    ['the end of its directory', [`rmdir ${CODENAME}/updates`]],
    ['the owner of its directory', [`chown 0 ${CODENAME}/updates`]],
  ])('gets nothing of %s', (_what, commands) => {
    const tried = sftp('acme-build', acme, ...commands.map((command) => command.replace('FILE', packages.first)));
    expect(tried.status).not.toBe(0);
    expect(onMirror(`find ${PLACE} \\( -type l -o -links +1 -type f -o -path '*/os*' \\)`)).toBe('');
    onMirror(`rm -f ${PLACE}/${CODENAME}/cr/a.part; test ! -e /work/passwd`);
  });

  test('runs no command and gets no shell', () => {
    for (const args of [['id'], ['-t', 'id'], ['-t', '/bin/sh'], ['-s', 'netconf']]) {
      const tried = ssh('acme-build', acme, ...args);
      expect(tried.text).not.toMatch(/uid=|\$ /);
      expect(tried.status).not.toBe(0);
    }
    expect(
      onClient('timeout', '20', 'scp', '-O', '-F', SSH, '-i', acme, packages.first, `acme-build@${address()}:${CODENAME}/cr/x.part`).status,
    ).not.toBe(0);
    expect(onMirror(`ls ${PLACE}/${CODENAME}/cr`)).toBe('');
  });

  test('forwards nothing', async () => {
    // The session itself stands: what is asked of it is refused.
    const forwarding = (...args: string[]): Finished =>
      onClient(
        'timeout',
        '20',
        'ssh',
        '-F',
        SSH,
        '-o',
        'ExitOnForwardFailure=yes',
        '-o',
        'LogLevel=INFO',
        '-i',
        acme,
        ...args,
        `acme-build@${address()}`,
      );
    expect(forwarding('-W', '127.0.0.1:22').text).toMatch(/administratively prohibited|open failed/);
    expect(forwarding('-N', '-R', '12345:127.0.0.1:22').text).toMatch(/remote port forwarding failed/);
    expect(forwarding('-N', '-w', '0:0').text).toMatch(/[Tt]unnel (device|forwarding)|open failed|failed/);
    const local = spawn(process.execPath, ['dist/lab.cjs', 'ssh', 'client', 'timeout', '15', 'ssh', '-F', SSH, '-i', acme, '-N', '-L', '12346:127.0.0.1:22', `acme-build@${address()}`], { stdio: 'ignore' }); // prettier-ignore
    const ended = once(local, 'close');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(onClient('timeout', '5', 'bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/12346; head -c 7 <&3').stdout).not.toContain('SSH');
    local.kill();
    await ended;
  });

  test('logs in with its own key alone, and never with a password', () => {
    expect(sftp('acme-build', product, 'pwd').text).toContain('Permission denied (publickey)');
    expect(sftp('mos-build', acme, 'pwd').text).toContain('Permission denied (publickey)');
    expect(onMirror('getent shadow acme-build | cut -d: -f2').trim()).toBe('*');
    expect(onMirror('getent passwd acme-build | cut -d: -f7').trim()).toBe('/usr/sbin/nologin');
    expect(onMirror('id -Gn acme-build').trim()).toBe('acme-build');
  });
});

describe('what is uploaded', () => {
  const repoFile = `http://${NAME}/acme/${CODENAME}.repo`;
  const published = (): string => dnf([repoFile], '--enablerepo', '*', 'repoquery', '--qf', '%{name}-%{version}\n', TOOL).stdout;

  test('a batch is published and can be installed, and the account reads so', async () => {
    const name = basename(packages.first);
    const put = sftp('acme-build', acme, `mkdir ${CODENAME}/cr/build-1.part`, `put ${packages.first} ${CODENAME}/cr/build-1.part/`, `rename ${CODENAME}/cr/build-1.part ${CODENAME}/cr/build-1`); // prettier-ignore
    expect(put).toMatchObject({ status: 0 });
    expect(await resultOf('build-1')).toMatchObject({
      result: 'published',
      component: `acme/${CODENAME}/cr`,
      files: [{ file: name, result: 'published' }],
    });
    expect(onMirror(`ls ${PLACE}/${CODENAME}/cr`)).toBe('');
    expect(published()).toContain(`${TOOL}-1.0`);
    expect(dnf([repoFile], '--enablerepo', '*', 'install', TOOL)).toMatchObject({ status: 0 });
  });

  test('a file is published by itself', async () => {
    const own = join(work, basename(packages.second));
    copyFileSync(packages.second, own);
    expect(sftp('acme-build', acme, `put ${own} ${CODENAME}/cr/`).status).toBe(0);
    expect(await resultOf(basename(own))).toMatchObject({ result: 'published' });
    expect(published()).toContain(`${TOOL}-2.0`);
  });

  test('a file that the mirror may not read is refused, and leaves all the same', async () => {
    const own = join(work, 'acme-own-1-1.noarch.rpm');
    copyFileSync(packages.third, own);
    chmodSync(own, 0o600);
    expect(sftp('acme-build', acme, `put ${own} ${CODENAME}/cr/`).status).toBe(0);
    const { result, files } = await resultOf(basename(own));
    expect(result).toBe('refused');
    expect(files[0]).toMatchObject({ code: 'PERMISSION', remedy: expect.stringContaining('chmod 660') as string });
    expect(onMirror(`ls ${PLACE}/${CODENAME}/cr`)).toBe('');
  });

  test('what somebody else signed is refused, with the reason, and what is published stays', async () => {
    const name = basename(packages.foreign);
    const before = (await fetchPath(`/acme/centos/${CODENAME}/cr/x86_64/repodata/repomd.xml`)).body;
    expect(sftp('acme-build', acme, `put ${packages.foreign} ${CODENAME}/cr/`).status).toBe(0);
    const { result, files } = await resultOf(name);
    expect(result).toBe('refused');
    expect(files[0]?.message).toMatch(/sign/);
    expect((await fetchPath(`/acme/centos/${CODENAME}/cr/x86_64/repodata/repomd.xml`)).body).toBe(before);
    expect(onMirror('mirrorctl uploads')).toMatch(
      new RegExp(`refused  acme/${CODENAME}/cr  ${name}[^]*${files[0]?.code === undefined ? '' : name}`),
    );
    expect(onMirror(`ls ${PLACE}/${CODENAME}/cr; stat -c %U:%a ${PLACE}/refused`)).toBe('mirror:750\n');
  });

  test('a cut upload is not published, and goes on', async () => {
    const whole = packages.third;
    const cut = join(work, basename(whole));
    copyFileSync(whole, cut);
    truncateSync(cut, 2000);
    expect(sftp('acme-build', acme, `put ${cut} ${CODENAME}/updates/`).status).toBe(0);
    const said = `journalctl -o cat --no-pager -u mirror-uploads@acme-build | grep -F '${basename(cut)} is cut'`;
    for (let tries = 0; tryOnMirror(said).status !== 0; tries++) {
      expect(tries).toBeLessThan(90);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    expect(sftp('acme-build', acme, `reput ${whole} ${CODENAME}/updates/${basename(whole)}`).status).toBe(0);
    expect(await resultOf(basename(whole), 'updates')).toMatchObject({ result: 'published' });
  });

  test('the commands of the documentation', () => {
    const blocks = codeBlocks('docs/how-to/upload-packages.md', 'console').map((text) => text.replaceAll(/^\$ /gm, ''));
    expect(blocks.length).toBeGreaterThan(1);
    mkdirSync(join(work, 'RPMS'));
    copyFileSync(packages.third, join(work, 'RPMS', basename(packages.third)));
    for (const block of blocks) {
      const script = block.replaceAll('sftp ', `sftp -F ${SSH} `).replaceAll('build-key', acme).replaceAll('build-1041', 'documented');
      const finished = onClient('bash', '-euo', 'pipefail', '-c', `cd ${work}\n${script}`);
      expect(`${finished.status} ${finished.status === 0 ? '' : finished.text}`.trim()).toBe('0');
    }
    expect(readFileSync(join(work, 'documented.txt'), 'utf8')).toContain('published');
  });
});

describe('the server', () => {
  const effective = (name: string): string => onMirror(`sshd -T -C user=${name},host=x,addr=127.0.0.1,laddr=127.0.0.1,lport=22`);

  test('treats those who deploy as before', () => {
    expect(effective('root')).toMatch(/^chrootdirectory none$/m);
    expect(effective('root')).toMatch(/^forcecommand none$/m);
  });

  test.each([
    ['the file of sshd', `sed -i s/PermitTTY.*// ${DROP_IN}`, `${DROP_IN} modified`, `grep -q 'PermitTTY no' ${DROP_IN}`],
    ['that file, removed', `rm ${DROP_IN}; systemctl reload ssh`, `${DROP_IN} missing`, `test -f ${DROP_IN}`],
    [
      'another file of sshd',
      "printf 'Match User acme-*\\n PermitTTY yes\\n' > /etc/ssh/sshd_config.d/00-a.conf",
      'sshd has another PermitTTY',
      undefined,
    ],
    ['the shell', 'usermod -s /bin/bash acme-build', 'the account acme-build modified', 'getent passwd acme-build | grep -q nologin'],
    ['a group', 'usermod -aG sudo acme-build', 'the account acme-build modified', 'test "$(id -Gn acme-build)" = acme-build'],
    ['a directory', `rmdir ${PLACE}/${CODENAME}/updates`, `${PLACE}/${CODENAME}/updates missing`, `test -d ${PLACE}/${CODENAME}/updates`],
    ['its mode', `chmod 777 ${PLACE}`, `${PLACE} modified`, `test $(stat -c %a ${PLACE}) = 755`],
    [
      'the watch',
      'systemctl stop mirror-uploads@acme-build.path',
      'mirror-uploads@acme-build.path stopped',
      'systemctl is-active mirror-uploads@acme-build.path',
    ],
  ])('repairs what was changed by hand: %s', async (_what, change, deviation, repaired) => {
    onMirror(change);
    try {
      await withDeployment(both, (deployment) => {
        expect(deployment.plan().text).toContain(deviation);
        if (repaired === undefined) return;
        deployment.deploy();
        onMirror(repaired);
        expect(deployment.plan().sentences).toEqual([]);
      });
    } finally {
      onMirror('rm -f /etc/ssh/sshd_config.d/00-a.conf');
    }
    expect(sftp('acme-build', acme, 'pwd').status).toBe(0);
  });

  test('refuses what sshd would not do, and stays as it was', async () => {
    const before = generation();
    onMirror('cp /etc/ssh/sshd_config /root/sshd_config; sed -i /^Include/d /etc/ssh/sshd_config');
    try {
      await withDeployment(
        declared(
          ACME,
          account([acme], "['cr']"),
          PRODUCT(),
          `new UploadAccount(acme, 'acme-more', { authorizedKeys: ['${publicHalf(acme)}'], codenames: [c7] });`,
        ),
        (deployment) => {
          const applied = deployment.apply();
          expect(applied.status).not.toBe(0);
          expect(applied.text).toMatch(/sshd would have another ChrootDirectory, ForceCommand[^]*Include/);
        },
      );
    } finally {
      onMirror('mv /root/sshd_config /etc/ssh/sshd_config; systemctl reload ssh');
    }
    expect(generation()).toBe(before);
    expect(onMirror(`cat ${DROP_IN}`)).toContain('Match User acme-build,mos-build\n');
    expect(sftp('acme-build', acme, 'pwd').status).toBe(0);
  });

  test("refuses an account that is somebody else's", async () => {
    onMirror('useradd --system somebody');
    await withDeployment(
      declared(
        ACME,
        account(),
        PRODUCT(),
        `new UploadAccount(acme, 'somebody', { authorizedKeys: ['${publicHalf(acme)}'], codenames: [c7] });`,
      ),
      (deployment) => {
        const applied = deployment.apply();
        expect(applied.status).not.toBe(0);
        expect(applied.text).toContain('the account somebody, for uploads, cannot be set up: it exists');
      },
    );
    onMirror('userdel somebody');
  });

  test('a key and a component that are no longer declared are no longer good, and what lies there stays', async () => {
    onMirror(`touch ${PLACE}/${CODENAME}/updates/kept.part`);
    const second = keyPair('second');
    await withDeployment(declared(ACME, account([second], "['cr']"), PRODUCT()), (deployment) => {
      // The deploys before failed, so that this one activates in any case.
      expect(deployment.plan().sentences.filter((one) => !one.startsWith('activates again'))).toEqual([
        expect.stringMatching(/^lets second@example.org .* upload as acme-build$/),
        expect.stringMatching(/^lets acme@example.org .* upload as acme-build no longer$/),
        `lets acme-build publish to acme/${CODENAME}/updates no longer: what lies in its directory stays there`,
      ]);
      deployment.deploy();
    });
    expect(sftp('acme-build', acme, 'pwd').text).toContain('Permission denied');
    expect(sftp('acme-build', second, `put ${packages.third} ${CODENAME}/updates/x.part`).status).not.toBe(0);
    expect(onMirror(`stat -c %U:%a ${PLACE}/${CODENAME}/updates; ls ${PLACE}/${CODENAME}/updates`)).toBe('root:700\nkept.part\n');
  });

  test('an account that is no longer declared is gone, its sessions end, and what it uploaded stays', async () => {
    await withDeployment(both, (deployment) => deployment.deploy());
    const session = spawn(process.execPath, ['dist/lab.cjs', 'ssh', 'client', 'sftp', '-F', SSH, '-i', acme, `acme-build@${address()}`]);
    const ended = once(session, 'close');
    for (let tries = 0; tryOnMirror('find /proc -maxdepth 1 -user acme-build | grep -q .').status !== 0; tries++) {
      expect(tries).toBeLessThan(50);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    onMirror(`touch ${PLACE}/${CODENAME}/cr/kept.part`);
    await withDeployment(declared(ACME, PRODUCT()), (deployment) => {
      expect(deployment.plan().sentences).toEqual([
        'removes the upload account acme-build: what it uploaded and was not taken stays on the server',
      ]);
      deployment.deploy();
      expect(deployment.plan().sentences).toEqual([]);
    });
    session.stdin.end('pwd\n');
    await ended;
    expect(tryOnMirror('getent passwd acme-build; getent group acme-build').stdout).toBe('');
    expect(onMirror(`cat ${DROP_IN}`)).toContain('Match User mos-build\n');
    expect(onMirror(`stat -c %U:%a ${PLACE}; ls ${PLACE}/${CODENAME}/cr; ls /etc/systemd/system | grep -c acme-build || true`)).toBe(
      'root:700\nkept.part\n0\n',
    );
    expect(sftp('mos-build', product, 'pwd').status).toBe(0);

    // The generation that had it makes it anew, and one that has it not locks it out.
    onMirror('mirror-host rollback');
    expect(sftp('acme-build', acme, `ls ${CODENAME}/cr`).stdout).toContain('kept.part');
    await withDeployment(declared(ACME, PRODUCT()), (deployment) => deployment.deploy());
    await withDeployment(both, (deployment) => deployment.deploy());
    onMirror('mirror-host rollback');
    expect(sftp('acme-build', acme, 'pwd').text).toContain('Permission denied');
    expect(sftp('mos-build', product, 'pwd').status).toBe(0);

    await withDeployment(both, (deployment) => deployment.deploy());
    expect(sftp('acme-build', acme, `ls ${CODENAME}/cr`).stdout).toContain('kept.part');
    // Dismantling waits for what takes uploads, and removes the accounts.
    await withDeployment(both, (deployment) => deployment.deploy());
    onMirror(`touch ${PLACE}/${CODENAME}/cr/busy.part; systemctl start --no-block mirror-uploads@acme-build`);
    const refused = tryOnMirror('mirror-host decommission --yes');
    expect([refused.status, refused.stdout]).toEqual([4, expect.stringContaining('mirror-uploads@acme-build.service')]);
    onMirror('systemctl stop "mirror-uploads@*" "mirror-sync*.service"');
    expect(onMirror('mirror-host decommission --yes')).toContain('"outcome":"decommissioned"');
    expect(onMirror(`ls ${PLACE}/${CODENAME}/cr; ls ${DROP_IN} 2>/dev/null; grep -c build /etc/passwd || true`)).toBe(
      'busy.part\nkept.part\n0\n',
    );

    await withDeployment(asItIs, (deployment) => deployment.deploy());
    expect(onMirror(`test ! -e ${DROP_IN} && grep -c build /etc/passwd || true`).trim()).toBe('0');
  });
});
