import { parseAptSources, proxiedSources, proxyConfiguration } from '../../lab/apt';

const deb822 = `Types: deb deb-src
# a comment in between
URIs: http://one.example/debian https://two.example/debian/
Suites: bookworm bookworm-updates sid
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://three.example/node
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/other.gpg

Enabled: no
Types: deb
URIs: https://four.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: file:/srv/debian
Suites: bookworm
Components: main
`;

test("reads Debian's own suites from deb822, and nothing that another key signs, is disabled, or is not http", () => {
  expect(parseAptSources(deb822, 'deb822')).toEqual(
    ['http://one.example/debian/', 'https://two.example/debian/'].flatMap((uri) =>
      ['bookworm', 'bookworm-updates'].map((suite) => ({ uri, suite, components: ['main', 'contrib'] })),
    ),
  );
});

test.each([
  ['deb http://one.example/debian bookworm main', [{ uri: 'http://one.example/debian/', suite: 'bookworm', components: ['main'] }]],
  [
    'deb [arch=amd64] https://one.example/s bookworm-security main contrib # why',
    [{ uri: 'https://one.example/s/', suite: 'bookworm-security', components: ['main', 'contrib'] }],
  ],
  ['deb [signed-by=/usr/share/keyrings/other.gpg] http://one.example/debian bookworm main', []],
  ['deb-src http://one.example/debian bookworm main', []],
  ['# deb http://one.example/debian bookworm main', []],
  ['deb http://one.example/debian trixie main', []],
  ['deb http://one.example/debian bookwormish main', []],
  ['', []],
])('line %j', (line, expected) => expect(parseAptSources(line, 'line')).toEqual(expected));

describe('the proxy', () => {
  const sources = [
    { uri: 'http://one.example/debian/', suite: 'bookworm', components: ['main'] },
    { uri: 'http://one.example/debian/', suite: 'bookworm-updates', components: ['main'] },
    { uri: 'https://user:p%40ss@two.example:8443/', suite: 'bookworm-security', components: ['main', 'contrib'] },
  ];

  test('the mirror host sees the gateway only: no address, no password', () => {
    const list = proxiedSources(sources, '10.200.1.1');
    expect(list.trim().split('\n')).toEqual([
      'deb http://10.200.1.1:3142/0/ bookworm main',
      'deb http://10.200.1.1:3142/0/ bookworm-updates main',
      'deb http://10.200.1.1:3142/1/ bookworm-security main contrib',
    ]);
    expect(list).not.toMatch(/example|p%40ss/);
  });

  test('asks each address as apt would: its path, its Host, its login', () => {
    const configuration = proxyConfiguration(sources, '10.200.1.1', '/state/apt', '/cache/apt');
    expect(configuration).toContain('listen 10.200.1.1:3142;');
    expect(configuration).toContain(
      'rewrite ^/0/(.*)$ /debian/$1 break; proxy_pass http://one.example; proxy_set_header Host one.example;',
    );
    expect(configuration).toContain(
      'rewrite ^/1/(.*)$ /$1 break; proxy_pass https://two.example:8443; proxy_set_header Host two.example:8443;',
    );
    expect(configuration).toContain(`Authorization "Basic ${Buffer.from('user:p@ss').toString('base64')}"`);
    expect(configuration).toContain('proxy_http_version 1.1;');
  });
});
