import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { signPackage } from '../../support/keys';
import { digest, elementOf } from '../support/edits';
import type { Field } from '../support/field';
import { guard, type Row } from '../support/row';
import { endless, status } from '../support/server';
import { NEWER, pathOf } from '../support/workshop';

const FILE = 'downloads/file.ts';
const ERRORS = 'downloads/errors.ts';
const CONTENTS = 'content/contents.ts';
const SIGNED = 'signatures/packages.ts';
const RPM = pathOf(NEWER);
const FAILED = [
  /one file of 25 could not be had or must not be used, and a verbatim view has all or nothing: the previous snapshot stays;/,
];

/** Other bytes for a package, which the metadata says, too. */
function instead(field: Field, bytes: Buffer, name = NEWER): void {
  field.put(pathOf(name), bytes);
  field.item(name, (element) =>
    element.replace(/>[0-9a-f]{64}</, `>${digest(bytes)}<`).replace(/size package="\d+"/, `size package="${bytes.length}"`),
  );
}

/** A package without the payload: what is before the magic number of its archive. */
function header(rpm: Buffer): Buffer {
  const zstd = rpm.indexOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]));
  const end = zstd >= 0 ? zstd : rpm.indexOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a]));
  return rpm.subarray(0, end > 0 ? end : rpm.lastIndexOf(Buffer.from([0x1f, 0x8b, 0x08])));
}

/** Upstream's newest package signed anew by another key. */
function signedBy(field: Field, key: string): Buffer {
  const path = join(field.root, RPM);
  signPackage(field.workshop.key(key), path);
  return field.file(RPM);
}

function unsigned(field: Field): Buffer {
  const rpms = join(field.workshop.directory, 'build/rpms');
  copyFileSync(join(rpms, 'unsigned', `${NEWER}-1-1.noarch.rpm`), join(field.root, RPM));
  return field.file(RPM);
}

/** The packages themselves. */
export const PACKAGES_ROWS: readonly Row[] = [
  {
    name: 'a truncated package',
    attack: 'arbitrary software',
    guard: guard(FILE, 'if (expected.size !== undefined && size !== expected.size)'),
    hostile: (field) => field.put(RPM, field.file(RPM).subarray(0, 1000)),
    says: [...FAILED, /p25-1-1\.noarch\.rpm has 1000 bytes; the metadata says \d+/],
    waiver: 'incomplete',
  },
  {
    name: 'a package with something appended',
    attack: 'arbitrary software',
    guard: guard('downloads/http.ts', 'if (declared > rest)'),
    hostile: (field) => field.put(RPM, Buffer.concat([field.file(RPM), Buffer.from('evil')])),
    says: [...FAILED, /p25-1-1\.noarch\.rpm may have \d+ bytes and announces \d+ bytes/],
  },
  {
    name: 'a flipped bit',
    attack: 'arbitrary software',
    guard: guard(FILE, 'if (hex !== undefined && declared !== hex)'),
    hostile: (field) => {
      const bytes = field.file(RPM);
      bytes[bytes.length - 9] = (bytes[bytes.length - 9] as number) ^ 1;
      field.put(RPM, bytes);
    },
    says: [...FAILED, /p25-1-1\.noarch\.rpm has the sha256 [0-9a-f]{64}; the metadata says [0-9a-f]{64}/],
  },
  {
    name: 'a package that is not there',
    exitCode: 5,
    guard: guard(ERRORS, "if (status === 404 || status === 410) return 'missing';", 'if (status === 404) return undefined;'),
    hostile: (field) => field.remove(RPM),
    says: [...FAILED, /p25-1-1\.noarch\.rpm answered with status 404/, /Check the address with curl, or add another source/],
  },
  {
    name: 'a package that is gone for ever (410)',
    exitCode: 5,
    guard: guard(ERRORS, ' || status === 410', ''),
    hostile: (field) => field.server.on(RPM, status(410)),
    says: [...FAILED, /answered with status 410/, /add another source to fetchFrom/],
  },
  {
    name: 'a package behind a login (401), with a page',
    exitCode: 5,
    guard: guard(
      ERRORS,
      "status >= 500) return 'transient';\n  return 'refused';",
      "status >= 500) return 'transient';\n  return undefined;",
    ),
    hostile: (field) => field.server.on(RPM, status(401, {}, '<html>Sign in</html>')),
    says: [...FAILED, /answered with status 401/],
  },
  {
    name: 'a package that is forbidden (403) is not asked for again and again',
    exitCode: 5,
    guard: guard(
      'downloads/sources.ts',
      "if (error.kind === 'missing' || error.kind === 'refused') out.add(source);",
      "if (error.kind === 'missing') out.add(source);",
    ),
    hostile: (field) => field.server.on(RPM, status(403)),
    says: [...FAILED, /answered with status 403/],
    // Once shared, once alone.
    also: (field) => (field.server.asked(RPM) <= 2 ? [] : [`it was asked for ${field.server.asked(RPM)} times`]),
  },
  {
    name: '"not modified" for a package that nobody had',
    exitCode: 5,
    guard: guard('downloads/http.ts', '(status !== 304 || isConditional(options))', 'true'),
    hostile: (field) => field.server.on(RPM, status(304)),
    says: [...FAILED, /answered with status 304/],
  },
  {
    name: 'other content under a name that is published',
    attack: 'wrong software',
    guard: guard(CONTENTS, 'if (old !== undefined && differs(old, item) === true)'),
    hostile: (field) => instead(field, Buffer.concat([field.file(pathOf('p01')), Buffer.from('evil')]), 'p01'),
    says: /p01-(0:)?1-1\.noarch was published with other content/,
    waiver: 'changedPackages',
  },
  {
    name: 'other content under a name that is published, told by another kind of checksum',
    attack: 'wrong software',
    guard: guard('content/retrieval.ts', 'if ((await this.contentOf(taken.checksum)) !== (await this.contentOf(published.checksum)))'),
    hostile: (field) => {
      field.put(pathOf('p01'), Buffer.concat([field.file(pathOf('p01')), Buffer.from('evil')]));
      field.item('p01', (element) =>
        element
          .replace(/type="sha256"([^>]*)>[0-9a-f]{64}</, `type="sha512"$1>${digest(field.file(pathOf('p01')), 'sha512')}<`)
          .replace(/size package="\d+"/, `size package="${field.file(pathOf('p01')).length}"`),
      );
    },
    says: /p01-(0:)?1-1\.noarch was published with other content/,
    waiver: 'changedPackages',
  },
  {
    name: 'another size for a package that the store has',
    attack: 'wrong software',
    guard: guard('content/store.ts', '(size === undefined || found.size === size)', 'true'),
    hostile: (field) => field.item('p01', (element) => element.replace(/size package="\d+"/, 'size package="77"')),
    says: [...FAILED, /p01-1-1\.noarch\.rpm may have 77 bytes and announces \d+ bytes/],
  },
  {
    name: 'a package that nobody signed',
    attack: 'arbitrary software',
    trust: 'packages',
    guard: guard(SIGNED, "'_pkgverify_level all'", "'_pkgverify_level digest'"),
    hostile: (field) => instead(field, unsigned(field)),
    says: /Packages\/p25-1-1\.noarch\.rpm: it is not signed; pinned: [0-9A-F]{40}/,
  },
  {
    name: 'a package that a stranger signed',
    attack: 'arbitrary software',
    trust: 'packages',
    guard: guard(
      'content/retrieval.ts',
      'for (const [item, problem] of untrusted) missing.set(',
      'for (const [item, problem] of []) missing.set(',
    ),
    hostile: (field) => instead(field, signedBy(field, 'stranger')),
    says: /Packages\/p25-1-1\.noarch\.rpm: it is signed by key [0-9a-f]+, which is not pinned/,
  },
  {
    name: 'a signed package without its payload',
    attack: 'arbitrary software',
    trust: 'packages',
    guard: guard(SIGNED, 'if (alone.code !== 0)'),
    hostile: (field) => instead(field, header(field.file(RPM))),
    says: /Packages\/p25-1-1\.noarch\.rpm: it is (damaged|no intact package)/,
  },
  {
    name: 'an old package that is signed, and passed off as its update',
    attack: 'rollback',
    trust: 'packages',
    guard: guard(
      'content/package-signatures.ts',
      'if (found !== undefined && nevra(found) === nevra(listed)) return undefined;',
      'if (found !== undefined) return undefined;',
    ),
    hostile: (field) => {
      // p01 is proven already: what is remembered of it must not count under another name.
      field.put(RPM, field.file(pathOf('p01')));
      field.item(NEWER, (element) =>
        element
          .replace('<name>p25<', '<name>p01<')
          .replace(/ver="1"/, 'ver="2"')
          .replace(/>[0-9a-f]{64}</, `>${digest(field.file(RPM))}<`)
          .replace(/size package="\d+"/, `size package="${field.file(RPM).length}"`),
      );
    },
    says: /p25-1-1\.noarch\.rpm: the package is "p01-1-1\.noarch" by its signed header, and the metadata calls it p01-2-1\.noarch/,
  },
  {
    name: 'a package that nobody signed, listed under two names',
    attack: 'arbitrary software',
    trust: 'packages',
    view: 'accumulate',
    ends: 'degraded',
    guard: guard('content/package-signatures.ts', 'open.set(key, [...(open.get(key) ?? []), item])', 'open.set(item.checksum.hex, [item])'),
    hostile: (field) => {
      instead(field, unsigned(field));
      field.put('Packages/p26.rpm', field.file(RPM));
      field.primary((xml) => {
        const twin = elementOf(xml, NEWER)
          .replace('<name>p25<', '<name>p26<')
          .replace(/href="[^"]+"/, 'href="Packages/p26.rpm"');
        return xml.replace('</metadata>', () => `${twin}\n</metadata>`);
      });
      // The packages that are good are there whatever becomes of it.
      field.item('p24', (element) => element.replace('<summary>test', '<summary>newer'));
    },
    says: [/2 files of 26/, /p25-1-1\.noarch\.rpm: it is not signed/, /p26\.rpm: it is not signed/],
    also: (field) => [RPM, 'Packages/p26.rpm'].filter((path) => field.published(path) !== undefined).map((path) => `${path} was published`),
  },
  {
    name: 'a web page in place of a package, as the metadata says',
    attack: 'arbitrary software',
    trust: 'packages',
    guard: guard(SIGNED, 'if (proven.has(path)) continue;', 'continue;'),
    hostile: (field) => instead(field, Buffer.from('<html>Sign in</html>')),
    says: /Packages\/p25-1-1\.noarch\.rpm: (it is no intact package|rpmkeys does not accept it)/,
  },
  {
    name: 'a web page in place of a package, with status 200',
    attack: 'arbitrary software',
    view: 'accumulate',
    ends: 'degraded',
    guard: guard('content/fetch.ts', 'failures.set(file, error);\n', 'throw error;\n'),
    hostile: (field) => field.server.on(pathOf('p25'), status(200, {}, '<html>Sign in</html>')),
    says: /p25-1-1\.noarch\.rpm has 20 bytes; the metadata says \d+/,
    also: (field) => (field.published(RPM) === undefined ? [] : ['the page was published']),
  },
  {
    name: 'a package without an end',
    attack: 'endless data',
    view: 'accumulate',
    ends: 'degraded',
    guard: guard('downloads/http.ts', 'return { maxBytes: rest, sink };', 'return { maxBytes: Infinity, sink };'),
    hostile: (field) => field.server.on(RPM, endless(Buffer.alloc(1 << 16))),
    says: /p25-1-1\.noarch\.rpm may have \d+ bytes and does not end there/,
  },
  {
    name: 'other content under a name that is published, where nothing goes',
    attack: 'wrong software',
    view: 'accumulate',
    ends: 'degraded',
    guard: guard(CONTENTS, 'if (old !== undefined && verdict === true && !replace)'),
    hostile: (field) => instead(field, Buffer.concat([field.file(pathOf('p01')), Buffer.from('evil')]), 'p01'),
    says: /p01-(0:)?1-1\.noarch was published with other content/,
    waiver: 'changedPackages',
    also: (field) => (field.published(RPM) === undefined ? ['the good package is not there'] : []),
  },
  {
    name: 'a package in the place of one that is published',
    attack: 'wrong software',
    view: 'accumulate',
    ends: 'degraded',
    guard: guard(CONTENTS, '(inTheWay.length > 0 && !replace)', 'false'),
    hostile: (field) =>
      field.primary((xml) => {
        const rest = xml.replace(/<package [^>]*>\s*<name>p01<[\s\S]*?<\/package>/, '');
        return rest.replace(`href="${RPM}"`, `href="${pathOf('p01')}"`);
      }),
    says: /p25-(0:)?1-1\.noarch cannot be put where p01-(0:)?1-1\.noarch is/,
    waiver: 'changedPackages',
  },
];
