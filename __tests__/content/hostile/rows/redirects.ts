import type { Field } from '../support/field';
import { guard, type Row } from '../support/row';
import { first, HostileServer, redirect } from '../support/server';
import { NEWER, pathOf } from '../support/workshop';

const RPM = pathOf(NEWER);
const REDIRECTS = 'downloads/redirects.ts';

function sends(
  name: string,
  to: (field: Field) => string | Promise<string>,
  says: RegExp,
  file: string,
  code: string,
  without?: string,
  exitCode = 6,
): Row {
  return {
    name: `a redirect ${name}`,
    attack: 'arbitrary software',
    exitCode,
    guard: guard(file, code, without),
    hostile: async (field) => field.server.on(RPM, redirect(await to(field))),
    says,
  };
}

/** Where servers send us. */
export const REDIRECTS_ROWS: readonly Row[] = [
  {
    name: 'a circle of redirects',
    attack: 'endless data',
    exitCode: 5,
    guard: guard('downloads/http.ts', 'if (redirects === MAX_REDIRECTS)'),
    hostile: (field) => field.server.on(RPM, first(50, redirect(`/${RPM}`))),
    says: /p25-1-1\.noarch\.rpm redirects more than 5 times/,
  },
  sends(
    'to a file',
    () => 'file:///etc/passwd',
    /redirects to file:\/\/\/etc\/passwd: only http and https are followed/,
    REDIRECTS,
    "if (target.protocol !== 'http:' && target.protocol !== 'https:')",
  ),
  sends(
    'to no URL',
    () => 'http://[',
    /redirects to "http:\/\/\[", which is no URL/,
    REDIRECTS,
    'target = new URL(location, from);',
    'target = new URL(encodeURIComponent(location), from);',
    5,
  ),
  sends(
    'with a password',
    (field) => field.server.url.replace('//', '//user:secret@') + 'x',
    /addresses with a user are not followed/,
    REDIRECTS,
    "if (target.username !== '' || target.password !== '')",
  ),
  {
    ...sends(
      'into the private network',
      async (field) => (await field.another(HostileServer.start(field.root, '127.0.0.2'))).url + RPM,
      /127\.0\.0\.2:\d+\/Packages\/p25-1-1\.noarch\.rpm: 127\.0\.0\.2 is not a public address/,
      'downloads/http.ts',
      "hosts === 'all' || hosts.has(hostname)",
      'true',
    ),
    waiver: 'privateAddresses',
  },
  sends(
    'to the metadata of a cloud',
    () => 'http://169.254.169.254/latest/meta-data/',
    /169\.254\.169\.254 is not a public address/,
    'downloads/addresses.ts',
    "['169.254.0.0', 16],",
    '',
  ),
  sends(
    'to an address of IPv4 in one of IPv6',
    (field) => `http://[::ffff:127.0.0.1]:${field.server.port}/${RPM}?`,
    /::ffff:7f00:1 is not a public address/,
    'downloads/addresses.ts',
    "['::', 3],",
    "['::1', 128],",
  ),
  sends(
    'to localhost',
    (field) => `http://localhost:${field.server.port}/${RPM}?`,
    /localhost is not a public address/,
    'downloads/connect.ts',
    "const local = address === 'localhost' || address.endsWith('.localhost');",
    'const local = false;',
  ),
];
