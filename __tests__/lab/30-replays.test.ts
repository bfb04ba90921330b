/** Real changes of StarlingX' lists, each as a branch: what its plan says, and that after a deploy and a sync dnf installs the old versions and the new. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describeWithLists, packagesOf, type Replay, replays } from './lists-support';
import { adding, asItIs, dnf, lab, NAME, onMirror, withDeployment } from './support';

jest.setTimeout(300_000);

const work = mkdtempSync(join(tmpdir(), 'mirror-replays-'));
const changes = replays();

/** One construct for each list of each change, all of them declared all the time: a change must leave the others alone. */
const declared = (): string =>
  changes
    .flatMap(({ name, files }) =>
      files.map(
        ({ path, layer }) =>
          `new PackageLists(server, '${idOf(name, layer)}', { release: 'replay-${name}', layer: '${layer}', lists: ['${join(work, name, path)}'] });`,
      ),
    )
    .join('\n');
const idOf = (name: string, layer: string): string => `replay-${name}-${layer}`;
const added = adding(declared());

const git = (name: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=Lab', '-c', 'user.email=lab@lab.invalid', ...args], { cwd: join(work, name), encoding: 'utf8' });

/** A project of lists as they were before the change. */
function asBefore({ name, files }: Replay): void {
  for (const { path, before } of files) {
    mkdirSync(dirname(join(work, name, path)), { recursive: true });
    writeFileSync(join(work, name, path), before);
  }
  git(name, 'init', '--quiet', '--initial-branch=master');
  git(name, 'add', '.');
  git(name, 'commit', '--quiet', '-m', 'before');
}

/** Name, version and architecture, as dnf and plans take them. */
const installable = (file: string): string => file.replace(/\.rpm$/, '');

/** What a list asks for after a change, and did not before. */
interface Request {
  readonly id: string;
  readonly came: readonly string[];
  readonly went: readonly string[];
}

/** What the plan must say of it: another version in the place of one, or one more; of comments, that no package changes. */
function sentences({ id, came, went }: Request): string[] {
  if (came.length === 0) return [`lists ${id}: serves its lists as they are now; the packages stay`];
  return came.map((file) => {
    const nameOf = (one: string): string => one.replace(/-[^-]+-[^-]+$/, '');
    const former = went.find((one) => nameOf(one) === nameOf(file));
    const instead = former === undefined ? '' : ` instead of ${installable(former)}, which stays beside it`;
    return `lists ${id}: asks for ${installable(file)}${instead}`;
  });
}

describeWithLists('real changes of lists', () => {
  beforeAll(async () => {
    lab('up');
    changes.forEach(asBefore);
    const asked = new Set(
      changes.flatMap(({ files }) => files.flatMap(({ before, after }) => [...packagesOf(before), ...packagesOf(after)])),
    );
    lab('upstream', 'provide', 'centos-os', ...asked);
    await withDeployment(added, (deployment) => deployment.deploy());
    onMirror('mirrorctl sync --wait 300 centos-7-os');
    onMirror(`mirrorctl sync --wait 300 ${changes.flatMap(({ name, files }) => files.map((f) => idOf(name, f.layer))).join(' ')}`);
  });
  afterAll(async () => {
    await withDeployment(asItIs, (deployment) => deployment.deploy());
    lab('upstream', 'restore');
    // Without what was provided upstream has so much less that a sync would refuse it.
    onMirror('cd /srv/mirror/repositories && rm -rf replay-* centos-7-os; mirrorctl sync --wait 300 centos-7-os');
    rmSync(work, { recursive: true });
  });

  test.each(changes)('$name', async ({ name, files }) => {
    const requests = files.map(({ layer, before, after }) => {
      const [old, next] = [packagesOf(before), packagesOf(after)];
      return { id: idOf(name, layer), came: next.filter((f) => !old.includes(f)), went: old.filter((f) => !next.includes(f)), next };
    });
    git(name, 'checkout', '--quiet', '-b', 'change');
    writeFileSync(join(work, 'change.diff'), changes.find((one) => one.name === name)?.diff as string);
    git(name, 'apply', join(work, 'change.diff'));
    await withDeployment(added, (deployment) => {
      const plan = deployment.plan();
      expect([...plan.sentences].sort()).toEqual(requests.flatMap(sentences).sort());
      // Nobody else's element changes.
      expect(Object.keys(plan.elements).filter((element) => element !== 'activation').sort()).toEqual(requests.map(({ id }) => `lists/${id}`).sort()); // prettier-ignore
      deployment.deploy();
      expect(deployment.plan().sentences).toEqual([]);
    });
    for (const { id, came, went, next } of requests) {
      onMirror(`mirrorctl sync --wait 300 ${id}`);
      const repository = `http://${NAME}/repo-files/${id}.repo`;
      for (const file of [...came, ...went, ...next.slice(0, 1)]) {
        const installed = dnf([repository], 'install', installable(file));
        expect([file, installed.status, installed.text]).toEqual([file, 0, expect.stringContaining('Complete!')]);
      }
    }
  });
});
