/** A server that lost its content, and an old mirror tree beside it: imported, so that the sync fetches nothing that the tree has whole. */
import type { ImportOutcome } from '../../content/import';
import { asItIs, dnf, lab, NAME, onMirror, tryOnMirror, withDeployment } from './support';

jest.setTimeout(300_000);

const ID = 'epel-7';
const CURRENT = `/srv/mirror/repositories/${ID}/current`;
/** As StarlingX's scripts leave it: on another disk, and below the storage root. */
const TREES = ['/var/tmp/old', '/srv/mirror/old'];
const BINARY = 'output/stx-r1/CentOS/pike/Binary';

interface Synced {
  readonly packages: number;
  readonly downloadedFiles: number;
}

/** What a sync fetches besides packages. */
let metadata: number;
let packages: number;

const sync = (): Synced =>
  (JSON.parse(onMirror(`mirrorctl sync ${ID} --json`)) as { repositories: [Synced & { result: string }] }).repositories[0];

/** What was published is gone, as on a new disk, from the store too: other repositories do not have these packages. */
function lose(): void {
  onMirror(`set -e
    for file in $(find -L ${CURRENT} -type f -not -name repomd.xml); do
      rm -f /srv/mirror/store/*/*/$(sha256sum $file | cut -d' ' -f1)
    done
    rm -rf /srv/mirror/repositories/${ID} /var/lib/mirror/repositories/${ID}.json`);
}

beforeAll(async () => {
  lab('up');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('systemctl start mirror-sync-new.service');
  sync();
  // Without what is still served of earlier snapshots.
  lose();
  const first = sync();
  for (const tree of TREES)
    onMirror(`mkdir -p ${tree}/${BINARY}; find -L ${CURRENT} -name '*.rpm' -exec cp -t ${tree}/${BINARY} {} +; chmod -R u+w ${tree}`);
  ({ packages } = first);
  metadata = first.downloadedFiles - packages;
  expect(packages).toBeGreaterThan(3);
});
afterAll(() => {
  onMirror(`rm -rf /root/old ${TREES.join(' ')}`);
});

const imported = (tree: string): ImportOutcome => JSON.parse(onMirror(`mirrorctl import ${tree} --json`)) as ImportOutcome;

test("a tree that belongs to root, on another disk: it is copied, and the sync fetches upstream's metadata only", () => {
  const [tree] = TREES as [string];
  lose();
  const state = (): string => onMirror(`find ${tree} -printf '%p %i %m %U %T@ %s\\n' | sort | sha256sum`);
  const before = state();
  const outcome = imported(tree);
  expect(outcome).toMatchObject({ problems: [], again: 0, present: 0 });
  expect(outcome.taken).toHaveLength(packages);
  expect([...new Set(outcome.taken.map(({ by, obstacle }) => `${by}: ${obstacle}`))]).toEqual(['copy: on another file system']);
  expect(onMirror('find /srv/mirror/store -type f -not \\( -user mirror -perm 0444 \\) | head')).toBe('');
  expect(sync()).toMatchObject({ packages, downloadedFiles: metadata });
  expect(state()).toBe(before);
  const client = dnf([`http://${NAME}/repo-files/${ID}.repo`], 'install', 'jq');
  expect(client.text).toContain('Complete!');
});

test('below the storage root, given to the user mirror and read-only: hard-linked; what is damaged is named and fetched', () => {
  const tree = TREES[1] as string;
  lose();
  onMirror(`cd ${tree}/${BINARY}; truncate -s -1 $(ls | head -n 1); chown -R mirror: ${tree}; chmod 0444 *`);
  const ran = tryOnMirror(`mirrorctl import ${tree}`);
  expect(ran).toMatchObject({ status: 6, stdout: expect.stringContaining(`took ${packages - 1} files`) });
  expect(ran.stdout).toContain(`(${packages - 1} hard-linked)`);
  expect(ran.stderr).toMatch(/ {2}- output\/.*\.rpm: it is (damaged|no intact package) \(.*\n {4}The next sync fetches what upstream has/);
  expect(sync()).toMatchObject({ packages, downloadedFiles: metadata + 1 });
  expect(tryOnMirror(`mirrorctl import ${tree}`)).toMatchObject({ status: 6, stdout: expect.stringContaining('nothing is new') });
});

test('what root alone may read is named: the tree is read with the rights of the user mirror', () => {
  onMirror('mkdir -p /root/old');
  expect(tryOnMirror('mirrorctl import /root/old')).toMatchObject({
    status: 7,
    stderr: expect.stringContaining('/root/old cannot be read: permission denied'),
  });
});
