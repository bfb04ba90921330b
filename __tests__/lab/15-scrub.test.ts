/** The scrub on a real server: its unit finds a flipped bit, clients get the right bytes, and what cannot be repaired is not served. */
import { asItIs, dnf, fetchPath, lab, NAME, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(300_000);

const REPO_FILE = `http://${NAME}/repo-files/centos-7-os.repo`;
const ID = 'centos-7-os';

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror(`mirrorctl sync --wait 300 ${ID}; rm -rf /srv/mirror/quarantine /var/lib/mirror/scrub.json`);
});
afterEach(() => {
  lab('upstream', 'up', 'all');
  onMirror(`systemctl reset-failed; mirrorctl sync --wait 300 ${ID} && mirrorctl scrub --all`);
});

/** The published package, by its path on the server. */
const bash = (): string => onMirror(`find /srv/mirror/repositories/${ID}/current/ -name 'bash-4*.rpm' | head -n 1`).trim();
const digest = (path: string): string => onMirror(`sha256sum ${path}`).slice(0, 64);

/** Flips a bit on the disk: size and times stay. */
function flip(path: string): void {
  onMirror(
    [
      `touch -r ${path} /tmp/times; at=$(($(stat -c %s ${path}) / 2))`,
      `byte=$(dd if=${path} bs=1 skip=$at count=1 status=none | od -An -tu1)`,
      `printf "\\\\$(printf %o $((byte ^ 4)))" | dd of=${path} bs=1 seek=$at conv=notrunc status=none`,
      `touch -r /tmp/times ${path}`,
    ].join('; '),
  );
}

/** Starts the unit as the timer does, to read everything. Returns what it said. */
function scrub(): string {
  onMirror(
    `mkdir -p /run/systemd/system/mirror-scrub.service.d
     printf '[Service]\\nExecStart=\\nExecStart=/usr/local/bin/mirrorctl scrub --all --wait 60\\n' > /run/systemd/system/mirror-scrub.service.d/all.conf
     systemctl daemon-reload`,
  );
  const started = onMirror('date +%s').trim();
  tryOnMirror('systemctl start mirror-scrub.service');
  onMirror('rm -r /run/systemd/system/mirror-scrub.service.d; systemctl daemon-reload');
  return onMirror(`journalctl -u mirror-scrub.service -o cat --no-pager --since @${started}`);
}

test('the timer is enabled, and the unit has what nobody else wants', () => {
  expect(onMirror('systemctl is-enabled mirror-scrub.timer; systemctl is-active mirror-scrub.timer')).toBe('enabled\nactive\n');
  expect(onMirror('systemctl show mirror-scrub.timer -p NextElapseUSecRealtime')).toMatch(/00:3\d:\d\d UTC/);
  onMirror('systemctl start mirror-scrub.service');
  expect(onMirror('journalctl -u mirror-scrub.service -o cat --no-pager -n 20')).toMatch(
    /\d+ files, .* read in .*: 0 repaired, 0 lost; \d+ of \d+ parts were not read yet/,
  );
});

test('a flipped bit is fetched again, and dnf installs the package', async () => {
  const path = bash();
  const whole = digest(path);
  flip(path);
  expect(digest(path)).not.toBe(whole);
  expect(dnf([REPO_FILE], 'install', '-y', 'bash').status).not.toBe(0);
  const said = scrub();
  expect(said).toContain(`sha256-${whole} was changed on disk: fetched again from upstream`);
  expect(said).toContain('1 repaired, 0 lost; everything was read since');
  expect(digest(path)).toBe(whole);
  expect(dnf([REPO_FILE], 'install', '-y', 'bash').status).toBe(0);
  const kept = onMirror(`find /srv/mirror/quarantine -name 'sha256-${whole}.*' -links 1`).trim().split('\n');
  expect(kept).toHaveLength(1);
  expect((await fetchPath((kept[0] as string).replace('/srv/mirror', ''))).status).toBe(404);
});

test('with upstream out of reach it is not served, the status says so, and the unit has failed; later it comes back', () => {
  const path = bash();
  const whole = digest(path);
  lab('upstream', 'down', 'all');
  flip(path);
  expect(scrub()).toMatch(/centos-7-os: lost from one snapshot: .*bash.* was changed on disk/);
  expect(tryOnMirror(`test -e ${path}`).status).not.toBe(0);
  expect(onMirror('systemctl is-failed mirror-scrub.service')).toBe('failed\n');
  expect(onMirror('systemctl show mirror-scrub.service -p ExecMainStatus')).toBe('ExecMainStatus=6\n');
  const status = onMirror(`mirrorctl status ${ID}`);
  expect(status).toMatch(/centos-7-os +damaged/);
  expect(status).toContain('one file of what is published cannot be served');
  lab('upstream', 'up', 'all');
  onMirror('mirrorctl scrub');
  expect(digest(path)).toBe(whole);
  expect(onMirror(`mirrorctl status ${ID}`)).not.toContain('damaged');
  expect(dnf([REPO_FILE], 'install', '-y', 'bash').status).toBe(0);
});
