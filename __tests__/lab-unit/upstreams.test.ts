import { existsSync, readFileSync } from 'node:fs';
import { specFile } from '../../lab/rpm-build';
import { packageName, placeOf, upstreamNamed } from '../../lab/upstream-content';
import { upstreamConfiguration } from '../../lab/upstream-server';
import { UPSTREAM_HOSTS, UPSTREAM_KEYS, UPSTREAMS } from '../../lab/upstreams';

test('names and URLs are unique, https, and end with a slash', () => {
  expect(new Set(UPSTREAMS.map((row) => row.name)).size).toBe(UPSTREAMS.length);
  expect(new Set(UPSTREAMS.map((row) => row.url)).size).toBe(UPSTREAMS.length);
  for (const row of UPSTREAMS) expect(row.url).toMatch(/^https:\/\/[a-z.]+\/.*\/$/);
});

test('every key has the name of a real one in keys/', () => {
  for (const name of UPSTREAM_KEYS) expect(existsSync(`keys/${name}`)).toBe(true);
});

test('every host that main.ts fetches from is one that the lab answers for', () => {
  const hosts = [...readFileSync('main.ts', 'utf8').matchAll(/fetchFrom: \['https:\/\/([^/']+)/g)].map((match) => match[1]);
  expect(hosts.length).toBeGreaterThan(0);
  for (const host of hosts) expect(UPSTREAM_HOSTS).toContain(host);
});

test('a repository is found by name and by URL', () => {
  expect(upstreamNamed('epel').url).toBe('https://archives.fedoraproject.org/pub/archive/epel/7/x86_64/');
  expect(upstreamNamed('https://archives.fedoraproject.org/pub/archive/epel/7/x86_64').name).toBe('epel');
  expect(() => upstreamNamed('epel-8')).toThrow('"epel-8" is no repository of the lab');
});

test('a repository lies below its host, at its path', () => {
  expect(placeOf(upstreamNamed('docker'), '/www')).toBe('/www/download.docker.com/linux/centos/7/x86_64/stable/');
});

test.each([
  ['Packages/j/jq-1.6-2.el7.x86_64.rpm', 'jq'],
  ['oniguruma-compat++-1.6-2.el7.x86_64.rpm', 'oniguruma-compat++'],
  ['openssl-libs-1.0.2k-19.el7.x86_64.rpm', 'openssl-libs'],
  ['bash-4.2.46-34.el7.src.rpm', 'bash'],
])('the name of %s is %s', (file, name) => expect(packageName(file)).toBe(name));

describe('specFile', () => {
  const source = {
    name: 'openssl',
    version: '1.0.2k',
    release: '19.el7',
    epoch: 1,
    arch: 'x86_64' as const,
    binaries: ['openssl', 'openssl-libs'],
  };

  test('one main package, the others as sub-packages', () => {
    const lines = specFile(source).split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'Name: openssl',
        'Epoch: 1',
        'Version: 1.0.2k',
        '%package -n openssl-libs',
        '%files',
        '%files -n openssl-libs',
      ]),
    );
    expect(lines).not.toContain('%package -n openssl');
    expect(lines).not.toContain('BuildArch: noarch');
  });

  test('a source none of whose packages has its name', () => {
    const lines = specFile({ ...source, arch: 'noarch', binaries: ['only-sub'] }).split('\n');
    expect(lines).toEqual(expect.arrayContaining(['BuildArch: noarch', '%package -n only-sub', '%files -n only-sub']));
    expect(lines).not.toContain('%files');
  });
});

test('a host that is down has no server: its address refuses', () => {
  const addresses = { 'one.example': '10.200.1.10', 'two.example': '10.200.1.11' };
  const configuration = upstreamConfiguration('/state', '/www', '/log', addresses, ['one.example']);
  expect(configuration).not.toContain('10.200.1.10');
  expect(configuration).toContain('listen 10.200.1.11:443 ssl;');
  expect(configuration).toContain('server_name two.example;');
});
