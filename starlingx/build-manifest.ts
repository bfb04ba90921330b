/**
 * Manifests of builds (docs/reference/build-manifests.md): what packages are made of, by digest (`inputs`), and what those were that a build made
 * packages of (`record`). One form, told apart by `kind`: taking one for the other would make every package look unchanged.
 */
import { z } from 'zod';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { nearest } from '../desired-state/nearest';
import { duplicateKey } from './duplicate-key';
import { splitRpmFileName } from './package-list';
import { shown } from './shown';

export type ManifestKind = 'inputs' | 'record';
/** The form that this version writes and reads. */
export const MANIFEST_VERSION = 1;

export interface PackageInputs {
  readonly name: string;
  /** File name of the source package. */
  readonly source: string;
  /** File names of the packages that it makes. */
  readonly binaries: readonly string[];
  /** Path → `sha256:<hex>` or `md5:<hex>`. */
  readonly inputs: ReadonlyMap<string, string>;
}
/** By name. */
export type BuildManifest = ReadonlyMap<string, PackageInputs>;

const KINDS: Readonly<Record<ManifestKind, string>> = { inputs: 'what packages are made of', record: 'what a build used' };
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}$/;
/** Of a file below the package: no `..`, no empty part, nothing that a terminal would take for a command. */
const PATH = /^(?!\/)(?!.*(?:^|\/)\.{0,2}(?:\/|$))[^\u0000-\u001f\u007f-\u009f]{1,4096}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$/;

const HeadSchema = z.object({ kind: z.enum(['inputs', 'record']), version: z.literal(MANIFEST_VERSION) });
const PackageSchema = z
  .object({
    name: z.string().regex(NAME),
    source: z.string(),
    binaries: z.array(z.string()).min(1),
    // Judged below: zod leaves out a key "__proto__" without a word, and a path may be called so.
    inputs: z.custom<Readonly<Record<string, unknown>>>((value) => typeof value === 'object' && value !== null && !Array.isArray(value)),
  })
  .strict();
const ManifestSchema = HeadSchema.extend({ packages: z.array(PackageSchema) }).strict();

const FORMS: Readonly<Record<string, string>> = {
  name: 'A name has letters, digits, dots, hyphens, underscores and plus signs, for instance "acl".',
  source: 'Write the file name of the source package, for instance "acl-2.2.51-14.tis.1.src.rpm".',
  binaries: 'Name the packages that it makes, for instance ["acl-2.2.51-14.tis.1.x86_64.rpm"].',
  inputs: 'Write an object of paths and digests, for instance {"centos/acl.spec": "sha256:…"}.',
  packages: 'Write a list of packages, each an object with name, source, binaries and inputs.',
};
const MAKE = 'needs-build digest and needs-build record write manifests: docs/reference/build-manifests.md says what is in them.';

/**
 * Judges a manifest.
 *
 * @param file its path or URL, for messages
 * @throws MirrorError `MANIFEST` that names the file, the field, the value and the remedy
 */
export function parseManifest(text: string, file: string, kind: ManifestKind): BuildManifest {
  const refuse = (what: string, remedy: string): MirrorError => manifestError(file, what, remedy);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(`it is not JSON: ${(error as Error).message.slice(0, 200)}`, MAKE);
  }
  requireHead(value, kind, refuse);
  const twice = duplicateKey(text);
  if (twice !== undefined)
    throw refuse(`line ${twice.line} has the key ${shown(twice.key)} a second time`, 'Remove one of them: only one could count.');
  const parsed = ManifestSchema.safeParse(value);
  if (!parsed.success) throw refused(parsed.error.issues[0] as z.ZodIssue, value, refuse);
  const packages = new Map<string, PackageInputs>();
  parsed.data.packages.forEach(({ name, source, binaries, inputs }, index) => {
    const at = `packages[${index}] (${shown(name)})`;
    if (packages.has(name)) throw refuse(`${at}: this package is there a second time`, 'Remove one of them, or give it another name.');
    requireSource(source, `${at}.source`, refuse);
    binaries.forEach((binary, n) => requireBinary(binary, `${at}.binaries[${n}]`, refuse));
    packages.set(name, { name, source, binaries, inputs: inputsOf(inputs, at, refuse) });
  });
  if (kind === 'inputs') requireOneMaker(packages, refuse);
  return packages;
}

/** The manifest as it is written: the same content gives the same bytes. */
export function writeManifest(kind: ManifestKind, manifest: BuildManifest): string {
  const packages = sorted(manifest.keys()).map((name) => {
    const { source, binaries, inputs } = manifest.get(name) as PackageInputs;
    const digests = new Map(sorted(inputs.keys()).map((path) => [path, inputs.get(path) as string]));
    // An object would put keys that look like numbers first, and lose one that is called "__proto__".
    const object = [...digests].map(([path, digest]) => `    ${JSON.stringify(path)}: ${JSON.stringify(digest)}`).join(',\n');
    const head = { name, source, binaries: sorted(binaries) };
    return `  ${JSON.stringify(head).slice(0, -1)},"inputs":{\n${object}\n  }}`;
  });
  return `{"kind":"${kind}","version":${MANIFEST_VERSION},"packages":[${packages.length === 0 ? '' : `\n${packages.join(',\n')}\n`}]}\n`;
}

export function manifestError(file: string, what: string, remedy: string): MirrorError {
  return new MirrorError({ code: 'MANIFEST', message: `${file}: ${what}`, remedy, exitCode: ExitCode.invalid });
}

type Refuse = (what: string, remedy: string) => MirrorError;

/** What sort of file it is, before what is in it. */
function requireHead(value: unknown, kind: ManifestKind, refuse: Refuse): void {
  const head = (typeof value === 'object' && value !== null ? value : {}) as { kind?: unknown; version?: unknown };
  if (head.kind === undefined && head.version === undefined) throw refuse('it is no manifest of a build', MAKE);
  if (head.version !== MANIFEST_VERSION)
    throw refuse(
      `version is ${shownValue(head.version)}, and this needs-build knows ${MANIFEST_VERSION}`,
      'Use the needs-build that wrote it, or write it anew with this one.',
    );
  if (head.kind === kind) return;
  const isOther = typeof head.kind === 'string' && head.kind in KINDS;
  throw refuse(
    `kind is ${shownValue(head.kind)}${isOther ? `, ${KINDS[head.kind as ManifestKind]}` : ''}; here ${JSON.stringify(kind)} is needed, ${KINDS[kind]}`,
    isOther ? 'Give --inputs what "needs-build digest" wrote, and --record what "needs-build record" wrote.' : MAKE,
  );
}

function requireSource(file: string, at: string, refuse: Refuse): void {
  const arch = splitRpmFileName(file)?.arch;
  if (arch !== 'src' && arch !== 'nosrc') throw refuse(`${at} is ${shown(file)}, which names no source package`, FORMS['source'] as string);
}

function requireBinary(file: string, at: string, refuse: Refuse): void {
  const arch = splitRpmFileName(file)?.arch;
  if (arch === undefined || arch === 'src' || arch === 'nosrc')
    throw refuse(`${at} is ${shown(file)}, which names no binary package`, FORMS['binaries'] as string);
}

function inputsOf(inputs: Readonly<Record<string, unknown>>, at: string, refuse: Refuse): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [path, digest] of Object.entries(inputs)) {
    if (!PATH.test(path))
      throw refuse(
        `${at}.inputs has the path ${shown(path)}`,
        'Paths are relative to the package, without "..", empty parts and control characters, for instance "centos/acl.spec".',
      );
    if (typeof digest !== 'string' || !DIGEST.test(digest))
      throw refuse(
        `${at}.inputs[${shown(path)}] is ${shownValue(digest)}, which is no digest`,
        'Digests are "sha256:" with 64 or "md5:" with 32 hex digits in lower case.',
      );
    found.set(path, digest);
  }
  if (found.size === 0) throw refuse(`${at}.inputs is empty`, 'A package is made of one file at least: its spec.');
  return found;
}

/** What two packages make would be rebuilt by both, each time over what the other one made. */
function requireOneMaker(packages: BuildManifest, refuse: Refuse): void {
  const makers = new Map<string, string>();
  for (const { name, source, binaries } of packages.values())
    for (const file of [source, ...binaries]) {
      const other = makers.get(file);
      if (other !== undefined)
        throw refuse(
          other === name ? `${shown(name)} names ${shown(file)} twice` : `${shown(other)} and ${shown(name)} both make ${shown(file)}`,
          'Remove it from one of them: a package file comes from one source package.',
        );
      makers.set(file, name);
    }
}

function refused(issue: z.ZodIssue, value: unknown, refuse: Refuse): MirrorError {
  const field = issue.path.reduce<string>((text, part) => (typeof part === 'number' ? `${text}[${part}]` : `${text}.${part}`), '').slice(1);
  const found = issue.path.reduce<unknown>((inner, part) => (inner as Record<string, unknown> | undefined)?.[part], value);
  const last = issue.path.filter((part) => typeof part === 'string').at(-1);
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] as string;
    const known = field === '' ? ['kind', 'version', 'packages'] : ['name', 'source', 'binaries', 'inputs'];
    const meant = nearest(key, known);
    return refuse(
      `${field === '' ? 'it' : field} has ${shown(key)}, which is not known`,
      meant === undefined ? `There are ${known.join(', ')}.` : `Did you mean ${JSON.stringify(meant)}?`,
    );
  }
  return refuse(`${field} is ${shownValue(found)}`, FORMS[String(last)] ?? MAKE);
}

function shownValue(value: unknown): string {
  if (value === undefined) return 'missing';
  if (typeof value === 'string') return shown(value);
  return shown(JSON.stringify(value)).slice(1, -1).replaceAll('\\"', '"');
}

export function sorted(names: Iterable<string>): string[] {
  return [...names].sort();
}
