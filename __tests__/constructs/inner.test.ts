/** Copies that lie in another copy's public path. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileTree, InstallTree, Release, TreeTrust } from '../../constructs';
import { mirror, refuses, repository, synth } from './support';

const OS = 'http://mirror.centos.org/7.6.1810/os/x86_64/';
const PATH = 'mirror/centos/centos/mirror.centos.org/7.6.1810/os/x86_64';
const EPEL = 'https://dl.fedoraproject.org/pub/epel/7/x86_64';
const DEBUG = 'mirror/centos/epel/dl.fedoraproject.org/pub/epel/7/x86_64/debug';

const work = mkdtempSync(join(tmpdir(), 'inner-'));
afterAll(() => rmSync(work, { recursive: true }));

test('a repository in the tree of another one is looked for elsewhere', () => {
  const { app, server } = mirror();
  repository(server, 'epel-7', { publishedAs: EPEL });
  repository(server, 'epel-7-debug', { publishedAs: `${EPEL}/debug/` });
  const { desiredState } = synth(app);
  const [outer, inner] = ['epel-7', 'epel-7-debug'].map((id) => desiredState.elements.find((one) => one.id === `repository/${id}`));
  expect(Object.keys(outer?.files ?? {}).filter((file) => file.startsWith('nginx/'))).toEqual([]);
  expect(inner?.links).toEqual({ [`.inner/epel-7-debug/${DEBUG}`]: 'repositories/epel-7-debug/current' });
  expect(inner?.files['nginx/locations/copy+epel-7-debug.conf'])
    .toBe(`# epel-7-debug lies in the tree of another copy, and answers for what begins so.
location = "/${DEBUG}" {
    return 301 /${DEBUG}/;
}
location ^~ "/${DEBUG}/" {
    root /srv/mirror/www/.inner/epel-7-debug;
    autoindex on;
    include /etc/mirror/current/nginx/serving.conf;
}
`);
  expect(inner?.files['nginx/locations/inner.conf']).toContain('location ^~ /.inner/');
});

test('an installer beside the packages of its repository answers for its own names only, and in a release, too', () => {
  const { app, server } = mirror();
  const os = repository(server, 'os', { publishedAs: OS });
  const installer = new InstallTree(server, 'installer', {
    publishedAs: OS,
    files: ['isolinux/vmlinuz', 'EFI/BOOT/grub.cfg', '.treeinfo', 'left/out'],
    exclude: ['left/out'],
  });
  new Release(server, '3.0', { of: [os, installer], at: '2026-11-01T00:00:00Z' });
  const { desiredState } = synth(app);
  const element = (id: string) => desiredState.elements.find((one) => one.id === id);
  const locations = (text = ''): string[] => [...text.matchAll(/^location (.*) \{$/gm)].map(([, location]) => location as string);
  expect(element('downloads/installer')?.links).toEqual({ [`.inner/installer/${PATH}`]: 'repositories/installer/current' });
  const names = ['.mirror/SHA256SUMS', '.mirror/SHA256SUMS.asc', '.treeinfo', 'EFI/BOOT/grub.cfg', 'isolinux/vmlinuz'];
  expect(locations(element('downloads/installer')?.files['nginx/locations/copy+installer.conf'])).toEqual(
    names.map((name) => `= "/${PATH}/${name}"`),
  );
  const release = element('release/3.0')?.files ?? {};
  expect(release['definitions/releases/3.0.yaml']).toContain(`publicPath: .inner/installer/${PATH}`);
  const released = release['nginx/locations/release+3.0.conf'];
  expect(locations(released)).toEqual(names.map((name) => `= "/releases/3.0/${PATH}/${name}"`));
  expect(released).toContain('rewrite ^/releases/3\\.0(/.*)$ /releases/3.0/.inner/installer$1 last;');
});

test('what else is declared changes no release: in it a copy lies in another member only', () => {
  const { app, server } = mirror();
  repository(server, 'epel-7', { publishedAs: EPEL });
  new Release(server, '3.0', {
    of: [repository(server, 'epel-7-debug', { publishedAs: `${EPEL}/debug/` })],
    at: '2026-11-01T00:00:00Z',
  });
  const release = synth(app).desiredState.elements.find((one) => one.id === 'release/3.0');
  expect(release?.files['definitions/releases/3.0.yaml']).toContain(`publicPath: ${DEBUG}`);
  expect(Object.keys(release?.files ?? {})).not.toContain('nginx/locations/release+3.0.conf');
});

describe('what stays refused', () => {
  test('an index of a repository at its URL', () => {
    const { server } = mirror();
    repository(server, 'os', { publishedAs: OS });
    refuses(() => new InstallTree(server, 'installer', { publishedAs: OS, files: ['repodata/repomd.xml'] }), 'files "repodata/repomd.xml"');
  });
  test('two of one path, what lies above what was declared before', () => {
    const { server } = mirror();
    repository(server, 'deep', { publishedAs: 'https://up.example.org/x/y/z/' });
    refuses(
      () => repository(server, 'above', { publishedAs: 'https://up.example.org/x/' }),
      'lies above',
      'mirror/server/deep',
      'Declare this one first',
    );
    refuses(() => repository(server, 'same', { publishedAs: 'http://up.example.org/x/y/z' }), 'is the same as', 'mirror/server/deep');
    repository(server, 'in', { publishedAs: 'https://up.example.org/x/y/z/in/' });
    refuses(() => repository(server, 'in-2', { publishedAs: 'https://up.example.org/x/y/z/in/' }), 'is the same as', 'mirror/server/in');
    refuses(
      () =>
        new FileTree(server, 'tree', {
          publishedAs: 'https://up.example.org/x/y/z/',
          folders: ['.'],
          trust: TreeTrust.none('nothing is signed there'),
        }),
      'is the same as',
    );
  });
});
