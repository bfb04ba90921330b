/** What the command line and the environment ask for, judged. Pure. */
import { resolve } from 'node:path';
import { ExitCode, MirrorError } from '../desired-state/errors';

export type Side = 'mirror' | 'upstream';

/** As commander gives it. */
export interface Flags {
  readonly mirrorOnly?: boolean;
  readonly mirrorFirst?: boolean;
  readonly upstreamOnly?: boolean;
  readonly upstreamFirst?: boolean;
  readonly yumConf?: string;
  readonly distro?: string;
  readonly layer?: string;
  /** False with `-n`. */
  readonly sudo?: boolean;
  readonly mirror?: string;
  readonly key?: string;
  readonly keys?: string;
  readonly lists?: string;
  readonly branch?: string;
  readonly release?: string;
  readonly installUrl?: string;
  readonly variable?: readonly string[];
  readonly firstSight?: boolean;
  readonly verify?: boolean;
  readonly output?: string;
  readonly jobs?: string;
  readonly timeout?: string;
  readonly dryRun?: boolean;
  readonly report?: string;
  readonly json?: boolean;
}

/** Everything that a run depends on. */
export interface Settings {
  /** Sides in the order in which they are asked. */
  readonly sides: readonly Side[];
  /** Without a slash at its end; undefined where no mirror is asked. A frozen release is part of it. */
  readonly base: string | undefined;
  /** Id of that release. */
  readonly release: string | undefined;
  /** File with the mirror's public key; undefined where no mirror is asked. */
  readonly key: string | undefined;
  /** Directory with the upstreams' keys. */
  readonly keys: string | undefined;
  readonly distro: string;
  /** Undefined: all layers. */
  readonly layer: string | undefined;
  readonly branch: string;
  readonly yumConf: string | undefined;
  readonly listDirectory: string | undefined;
  readonly listFiles: readonly string[];
  /** What `other_downloads.lst` is below. */
  readonly installUrl: string;
  /** Of `yum.repos.d` files: name → value. */
  readonly variables: Readonly<Record<string, string>>;
  readonly firstSight: boolean;
  readonly verify: boolean;
  readonly output: string;
  readonly jobs: number;
  /** Seconds. */
  readonly timeout: number;
  readonly dryRun: boolean;
  readonly report: string | undefined;
  readonly json: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const MODES = { mirrorOnly: '-s', mirrorFirst: '-S', upstreamOnly: '-u', upstreamFirst: '-U' } as const;
const SIDES: Readonly<Record<keyof typeof MODES, readonly Side[]>> = {
  mirrorOnly: ['mirror'],
  mirrorFirst: ['mirror', 'upstream'],
  upstreamOnly: ['upstream'],
  upstreamFirst: ['upstream', 'mirror'],
};
/** The tree that the historical scripts took. */
const INSTALL_URL = 'http://mirror.centos.org/7.6.1810/os/x86_64/';
const DEFAULT_VARIABLES = { releasever: '7', basearch: 'x86_64', arch: 'x86_64' };

/** Throws a MirrorError (USAGE) for what cannot be meant. */
export function settingsOf(flags: Flags, listFiles: readonly string[], environment: Environment): Settings {
  const modes = (Object.keys(MODES) as (keyof typeof MODES)[]).filter((mode) => flags[mode] === true);
  if (modes.length > 1)
    throw usage(
      `${modes.map((mode) => MODES[mode]).join(' and ')} exclude each other`,
      'Give one of -s, -S, -u and -U, or none, which is -S.',
    );
  const sides = SIDES[modes[0] ?? 'mirrorFirst'];
  // The historical script called sudo to change owners; without it files belong to whoever runs this.
  if (flags.sudo === false && environment['SUDO_UID'] !== undefined)
    throw usage('-n says that sudo is not to be used, and this runs under sudo', 'Run it without sudo: it needs no rights of root.');
  const usesMirror = sides.includes('mirror');
  const distro = name('--distro', flags.distro ?? 'centos');
  const layer = name('--layer', flags.layer ?? given(environment['LAYER']) ?? 'all');
  const release = flags.release === undefined ? undefined : name('--release', flags.release);
  if (release !== undefined && !usesMirror)
    throw usage('--release is a release of the mirror, and -u asks no mirror', 'Leave one of them out.');
  if (flags.lists !== undefined && listFiles.length > 0)
    throw usage('both --lists and list files are given', 'Give the directory, or the files.');
  const hasLists = flags.lists !== undefined || listFiles.length > 0;
  if (!hasLists && !usesMirror)
    throw usage('-u needs lists: only a mirror serves them', 'Give --lists <directory>, or list files as arguments.');
  return {
    sides,
    base: usesMirror ? baseOf(flags.mirror ?? given(environment['DOWNLOAD_MIRROR_URL']), release) : undefined,
    release,
    key: usesMirror ? keyOf(flags.key ?? given(environment['DOWNLOAD_MIRROR_KEY'])) : undefined,
    keys: flags.keys ?? given(environment['DOWNLOAD_MIRROR_KEYS']),
    distro,
    layer: layer === 'all' ? undefined : layer,
    branch: branchOf(flags.branch ?? release ?? 'master'),
    yumConf: flags.yumConf,
    listDirectory: flags.lists,
    listFiles,
    installUrl: urlOf('--install-url', flags.installUrl ?? INSTALL_URL),
    variables: { ...DEFAULT_VARIABLES, ...variablesOf(flags.variable ?? []) },
    firstSight: flags.firstSight === true,
    verify: flags.verify === true,
    // rpm wants the paths of its data base from the root on.
    output: resolve(flags.output ?? given(environment['DL_MIRROR_OUTPUT_DIR']) ?? `output/stx/${distro === 'centos' ? 'CentOS' : distro}`),
    jobs: whole('--jobs', flags.jobs ?? '8', 1, 64),
    timeout: whole('--timeout', flags.timeout ?? '30', 1, 3600),
    dryRun: flags.dryRun === true,
    report: flags.report,
    json: flags.json === true,
  };
}

export function usage(message: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'USAGE', message, remedy, exitCode: ExitCode.usage });
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

function baseOf(text: string | undefined, release: string | undefined): string {
  if (text === undefined)
    throw usage(
      'no mirror is named, and the source asked for uses one',
      'Give --mirror http://mirror.example.org or set DOWNLOAD_MIRROR_URL; or take upstreams alone (-u).',
    );
  const base = urlOf('--mirror', text).replace(/\/$/, '');
  return release === undefined ? base : `${base}/releases/${release}`;
}

function keyOf(path: string | undefined): string {
  if (path !== undefined) return path;
  throw usage(
    'the public key of the mirror is not given, so nothing that it says can be trusted',
    'Get it once (curl -O <mirror>/RPM-GPG-KEY-mirror), compare what "gpg --show-keys RPM-GPG-KEY-mirror" prints with the fingerprint that the ' +
      'operator of the mirror tells you, and give it by --key or DOWNLOAD_MIRROR_KEY.',
  );
}

function urlOf(option: string, text: string): string {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Judged below.
  }
  const fits = url !== undefined && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '' && url.username === '';
  if (!fits)
    throw usage(
      `${option} ${JSON.stringify(text.slice(0, 200))} is not the address of a directory`,
      'Give an http or https URL without a user, a query or a fragment, for instance http://mirror.example.org.',
    );
  return text.endsWith('/') ? text : `${text}/`;
}

/** A part of a path. */
function name(option: string, text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(text)) return text;
  throw usage(`${option} ${JSON.stringify(text.slice(0, 100))} is no name`, 'Use letters, digits, dots, hyphens and underscores.');
}

function branchOf(text: string): string {
  for (const part of text.split('/')) name('--branch', part);
  return text;
}

function whole(option: string, text: string, least: number, most: number): number {
  if (/^\d{1,6}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
  throw usage(
    `${option} ${JSON.stringify(text.slice(0, 50))} is not a whole number from ${least} to ${most}`,
    `Give, for instance, ${option} ${least * 8}.`,
  );
}

function variablesOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, key, value] = /^([A-Za-z_][A-Za-z0-9_]*)=([A-Za-z0-9._-]+)$/.exec(text) ?? [];
      if (key === undefined || value === undefined)
        throw usage(`--variable ${JSON.stringify(text.slice(0, 100))} is not name=value`, 'Give, for instance, --variable releasever=7.');
      return [key, value];
    }),
  );
}
