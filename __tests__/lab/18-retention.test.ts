/** Retention on a real server: its unit announces what upstream dropped, takes it out, and clients have it again after a restore. */
import { asItIs, dnf, fetchPath, lab, NAME, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(300_000);

const UPSTREAM = 'https://vault.centos.org/7.9.2009/extras/x86_64/';
const ID = 'centos-7-extras';
const REPO_FILE = `http://${NAME}/repo-files/${ID}.repo`;
const NAME_DROPPED = 'epel-release';

const rules = (main: string): string =>
  main.replace(
    'signingKey: Secret',
    'retention: { droppedDays: 30, snapshotDays: 365, graceDays: 2, quarantineDays: 2, sharePercent: 100 },\n  signingKey: Secret',
  );

beforeAll(async () => {
  lab('up');
  lab('upstream', 'restore');
  await withDeployment(rules, (deployment) => {
    expect(deployment.deploy()).toMatch(/generation \d+ (activated|unchanged)/);
    expect(deployment.plan().sentences).toEqual([]);
  });
  onMirror(`mirrorctl sync --wait 300 ${ID}; rm -f /var/lib/mirror/retention.json`);
});
afterAll(async () => {
  lab('upstream', 'restore');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});

/** Runs the unit as the timer does. Returns what it said. */
function retention(): string {
  const started = onMirror('date +%s').trim();
  tryOnMirror('systemctl start mirror-retention.service');
  return onMirror(`journalctl -u mirror-retention.service -o cat --no-pager --since @${started}`);
}

/** As if days had passed: dates that were written down lie further back. */
const longAgo = (file: string): string => onMirror(`sed -i -E 's/20[2-9][0-9]-[0-9]{2}-[0-9]{2}T/2020-01-01T/g' ${file}`);
const ledgerDue = (): string =>
  onMirror(
    `sed -i -E 's/("due": ")[^"]*/\\12020-01-01T00:00:00.000Z/' /var/lib/mirror/retention.json; stat -c %U /var/lib/mirror/retention.json`,
  );

test('the timer is enabled, and a run with nothing to do says so', () => {
  expect(onMirror('systemctl is-enabled mirror-retention.timer; systemctl is-active mirror-retention.timer')).toBe('enabled\nactive\n');
  expect(onMirror('systemctl show mirror-retention.timer -p NextElapseUSecRealtime')).toMatch(/07:(1[5-9]|20):\d\d UTC/);
  expect(retention()).toMatch(/\d+ files removed, .* free for it/);
});

test('a package that upstream dropped is announced to everybody, goes, and comes back', async () => {
  expect(dnf([REPO_FILE], 'repoquery', NAME_DROPPED).stdout).toContain(NAME_DROPPED);
  lab('upstream', 'drop', UPSTREAM, NAME_DROPPED);
  onMirror(`mirrorctl sync --wait 300 ${ID}`);
  // Upstream has it no more, and the mirror does.
  expect(dnf([REPO_FILE], 'repoquery', NAME_DROPPED).stdout).toContain(NAME_DROPPED);
  expect(onMirror(`mirrorctl explain ${NAME_DROPPED}`)).toMatch(/kept: upstream dropped it on .*, 0 days ago, and it stays for 30 days/);

  longAgo(`/srv/mirror/repositories/${ID}/records/*.dropped`);
  const planned = onMirror('mirrorctl retention plan');
  expect(planned).toMatch(/Announced now: one item/);
  expect(planned).toMatch(new RegExp(`${ID}:${NAME_DROPPED}-.*: upstream dropped it on 2020-01-01, \\d+ days ago; into quarantine on `));
  expect(retention()).toContain('Announced now: one item');
  const announced = await fetchPath('/retention.json');
  expect(announced.status).toBe(200);
  expect(JSON.parse(announced.body.toString())).toMatchObject({
    items: [{ kind: 'package', stage: 'announced', path: `/mirror/centos/centos/mirror.centos.org/centos/7/extras/x86_64/` }],
  });

  expect(ledgerDue()).toBe('mirror\n');
  expect(retention()).toContain('Into quarantine: were taken out of service: one item');
  expect(dnf([REPO_FILE], 'repoquery', NAME_DROPPED).stdout).not.toContain(NAME_DROPPED);
  expect(dnf([REPO_FILE], 'repoquery').status).toBe(0);
  expect(onMirror(`mirrorctl changes ${ID} --since 2026-01-01 --json`)).toContain(NAME_DROPPED);

  const item = /(centos-7-extras:\S+): quarantined/.exec(onMirror(`mirrorctl explain ${NAME_DROPPED}`))?.[1] as string;
  expect(onMirror(`mirrorctl retention restore ${item}`)).toBe(`${item}: back in service\n`);
  const installed = dnf([REPO_FILE], 'install', '-y', NAME_DROPPED);
  expect(installed.text).toContain('Complete!');
});

test('what cannot be is refused with a remedy, and changes nothing', () => {
  const refused = tryOnMirror(`mirrorctl retention forget ${ID}`);
  expect(refused.status).toBe(3);
  expect(refused.text).toContain(`${ID} stays: it is declared`);
  expect(refused.text).toContain('Remove its construct from main.ts and deploy first.');
  expect(tryOnMirror('mirrorctl retention restore nothing').status).toBe(2);
  expect(tryOnMirror('mirrorctl explain nothing').status).toBe(2);
  expect(onMirror(`mirrorctl explain ${ID}`)).toMatch(
    /centos-7-extras: kept: packages stay: 30 days from the day on which upstream drops them; superseded snapshots stay for 365 days/,
  );
});
