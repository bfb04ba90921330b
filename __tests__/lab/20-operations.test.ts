/** Runbooks: the server is really broken, then nothing but the page is used. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Checkout, Runbook } from './runbook';
import {
  asItIs,
  Deployment,
  dnf,
  fetchPath,
  generation,
  lab,
  must,
  NAME,
  onMirror,
  poll,
  run,
  tryOnMirror,
  withDeployment,
} from './support';

jest.setTimeout(600_000);

const SITE = '/mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml';
const EPEL = `http://${NAME}/repo-files/epel-7.repo`;
const DOCKER = `http://${NAME}/repo-files/docker-ce-7.repo`;

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('mirrorctl sync --wait 300 --all; systemctl reset-failed');
});

/** Follows a page's commands with another main.ts, which has what the page declares. */
async function withCheckout(
  book: Runbook,
  edit: (main: string) => string,
  work: (checkout: Checkout) => void | Promise<void>,
  over: NodeJS.ProcessEnv = {},
): Promise<void> {
  const edited = edit(readFileSync(join(__dirname, '../../main.ts'), 'utf8'));
  for (const declaration of book.declarations) expect(edited).toContain(declaration);
  const checkout = new Checkout(edit, over);
  try {
    await work(checkout);
  } finally {
    checkout.remove();
  }
}

/** As if no sync had succeeded for so many days. */
function overdue(id: string, days: number): void {
  onMirror(
    `sed -i 's/"lastSuccess": "[^"]*"/"lastSuccess": "'$(date -u -d '${days} days ago' +%Y-%m-%dT%H:%M:%S.000Z)'"/' /var/lib/mirror/repositories/${id}.json`,
  );
}

const published = (id: string): string => onMirror(`readlink /srv/mirror/repositories/${id}/current`).trim();

test('disk full', async () => {
  const book = new Runbook('disk-full');
  onMirror('a=$(df --output=avail -B1 /srv/mirror | tail -1); fallocate -l $((a - a / 28)) /srv/mirror/uploads');
  try {
    const before = published('epel-7');
    const refused = tryOnMirror('mirrorctl sync epel-7');
    expect(refused.status).toBe(7);
    expect(refused.text).toMatch(book.messages[1] as RegExp);
    tryOnMirror('systemctl start mirror-health.service');
    expect(tryOnMirror('mirrorctl health').text).toMatch(book.messages[0] as RegExp);
    expect(published('epel-7')).toBe(before);
    expect(dnf([EPEL], 'makecache').status).toBe(0);
    // Not tried here: the ways to enlarge a file system need a capability that a container of the lab does not have.
    const edit = (main: string): string => main.replace('  signingKey: Secret', `${book.declarations[0] ?? ''}\n  signingKey: Secret`);
    await withCheckout(book, edit, (checkout) => {
      book.follow(0, { checkout });
      expect(book.follow(1).stdout).toMatch(/epel-7 +(unchanged|published)/);
    });
  } finally {
    onMirror('rm -f /srv/mirror/uploads');
  }
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('systemctl reset-failed; systemctl start mirror-health.service');
});

test('a deploy failed half way', async () => {
  const book = new Runbook('deploy-failed');
  const before = generation();
  const edit = (main: string): string =>
    main.replace(
      "new Customer(server, 'customer'",
      "new Customer(server, 'half', { access: Access.public() });\nnew Customer(server, 'customer'",
    );
  const deployment = new Deployment(edit);
  const site = poll(SITE);
  try {
    const apply = deployment.startApply();
    let said = '';
    apply.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => apply.once('close', resolve));
    // Killed where a generation is switched already and waits for its confirmation, or just before.
    onMirror(
      "for i in $(seq 600); do test -e /var/lib/mirror/host/journal.json && break; sleep 0.05; done; pkill -9 -f '[m]irror-host.* activate'",
    );
    expect(await ended).not.toBe(0);
    expect(said).not.toContain('Apply complete');
    const status = (): string => onMirror('mirror-host status');
    for (let i = 0; i < 90 && !(book.messages[0] as RegExp).test(status()); i++) await sleep(1000);
    expect(status()).toMatch(book.messages[0] as RegExp);
    expect(generation()).toBe(before);
  } finally {
    deployment.remove();
  }
  await withCheckout(book, edit, (checkout) => {
    book.follow(0, { checkout });
    expect(book.follow(1).stdout).toMatch(/\nintact$/m);
  });
  expect(generation()).toBeGreaterThan(before);
  expect(onMirror('ls /etc/mirror/current/definitions /etc/mirror/current/owners 2>/dev/null; mirror-host status')).toContain('intact');
  expect((await site.stop()).bad).toEqual([]);
  await withDeployment(edit, (there) => expect(there.plan().sentences).toEqual([]));
  await withDeployment(asItIs, (there) => there.deploy());
});

test('an upstream moved', async () => {
  const book = new Runbook('upstream-moved');
  const before = published('epel-7');
  // As it was before Fedora moved EPEL 7 into its archive.
  await withDeployment(
    (main) => main.replace('pub/archive/epel/7/x86_64/', 'pub/epel/7/x86_64/'),
    (deployment) => deployment.deploy(),
  );
  tryOnMirror('systemctl start mirror-sync@epel-7.service');
  overdue('epel-7', 4);
  tryOnMirror('systemctl start mirror-health.service');
  expect(tryOnMirror('mirrorctl health').text).toMatch(book.messages[0] as RegExp);
  expect(onMirror('mirrorctl status epel-7')).toMatch(book.messages[1] as RegExp);
  expect(published('epel-7')).toBe(before);
  expect(dnf([EPEL], 'makecache').status).toBe(0);
  await withCheckout(book, asItIs, (checkout) => {
    book.follow(0, { checkout });
    expect(book.follow(1).stdout).toMatch(/epel-7 +(unchanged|published)/);
  });
  onMirror('systemctl reset-failed; systemctl start mirror-health.service');
  expect(dnf([EPEL], 'makecache').status).toBe(0);
});

test('an upstream is gone for good', async () => {
  const book = new Runbook('upstream-gone');
  lab('upstream', 'down', 'download.docker.com');
  try {
    tryOnMirror('systemctl start mirror-sync@docker-ce-7.service');
    overdue('docker-ce-7', 4);
    tryOnMirror('systemctl start mirror-health.service');
    expect(tryOnMirror('mirrorctl health').text).toMatch(book.messages[0] as RegExp);
    const before = published('docker-ce-7');
    const edit = (main: string): string =>
      main.replace(/(new RpmRepository\(server, 'docker-ce-7', \{[^}]*?view: View\.ACCUMULATE,)/, `$1\n${book.declarations[0] ?? ''}`);
    await withDeployment(edit, (there) => expect(there.plan().sentences.join('\n')).toMatch(book.messages[1] as RegExp));
    await withCheckout(book, edit, (checkout) => {
      book.follow(0, { checkout });
      const checked = book.follow(1).stdout;
      expect(checked).toMatch(/docker-ce-7 +retired/);
      expect(checked).toContain('0 timers listed');
      expect(checked).not.toContain('ALERT');
    });
    expect(published('docker-ce-7')).toBe(before);
    expect(dnf([DOCKER], 'makecache').status).toBe(0);
    expect(onMirror('mirrorctl sync --all --json')).not.toContain('docker-ce-7');
  } finally {
    lab('upstream', 'up', 'all');
  }
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('mirrorctl sync --wait 600 docker-ce-7; systemctl reset-failed; systemctl start mirror-health.service');
});

test('the mirror was down for a day', async () => {
  const book = new Runbook('mirror-down-for-a-day');
  // The last run of each timer is what systemd goes by after a boot.
  onMirror("touch -d '30 hours ago' /var/lib/systemd/timers/stamp-mirror-sync@*.timer; sync");
  const kept = mkdtempSync(join(tmpdir(), 'mirror-repo-file-'));
  writeFileSync(join(kept, 'epel-7.repo'), (await fetchPath('/repo-files/epel-7.repo')).body);
  lab('power', 'off');
  try {
    expect(dnf([join(kept, 'epel-7.repo')], 'makecache').text).toMatch(book.messages[0] as RegExp);
  } finally {
    lab('power', 'on');
    rmSync(kept, { recursive: true });
  }
  expect((await fetchPath(SITE)).status).toBe(200);
  book.follow(0);
  const runs = (): number =>
    Number(onMirror("journalctl -b -o cat --no-pager -u 'mirror-sync@*.service' | grep -c '^Starting' || true").trim());
  for (let i = 0; i < 120 && runs() === 0; i++) await sleep(1000);
  expect(runs()).toBeGreaterThan(0);
  expect(book.follow(1).text).not.toContain('failed');
  const rows = (JSON.parse(onMirror('mirrorctl status --json')) as { repositories: { kind: string; lastSuccess: string }[] }).repositories;
  const today = rows.filter(({ kind }) => kind === 'repository').map(({ lastSuccess }) => Date.now() - Date.parse(lastSuccess));
  expect(today.length).toBeGreaterThan(10);
  expect(Math.max(...today)).toBeLessThan(3600_000);
  expect(book.follow(0).stdout).not.toContain('ALERT');
  expect(dnf([EPEL], 'makecache').status).toBe(0);
});

test('the signing key is compromised', async () => {
  const book = new Runbook('key-compromised');
  const work = mkdtempSync(join(tmpdir(), 'mirror-key-'));
  try {
    const gpg = (...args: string[]): string => must('gpg', ['--homedir', work, '--batch', '--quiet', ...args]);
    const former = (await fetchPath('/RPM-GPG-KEY-mirror')).body;
    gpg('--passphrase', '', '--quick-generate-key', 'mirror <ops@example.org>', 'rsa2048', 'sign', '0');
    const fingerprint = /^fpr:{9}([0-9A-F]{40}):/m.exec(gpg('--with-colons', '--list-keys'))?.[1] as string;
    writeFileSync(join(work, 'secret.asc'), gpg('--armor', '--export-secret-keys'), { mode: 0o600 });
    const over = { MIRROR_SIGNING_KEY: readFileSync(join(work, 'secret.asc'), 'utf8') };
    const edit = (main: string): string =>
      main
        .replace("Secret.fromEnvironment('MIRROR_SIGNING_KEY')", "Secret.fromEnvironment('MIRROR_SIGNING_KEY', { version: '2' })")
        .replace(
          /(new RpmRepository\(server, 'docker-ce-7', \{[^}]*?view: View\.ACCUMULATE,)/,
          "$1\n  schedule: SyncSchedule.never('download.docker.com was shut down'),",
        );
    await withDeployment(edit, (there) => expect(there.plan().sentences.join('\n')).toMatch(book.messages[0] as RegExp), over);
    await withCheckout(
      book,
      edit,
      (checkout) => {
        book.follow(0, { checkout });
        book.follow(1);
        const said = book.follow(2).stdout;
        expect(said.match(/^pub /gm)).toHaveLength(1);
        expect([...said.matchAll(/issuer fpr v4 ([0-9A-F]{40})/g)].map((match) => match[1])).toEqual([fingerprint]);
      },
      over,
    );
    const signers = onMirror(
      "for s in $(find -L /srv/mirror/www -path /srv/mirror/www/releases -prune -o -path '*/snapshots' -prune -o -name repomd.xml.asc -print); do echo $s $(gpg --batch --list-packets $s | grep -o 'issuer fpr v4 [0-9A-F]*'); done",
    );
    const ours = onMirror("grep -l 'view: accumulate\\|kind: codename' -r /etc/mirror/current/definitions | wc -l").trim();
    expect(signers.trim().split('\n').length).toBeGreaterThanOrEqual(Number(ours));
    // Of everything that is current; releases and snapshots by time stay as they were signed.
    for (const line of signers.trim().split('\n')) expect(line).toMatch(new RegExp(`issuer fpr v4 ${fingerprint}$`));
    // A client with the new key believes the mirror; one with the stolen key alone does not.
    for (const repo of [EPEL, DOCKER]) expect(dnf([repo], 'makecache').status).toBe(0);
    const now = (await fetchPath('/RPM-GPG-KEY-mirror')).body;
    expect(now).not.toContain(former.trim());
  } finally {
    run('gpgconf', ['--homedir', work, '--kill', 'all']);
    rmSync(work, { recursive: true, force: true });
    await withDeployment(asItIs, (deployment) => deployment.deploy());
    onMirror('mirrorctl sync --all --wait 600');
  }
});
