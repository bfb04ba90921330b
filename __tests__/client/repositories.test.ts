/** What files of `yum.repos.d` say beside where a repository is: the tool does it, or says that it does not. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OS, REPOSITORIES, World } from './world';

jest.setTimeout(120_000);

let world: World;
beforeAll(async () => {
  world = await new World().fill();
});
afterAll(() => world.close());

test('exclude and includepkgs of a repository hold for it and for its copy, and for nothing else', async () => {
  const others = `[other]\nname=other\nbaseurl=${OS}\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-upstream\n`;
  const lists = join(world.lists, 'rpms_centos.lst');
  world.list('rpms_centos.lst', ['acl-1-1.noarch.rpm', 'bash-1-1.x86_64.rpm']);
  const bring = async (mode: string, repositories: string): Promise<boolean[]> => {
    world.repositories(repositories);
    const { output } = await world.run([mode, lists, '--keys', world.keys, '--branch', 'another']);
    return ['noarch/acl-1-1.noarch.rpm', 'x86_64/bash-1-1.x86_64.rpm'].map((file) => existsSync(join(output, 'Binary', file)));
  };
  expect(await bring('-u', REPOSITORIES)).toEqual([true, true]);
  expect(await bring('-u', REPOSITORIES.replace('name=os', 'name=os\nexclude=acl*'))).toEqual([false, true]);
  expect(await bring('-u', REPOSITORIES.replace('name=os', 'name=os\nincludepkgs=acl'))).toEqual([true, false]);
  expect(await bring('-u', REPOSITORIES.replace('name=os', 'name=os\nexclude=acl*') + others)).toEqual([true, true]);
  // Of the mirror there are no lists of this branch: what it has is its copy of the repository.
  expect(await bring('-s', REPOSITORIES.replace('name=os', 'name=os\nexclude=acl*'))).toEqual([false, true]);
});

test('a repository without a baseurl is not passed over in silence', async () => {
  world.repositories(
    `${REPOSITORIES}\n[ml]\nname=ml\nmirrorlist=http://lists.example.org/?repo=ml\n[off]\nname=off\nmetalink=http://l.example.org/\nenabled=0\n`,
  );
  const { code, report } = await world.download(['-S']);
  expect(code).toBe(0);
  expect(report.problems).toEqual([
    {
      place: 'ml',
      code: 'BASEURL_MISSING',
      message: '[ml] has a mirrorlist and no baseurl: nothing was looked for there',
      remedy: 'Give it a baseurl: one of the servers that its list names.',
    },
  ]);
});
