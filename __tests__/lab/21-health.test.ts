/** The health of a real server: root's look at the machine in its unit, what is wrong fails the unit, and the status says so. */
import { asItIs, lab, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(300_000);

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('mirrorctl sync --wait 300 --all; systemctl reset-failed');
});
afterAll(() => {
  onMirror('rm -f /srv/mirror/ballast; systemctl start mirror-scrub.timer; systemctl reset-failed; systemctl start mirror-health.service');
});

interface Check {
  readonly name: string;
  readonly verdict: string;
  readonly text: string;
}
const checks = (): Record<string, Check> => {
  const { stdout } = tryOnMirror('mirrorctl health --json');
  return Object.fromEntries((JSON.parse(stdout) as { checks: Check[] }).checks.map((check) => [check.name, check]));
};

test('the timer is enabled; its unit has root look first; nothing is wrong, and what is not there is not called good', () => {
  expect(onMirror('systemctl is-enabled mirror-health.timer; systemctl is-active mirror-health.timer')).toBe('enabled\nactive\n');
  onMirror('rm -rf /run/mirror-machine; systemctl start mirror-health.service');
  expect(onMirror('stat -c "%U %a" /run/mirror-machine/facts.json')).toBe('root 644\n');
  const found = checks();
  expect(Object.fromEntries(Object.entries(found).map(([name, { verdict }]) => [name, verdict]))).toMatchObject({
    ...{ storage: 'ok', space: 'ok', inodes: 'ok', growth: 'none', disks: 'none', arrays: 'none', clock: 'none', units: 'ok', syncs: 'ok' },
  });
  expect(found['disks']?.text).toContain('no SMART device');
  expect(onMirror('mirrorctl status')).not.toContain('ALERT');
});

test("root's part is confined, and cannot read keys or content", () => {
  const said = onMirror('systemd-analyze security --no-pager mirror-machine.service | tail -1');
  console.info(said.trim());
  expect(Number(/: ([\d.]+) /.exec(said)?.[1])).toBeLessThanOrEqual(4);
});

test('a disk that is nearly full: the unit has failed, the journal has it as an error, the status says it; then it is well again', () => {
  onMirror('a=$(df --output=avail -B1 /srv/mirror | tail -1); fallocate -l $((a - a / 20)) /srv/mirror/ballast');
  expect(tryOnMirror('systemctl start mirror-health.service').status).not.toBe(0);
  expect(onMirror('systemctl is-failed mirror-health.service')).toBe('failed\n');
  expect(onMirror('systemctl show mirror-health.service -p ExecMainStatus')).toBe('ExecMainStatus=7\n');
  expect(onMirror('journalctl -u mirror-health.service -p err -o cat --no-pager -n 20')).toMatch(
    /ALERT +space +\/srv\/mirror is 9\d\.\d % full/,
  );
  expect(onMirror('mirrorctl status')).toMatch(/ALERT space: \/srv\/mirror is 9\d\.\d % full/);
  onMirror('rm /srv/mirror/ballast; systemctl start mirror-health.service');
  expect(onMirror('mirrorctl status')).not.toContain('ALERT');
});

test('a timer that somebody stopped, and a unit that failed, are named', () => {
  onMirror('systemctl stop mirror-scrub.timer');
  tryOnMirror('systemctl start mirror-health.service');
  expect(checks()['units']).toMatchObject({ verdict: 'alert', text: 'declared, and not running: mirror-scrub.timer' });
  onMirror('systemctl start mirror-scrub.timer; systemctl start mirror-health.service');
  expect(checks()['units']).toMatchObject({ verdict: 'ok' });
});
