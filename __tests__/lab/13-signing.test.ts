/** The mirror's signing key: how a sync gets it, how it is rotated with an overlap, and one that the server makes itself. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  asItIs,
  deployEnvironment,
  dnf,
  fetchPath,
  labEnvironment,
  must,
  NAME,
  onMirror,
  run,
  tryOnMirror,
  withDeployment,
} from './support';

jest.setTimeout(180_000);

const KEY = '/RPM-GPG-KEY-mirror';
const COMPONENT = '/mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml';
const REPO_FILE = `http://${NAME}/repo-files/mos7.0-centos6.repo`;
const signingKey = (text: string) => (main: string) =>
  main
    .replace("signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY')", text)
    .replace('  Secret,\n', text.includes('SigningKey') ? '  Secret,\n  SigningKey,\n' : '  Secret,\n');
const SUPPLIED = "Secret.fromEnvironment('MIRROR_SIGNING_KEY')";

const work = mkdtempSync(join(tmpdir(), 'mirror-signing-'));
const file = (name: string, content: string): string => {
  writeFileSync(join(work, name), content);
  return join(work, name);
};
let next: string;

beforeAll(async () => {
  const home = mkdtempSync(join(work, 'gpg-'));
  const gpg = (...args: string[]): string => must('gpg', ['--homedir', home, '--batch', '--quiet', ...args]);
  gpg('--passphrase', '', '--quick-generate-key', 'next <next@example.org>', 'rsa2048', 'sign', '0');
  next = file('next.asc', gpg('--armor', '--export-secret-keys'));
  run('gpgconf', ['--homedir', home, '--kill', 'all']);
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});
afterAll(() => rmSync(work, { recursive: true }));

/** Fingerprints of the public keys in a text. */
function fingerprints(armoured: string): string[] {
  const shown = must('gpg', ['--homedir', work, '--batch', '--no-autostart', '--with-colons', '--show-keys'], { input: armoured });
  return [...shown.matchAll(/^pub:[^\n]*\nfpr:{9}([0-9A-F]+):/gm)].map((match) => match[1] as string);
}

/** Who signed the metadata of a hosted component, in order, and whether gpgv says so with each key alone. */
async function signers(armoured: string): Promise<string[]> {
  const [data, signature] = [file('repomd', (await fetchPath(COMPONENT)).body), file('asc', (await fetchPath(`${COMPONENT}.asc`)).body)];
  const issuers = [...must('gpg', ['--homedir', work, '--batch', '--list-packets', signature]).matchAll(/issuer fpr v4 ([0-9A-F]+)/g)];
  for (const block of armoured.split(/(?=-----BEGIN)/).filter((text) => text.trim() !== '')) {
    const ring = join(work, 'ring.gpg');
    rmSync(ring, { force: true });
    must('gpg', ['--homedir', work, '--batch', '--dearmor', '--output', ring], { input: block });
    expect(run('gpgv', ['--status-fd', '1', '--keyring', ring, signature, data]).stdout).toContain('VALIDSIG');
  }
  return issuers.map((match) => match[1] as string);
}

describe('a sync', () => {
  const unit = 'mirror-sync@probe.service';
  const dropIn = `/run/systemd/system/${unit}.d`;
  afterAll(() => onMirror(`rm -rf ${dropIn} /var/lib/mirror/probe; systemctl daemon-reload; systemctl reset-failed '${unit}' || true`));

  /** Runs a script in the very unit of syncs, as it is rendered. Its output is the script's. */
  const inUnit = (script: string): string => {
    file('probe', script);
    must(process.execPath, ['dist/lab.cjs', 'ssh', 'mirror', 'cat > /var/lib/mirror/probe'], { input: script });
    onMirror(
      `mkdir -p ${dropIn} && printf '[Service]\\nExecStart=\\nExecStart=/bin/sh /var/lib/mirror/probe\\n' > ${dropIn}/probe.conf && systemctl daemon-reload`,
    );
    return onMirror(`systemctl start ${unit}; journalctl -u ${unit} -o cat --no-pager -n 40`);
  };

  test('has the key of systemd: in memory, for its own user, while it runs; gpg signs in the hardened unit and leaves nothing', () => {
    onMirror('rm -f /var/lib/mirror/signing-keys.json /srv/mirror/repositories/mos/mos7.0-centos6/cr/current');
    const said = inUnit(
      [
        'id -un',
        'stat -f -c "on %T" "$CREDENTIALS_DIRECTORY/signing-key"',
        'grep -c "BEGIN PGP PRIVATE KEY" "$CREDENTIALS_DIRECTORY/signing-key"',
        'echo "former: $(cat "$CREDENTIALS_DIRECTORY/previous-signing-key")"',
        'cat /etc/mirror/secrets/signing-key 2>&1 || true',
        'touch /dev/shm/left-here',
        'mirrorctl prepare',
        'sleep 3 && echo ended &',
        'wait',
      ].join('\n'),
    );
    expect(said).toMatch(/^mirror$/m);
    expect(said).toMatch(/^on (ramfs|tmpfs)$/m);
    expect(said).toMatch(/^1$/m);
    expect(said).toMatch(/^former: none$/m);
    expect(said).toMatch(/secrets\/signing-key: Permission denied/);
    expect(said).toMatch(/mos\/mos7.0-centos6\/cr: created/);
    expect(said).toMatch(/^ended$/m);
    expect(onMirror('ls -A /dev/shm; ls /run/credentials | grep mirror; pgrep -a gpg-agent || true').trim()).toBe('');
  });

  test('shows the key to no other user', () => {
    inUnit('exit 0');
    must(process.execPath, ['dist/lab.cjs', 'ssh', 'mirror', 'cat > /var/lib/mirror/probe'], { input: 'sleep 20' });
    onMirror(
      `systemctl start --no-block ${unit}; for i in $(seq 50); do test -e /run/credentials/${unit}/signing-key && break; sleep 0.1; done`,
    );
    const path = `/run/credentials/${unit}/signing-key`;
    expect(onMirror(`runuser -u mirror -- head -1 ${path}`)).toContain('PRIVATE KEY');
    expect(tryOnMirror(`runuser -u www-data -- cat ${path}`).status).not.toBe(0);
    onMirror(`systemctl stop ${unit}`);
  });

  test('is as confined as before', () => {
    const said = onMirror(`systemd-analyze security --no-pager ${unit} | tail -1`);
    console.info(said.trim());
    expect(Number(/: ([\d.]+) /.exec(said)?.[1])).toBeLessThanOrEqual(1.5);
  });

  test('by hand is root who reads the key; another user is told', () => {
    onMirror('rm -f /var/lib/mirror/signing-keys.json');
    expect(onMirror('mirrorctl prepare')).toMatch(/0 created, 0 changed/);
    expect(onMirror('stat -c %U /var/lib/mirror/signing-keys.json /srv/mirror/keys/RPM-GPG-KEY-mirror')).toBe('mirror\nmirror\n');
    const refused = tryOnMirror('runuser -u mirror -- mirrorctl prepare');
    expect(refused.status).toBe(7);
    expect(refused.text).toMatch(/cannot be read by the user mirror \(EACCES\)[^]*As root, run the same command/);
  });
});

test('a supplied key is rotated with an overlap in which both sign, and which ends when it is declared no longer', async () => {
  const wrong = file('wrong.asc', 'any other key\n');
  await withDeployment(
    signingKey(`signingKey: Secret.fromFile('${next}', { version: '2' }),\n  previousSigningKey: Secret.fromFile('${wrong}')`),
    (deployment) => {
      expect(deployment.plan().sentences[0]).toContain('the declared previousSigningKey is NOT the key that signs now');
    },
  );
  const before = (await fetchPath(KEY)).body;
  const [former] = fingerprints(before) as [string];
  expect(await signers(before)).toEqual([former]);
  await withDeployment(
    signingKey(`signingKey: Secret.fromFile('${next}', { version: '2' }),\n  previousSigningKey: ${SUPPLIED}`),
    async (deployment) => {
      expect(deployment.plan().sentences).toEqual([
        expect.stringMatching(/^rotates the secret signing-key \(version 1 to 2\): .*the former key goes on signing beside it$/),
        'signs with the former key (previous-signing-key version 1) too',
      ]);
      deployment.deploy();
      expect(deployment.plan().sentences).toEqual([]);
      const both = (await fetchPath(KEY)).body;
      expect(fingerprints(both)).toEqual([expect.not.stringMatching(former), former]);
      // The former key's signature is the first one: yum 3.4 looks at no other.
      expect(await signers(both)).toEqual([...fingerprints(both)].reverse());
      expect(dnf([REPO_FILE], 'makecache', '--enablerepo=*').status).toBe(0);
      expect(onMirror("stat -L -c '%U %a' /etc/mirror/secrets/*")).toBe('root 400\nroot 400\n');
    },
  );
  await withDeployment(signingKey(`signingKey: Secret.fromFile('${next}', { version: '2' })`), async (deployment) => {
    expect(deployment.plan().sentences).toEqual([expect.stringMatching(/^ends the overlap of signing keys .*REFUSE/)]);
    deployment.deploy();
    const [only, ...others] = fingerprints((await fetchPath(KEY)).body);
    expect(others).toEqual([]);
    expect(only).not.toBe(former);
    expect(await signers((await fetchPath(KEY)).body)).toEqual([only]);
    expect(dnf([REPO_FILE], 'makecache', '--enablerepo=*').status).toBe(0);
  });
});

test('a key that the server makes: never leaves it, is no drift, is missed when it is gone, and is never replaced in silence', async () => {
  // Of this run alone: the server keeps what it made.
  const version = String(Date.now());
  const store = `/etc/mirror/signing-keys/${version}.asc`;
  const generated = signingKey(
    `signingKey: SigningKey.generated({ version: '${version}' }),\n  previousSigningKey: Secret.fromFile('${next}')`,
  );
  await withDeployment(
    generated,
    async (deployment) => {
      expect(deployment.plan().sentences[0]).toMatch(/^rotates the secret signing-key \(version 2 to \d+, generated on the server\)/);
      expect(deployment.deploy()).toContain(`making the signing key of version ${version}`);
      const published = (await fetchPath(KEY)).body;
      expect(await signers(published)).toEqual([...fingerprints(published)].reverse());
      expect(deployment.plan().sentences).toEqual([]);
      expect(onMirror(`stat -c '%U %a' ${store}; stat -L -c '%U %a' /etc/mirror/secrets/signing-key`)).toBe('root 400\nroot 400\n');
      const line = onMirror(`sed -n 5p ${store}`).trim();
      expect(run('grep', ['-rlF', line, deployment.directory, labEnvironment()['MIRROR_STATE'] as string]).stdout).toBe('');

      onMirror('rm /etc/mirror/secrets/signing-key');
      expect(deployment.plan().sentences).toEqual(['repairs drift: /etc/mirror/secrets/signing-key missing']);
      deployment.deploy();
      onMirror(`cp ${store} /root/backup.asc; rm ${store}`);
      expect(deployment.plan().sentences).toEqual([`repairs drift: ${store} missing`]);
      deployment.deploy();
      expect(onMirror(`cmp ${store} /root/backup.asc && cmp ${store} /etc/mirror/secrets/signing-key; rm /root/backup.asc`)).toBe('');
      expect((await fetchPath(KEY)).body).toBe(published);

      onMirror(
        `mv ${store} /root/backup.asc; for m in $(grep -l generatedKeys /etc/mirror/generations/*/manifest.json); do rm -f $(dirname $m)/secrets/signing-key; done`,
      );
      expect(deployment.plan().sentences).toEqual([
        expect.stringMatching(/^would be REFUSED, and change nothing: .*version \d+ is gone \(\S+\.asc is missing\)/),
      ]);
      expect(deployment.apply().text).toContain(`Restore ${store} from its backup`);
      onMirror(`mv /root/backup.asc ${store}`);
      deployment.deploy();
      expect((await fetchPath(KEY)).body).toBe(published);
    },
    deployEnvironment(),
  );
  await withDeployment(asItIs, async (deployment) => {
    deployment.deploy();
    expect(deployment.plan().sentences).toEqual([]);
    expect(readFileSync(next, 'utf8')).toContain('PRIVATE');
    expect(fingerprints((await fetchPath(KEY)).body)).toHaveLength(1);
  });
});
