import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { TestKey } from '../../support/keys';
import type { Field } from '../support/field';
import { guard, type Row } from '../support/row';
import { endless, status } from '../support/server';

const DETACHED = 'signatures/detached.ts';
const INDEX = 'content/upstream-index.ts';
const JUDGE = 'content/judge-index.ts';
const SIGNATURE = 'repodata/repomd.xml.asc';
const DAY = 24 * 3600;

/** What gpgv's word for a signature that proves nothing would be taken for without the guard. */
const asGood = (word: string): string => `if (lines[i]?.[0] !== 'GOODSIG' && lines[i]?.[0] !== '${word}') continue;`;
const ONLY_GOOD = "if (lines[i]?.[0] !== 'GOODSIG') continue;";

/** Seconds since 1970, days ago. */
const ago = (days: number): number => Math.floor(Date.now() / 1000) - days * DAY;

/** Sets the revision and every time of the index. */
function madeAt(field: Field, revision: string, seconds: number): void {
  field.repomd((xml) =>
    xml
      .replace(/<revision>[^<]*<\/revision>/, `<revision>${revision}</revision>`)
      .replace(/<timestamp>\d+<\/timestamp>/g, `<timestamp>${seconds}</timestamp>`),
  );
}

function gpg(home: string, ...argv: string[]): string {
  const all = ['--homedir', home, '--batch', '--yes', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', '', ...argv];
  return execFileSync('gpg', all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

/** Signs as somebody did in 2020, by a key of this row alone that was made a day before and lasts so long, and pins it. */
function signInThePast(field: Field, expires: string, ...options: string[]): void {
  const { home } = field.workshop.key('elder');
  const user = `${basename(field.ground)}@example.org`;
  const on = (day: number): string[] => ['--faked-system-time', `2020010${day}T000000`];
  gpg(home, ...on(1), '--quick-gen-key', user, 'rsa2048', 'sign', expires);
  const fingerprint = /^fpr:{9}([0-9A-F]+):/m.exec(gpg(home, '--with-colons', '--list-keys', user))?.[1] as string;
  writeFileSync(join(field.mirror, 'configuration/keys/elder'), gpg(home, '--armor', '--export', user));
  field.declare({ trust: { mode: 'signedMetadata', keys: [{ file: 'keys/elder', fingerprint }] } });
  const index = join(field.root, 'repodata/repomd.xml');
  gpg(home, ...on(2), ...options, '--local-user', user, '--armor', '--detach-sign', '--output', `${index}.asc`, index);
}

/** Signs by a key of this row alone; then `change` makes it a bad one, and it is pinned as it is by then. */
function signThen(field: Field, change: (key: TestKey) => void): void {
  const name = basename(field.ground);
  const key = field.workshop.key(name);
  field.sign(name);
  change(key);
  field.declare({ trust: field.trust('metadata', name, gpg(key.home, '--armor', '--export', name)) });
}

/** Signatures, and what a list says against what is published. */
export const TRUST: readonly Row[] = [
  {
    name: 'the signature is gone',
    attack: 'arbitrary software',
    trust: 'metadata',
    guard: guard(
      INDEX,
      "if (request.definition.trust.mode !== 'signedMetadata'",
      "if (signature === undefined || request.definition.trust.mode !== 'signedMetadata'",
    ),
    hostile: (field) => field.remove(SIGNATURE),
    says: /repomd\.xml\.asc is missing, and victim is declared with signedMetadata/,
  },
  {
    name: 'the signature is of another index: somebody changed one of the two',
    attack: 'mix-and-match',
    trust: 'metadata',
    guard: guard(INDEX, "if (result.verdict === 'bad')"),
    hostile: (field) => field.repomd((xml) => xml.replace('</repomd>', '<!-- evil --></repomd>')),
    says: /repomd\.xml\.asc: the signature by key [0-9A-F]+ does not match the file/,
  },
  {
    name: 'repomd.xml and its signature are of different moments',
    attack: 'mix-and-match',
    trust: 'metadata',
    guard: guard(DETACHED, "if (bad !== undefined) return { verdict: 'bad'", "if (false) return { verdict: 'bad'"),
    hostile: (field) => field.put(SIGNATURE, readFileSync(join(field.workshop.before, SIGNATURE))),
    says: /the signature by key [0-9A-F]+ does not match the file/,
  },
  {
    name: 'a stranger signed',
    attack: 'arbitrary software',
    trust: 'metadata',
    guard: guard(INDEX, "if (result.verdict === 'untrusted')"),
    hostile: (field) => field.sign('stranger'),
    says: /repomd\.xml\.asc: it is signed by key [0-9A-F]+, which is not pinned/,
  },
  {
    name: 'a web page in place of the signature',
    attack: 'arbitrary software',
    trust: 'metadata',
    guard: guard(
      DETACHED,
      "return { verdict: 'untrusted', reason: 'there is no OpenPGP signature in it' }",
      "return { verdict: 'good', fingerprint: '' }",
    ),
    hostile: (field) => field.server.on(SIGNATURE, status(200, {}, '<html>Sign in</html>')),
    says: /there is no OpenPGP signature in it/,
  },
  {
    name: 'a signature that has expired',
    attack: 'indefinite freeze',
    trust: 'metadata',
    guard: guard(DETACHED, ONLY_GOOD, asGood('EXPSIG')),
    hostile: (field) => {
      signInThePast(field, 'never', '--default-sig-expire', '1d');
    },
    says: /repomd\.xml\.asc: the signature has expired \(key [0-9A-F]+\)/,
  },
  {
    name: 'a key that has expired',
    attack: 'arbitrary software',
    trust: 'metadata',
    guard: guard(DETACHED, ONLY_GOOD, asGood('EXPKEYSIG')),
    hostile: (field) => signInThePast(field, '1y'),
    says: /repomd\.xml\.asc: its key has expired \(key [0-9A-F]+\)/,
  },
  {
    name: 'a key that was revoked',
    attack: 'arbitrary software',
    trust: 'metadata',
    guard: guard(DETACHED, ONLY_GOOD, asGood('REVKEYSIG')),
    hostile: (field) =>
      signThen(field, ({ home, fingerprint }) => {
        const made = join(home, 'openpgp-revocs.d', `${fingerprint}.rev`);
        writeFileSync(`${made}.asc`, readFileSync(made, 'utf8').replace(':-----BEGIN', '-----BEGIN'));
        gpg(home, '--import', `${made}.asc`);
      }),
    says: /repomd\.xml\.asc: its key was revoked \(key [0-9A-F]+\)/,
  },
  {
    name: 'a file of pinned keys holds a stranger beside them',
    attack: 'arbitrary software',
    trust: 'metadata',
    guard: guard('signatures/pinned-keys.ts', 'strangers.length > 0 || ', ''),
    hostile: (field) => {
      const both = field.workshop.key('pinned').publicKey + field.workshop.key('stranger').publicKey;
      field.declare({ trust: field.trust('metadata', 'pinned', both) });
    },
    says: /the key file .*keys\/pinned holds [0-9A-F]{40}, [0-9A-F]{40}; pinned is [0-9A-F]{40}/,
  },
  {
    name: 'a signature without an end',
    attack: 'endless data',
    guard: guard(INDEX, 'maxBytes: MAX_SIGNATURE_BYTES', 'maxBytes: 1e9'),
    hostile: (field) => field.server.on(SIGNATURE, endless(Buffer.alloc(1 << 16, 'x'))),
    says: /repomd\.xml\.asc may have 262144 bytes and does not end there/,
  },
  {
    name: 'a store answers 403 for a signature that it does not have',
    ends: 'survived',
    guard: guard('downloads/errors.ts', " || error.code === 'UPSTREAM_REFUSED'", ''),
    hostile: (field) => {
      for (const path of [SIGNATURE, 'repodata/repomd.xml.key']) field.server.on(path, status(403));
    },
  },
  {
    name: 'an older revision',
    attack: 'rollback',
    guard: guard(JUDGE, 'if (order !== undefined && order < 0)'),
    hostile: (field) => madeAt(field, String(ago(1)), ago(0)),
    says: /repomd\.xml has the revision \d+, and \d+ is published: an older state of the upstream, or one that somebody replays/,
    waiver: 'olderRevision',
  },
  {
    name: 'the same revision with other, older content',
    attack: 'rollback',
    guard: guard(
      JUDGE,
      'if (index.newest !== undefined && published.newest !== undefined && index.newest < published.newest && order !== 1)',
    ),
    hostile: (field) => {
      const revision = /<revision>(\d+)/.exec(readFileSync(join(field.workshop.before, 'repodata/repomd.xml'), 'utf8'))?.[1] as string;
      madeAt(field, revision, ago(3));
    },
    says: /repomd\.xml was made at .* UTC, and what was made at .* UTC is published/,
    waiver: 'olderRevision',
  },
  {
    name: 'a revision of the far future, after which nothing could follow',
    attack: 'indefinite freeze',
    guard: guard(JUDGE, 'if (latest > now.getTime() / 1000 + AHEAD)'),
    hostile: (field) => madeAt(field, String(ago(-400)), ago(0)),
    says: [/repomd\.xml was made at \d{4}-.* UTC, and it is \d{4}-.* UTC/, /timedatectl/],
    waiver: 'olderRevision',
  },
  {
    name: 'a record of the far future',
    attack: 'indefinite freeze',
    guard: guard(JUDGE, 'Math.max(unixTime(index.revision) ?? 0, index.newest ?? 0)', '(unixTime(index.revision) ?? 0)'),
    hostile: (field) => field.repomd((xml) => xml.replace(/<timestamp>\d+/, `<timestamp>${ago(-400)}`)),
    says: /repomd\.xml was made at \d{4}-.* UTC, and it is/,
    waiver: 'olderRevision',
  },
  {
    name: 'an upstream that stands still',
    attack: 'indefinite freeze',
    guard: guard(JUDGE, 'if (days < maxAgeDays) return undefined;', 'return undefined;'),
    hostile: (field) => field.declare({ maxAgeDays: 7 }),
    now: () => new Date(Date.now() + 9 * DAY * 1000),
    says: /repomd\.xml is [89] days old \(.* UTC\), and maxAgeDays is 7/,
    waiver: 'staleMetadata',
  },
  {
    name: 'metadata that does not say its age, where that counts',
    attack: 'indefinite freeze',
    guard: guard(JUDGE, 'if (times.length === 0)'),
    hostile: (field) => {
      field.declare({ maxAgeDays: 7 });
      field.repomd((xml) => xml.replace(/<revision>.*?<\/revision>/, '').replace(/<timestamp>.*?<\/timestamp>/g, ''));
    },
    says: /does not say when it was made, and maxAgeDays is 7/,
    waiver: 'staleMetadata',
  },
  {
    name: 'all packages are gone',
    attack: 'wrong software',
    guard: guard(JUDGE, 'if (!suspicious) return undefined;', 'return undefined;'),
    hostile: (field) => field.primary((xml) => xml.replace(/<package [\s\S]*<\/package>/, '').replace(/packages="\d+"/, 'packages="0"')),
    says: /-primary\.xml\.gz lists 0 packages, and listed 24 before/,
    waiver: 'shrunk',
  },
  {
    name: 'nine packages of ten are gone',
    attack: 'wrong software',
    guard: guard(JUDGE, '(before >= SMALL && listed < before / 2)', 'false'),
    hostile: (field) =>
      field.primary((xml) => xml.replace(/(?:<package [\s\S]*?<\/package>\s*){23}/, '').replace(/packages="\d+"/, 'packages="2"')),
    says: /-primary\.xml\.gz lists 2 packages, and listed 24 before/,
    waiver: 'shrunk',
  },
];
