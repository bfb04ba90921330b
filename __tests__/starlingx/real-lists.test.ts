import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { parseInstallList, writeInstallList } from '../../starlingx/install-list';
import { layersOf, parseLayerConfig, writeLayerConfig } from '../../starlingx/layer-config';
import { packagesOf, parsePackageList, writePackageList } from '../../starlingx/package-list';
import { parseTarballList, tarballsOf, writeTarballList } from '../../starlingx/tarball-list';
import { parseYumRepos } from '../../starlingx/yum-repos';

const lists = join(__dirname, '../../../shared/data/starlingx');
const vars = { basearch: 'x86_64', releasever: '7' };

function filesBelow(directory: string): string[] {
  return readdirSync(directory)
    .sort()
    .map((name) => join(directory, name))
    .flatMap((path) => (statSync(path).isDirectory() ? filesBelow(path) : [path]));
}

/** What a list asks for, and what writing it back gives. */
function parsed(path: string): { readonly wanted: number; readonly text: string } {
  const bytes = readFileSync(path);
  const name = basename(path);
  if (name === 'tarball-dl.lst') {
    const list = parseTarballList(bytes, name);
    return { wanted: tarballsOf(list).length, text: writeTarballList(list) };
  }
  if (name === 'other_downloads.lst') {
    const list = parseInstallList(bytes, name);
    return { wanted: list.folders.length + list.files.length, text: writeInstallList(list) };
  }
  if (name.endsWith('.cfg')) {
    const config = parseLayerConfig(bytes, name);
    return { wanted: layersOf(config).length, text: writeLayerConfig(config) };
  }
  const list = parsePackageList(bytes, name);
  return { wanted: packagesOf(list).length, text: writePackageList(list) };
}

(existsSync(lists) ? describe : describe.skip)('the real lists (needs ../shared/data)', () => {
  const files = existsSync(lists) ? filesBelow(lists).filter((path) => /\.(lst|cfg)$/.test(path)) : [];

  test('each parses, and is written back byte for byte', () => {
    expect(files).toHaveLength(26);
    for (const path of files) expect([path, parsed(path).text]).toEqual([path, readFileSync(path, 'utf8')]);
  });

  test('what they ask for', () => {
    const counts = Object.fromEntries(files.map((path) => [relative(lists, path), parsed(path).wanted]));
    expect(counts).toMatchObject({
      'r-2018.10/rpms_centos.lst': 1926,
      'r-2018.10/rpms_centos3rdparties.lst': 147,
      'r-2018.10/rpms_3rdparties.lst': 12,
      'r-2018.10/tarball-dl.lst': 45,
      'r-2018.10/other_downloads.lst': 24,
      // 2,031 lines, one of them twice.
      'r-stx.3.0/rpms_centos.lst': 2030,
      'r-stx.3.0/rpms_centos3rdparties.lst': 142,
      'r-stx.3.0/rpms_3rdparties.lst': 15,
      'r-stx.3.0/tarball-dl.lst': 78,
      'r-stx.3.0/other_downloads.lst': 24,
      'layered/distro/rpms_centos.lst': 1138,
      'layered/flock/rpms_3rdparties.lst': 16,
      'layered/flock/required_layer_pkgs.cfg': 4,
      'layered/distro/required_layer_iso_inc.cfg': 2,
    });
  });

  test('packages of the layers: several versions of one name and architecture are legitimate', () => {
    const layered = files.filter((path) => path.includes('/layered/') && basename(path).startsWith('rpms_'));
    const packages = new Map(
      layered.flatMap((path) => packagesOf(parsePackageList(readFileSync(path), basename(path)))).map((one) => [one.file, one]),
    );
    const names = [...packages.values()].map(({ name, arch }) => `${name}.${arch}`);
    const several = new Set(names.filter((name, index) => names.indexOf(name) !== index));
    expect({ packages: packages.size, names: new Set(names).size, several: several.size }).toEqual({
      packages: 2134,
      names: 2125,
      several: 9,
    });
  });

  test('oddities of tarball-dl.lst', () => {
    const entries = tarballsOf(parseTarballList(readFileSync(join(lists, 'r-stx.3.0/tarball-dl.lst')), 'tarball-dl.lst'));
    const entry = (file: string) => entries.find((one) => one.file === file);
    expect(entry('go1.12.10.src.tar.gz')).toMatchObject({ method: 'https', util: '', script: '' });
    expect(entry('tpm-kmod-e6aef069.tar.gz')).toMatchObject({
      method: 'http_script',
      util: '',
      script: 'post-dl-script/tpm-kmod.sh',
      special: true,
    });
    expect(entry('tss2-930.tar.gz')).toMatchObject({ method: 'git', util: 'v930', special: true });
    expect(entry('docker-distribution-48294d928ced5dd9b378f7fd7c6f5da3ff3f2c89.tar.gz')?.url).toBe(
      'http://github.com/docker/distribution/archive/48294d928ced5dd9b378f7fd7c6f5da3ff3f2c89.tar.gz',
    );
    expect(entry('puppet-dnsmasq-cff07e90890662972c97684a2baee964f68ff3ed.tar.gz')?.directory).toBe('packstack/puppet/modules/dnsmasq');
    expect(entry('integrity-kmod-e6aef069.tar.gz')?.url).toBe(entry('tpm-kmod-e6aef069.tar.gz')?.url);
    expect(entries.map(({ method }) => method).filter((method) => method === 'http_script')).toHaveLength(5);
  });

  test('yum.repos.d of r/stx.3.0: 17 files, base URLs on the vault, disabled ones', () => {
    const directory = join(lists, 'r-stx.3.0/yum.repos.d');
    const names = readdirSync(directory).sort();
    const repos = names.flatMap((name) => parseYumRepos(readFileSync(join(directory, name)), name, vars));
    const enabled = repos.filter((repo) => repo.enabled);
    const urls = repos.flatMap(({ baseurls }) => baseurls);
    expect({
      files: names.length,
      sections: repos.length,
      urls: urls.length,
      different: new Set(urls).size,
      enabled: enabled.length,
      centos: enabled.filter(({ baseurls }) => /\/\/(vault|mirror)\.centos\.org\//.test(baseurls.join())).length,
      unchecked: repos.filter(({ gpgcheck }) => gpgcheck !== true).length,
      excluding: repos.filter(({ exclude }) => exclude.join() === 'sip,PyQt4').length,
    }).toEqual({ files: 17, sections: 161, urls: 161, different: 159, enabled: 140, centos: 127, unchecked: 16, excluding: 12 });
  });
});
