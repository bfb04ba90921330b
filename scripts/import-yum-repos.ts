/** `scripts/import-yum-repos`: from a directory of yum.repos.d files, and of lists, the TypeScript that declares them. Asks no network. */
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { Command } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { parseYumRepos } from '../starlingx/yum-repos';
import { runProgram } from './program';
import { usage } from './survey/units';
import { importLists, type ListOptions } from './yum-import/lists';
import { importRepositories, type RepoFile } from './yum-import/repositories';
import { typescript } from './yum-import/typescript';

interface Options {
  readonly lists?: string;
  readonly release?: string;
  readonly layer?: string;
  readonly installer?: string;
  readonly var: Readonly<Record<string, string>>;
  readonly keys: string;
  readonly disabled: boolean;
  readonly moved: boolean;
  readonly output?: string;
  readonly json: boolean;
}

const HELP = `
One RpmRepository for each base URL: its id from the section, its public path from the URL, its trust from gpgcheck, repo_gpgcheck and gpgkey (the key
file of that name in --keys). What cannot be declared is left out, each with its reason, in the file and on standard error.

--moved fetches from where upstreams are known to be today; public paths stay:
  mirror.centos.org/centos/7, /7.N.DATE   https://vault.centos.org/7.9.2009, /7.N.DATE
  dl.fedoraproject.org/pub/epel/7         https://archives.fedoraproject.org/pub/archive/epel/7

Exit codes:
  0  written
  1  a defect of this program
  2  the command line is wrong
  3  a file cannot be understood (file, line and value are named), or a key is missing

Examples:
  scripts/import-yum-repos stx/yum.repos.d --moved --output stx.ts
  scripts/import-yum-repos stx/yum.repos.d --lists stx --release 3.0 --installer http://mirror.centos.org/centos/7.6.1810/os/x86_64/ --output stx.ts
  scripts/import-yum-repos stx/yum.repos.d --disabled --json`;

const program = new Command('import-yum-repos')
  .description('Writes the TypeScript that declares the repositories of a directory of yum.repos.d files.')
  .argument('<directory>', 'with files *.repo')
  .option('--lists <directory>', 'declare the lists in it, too: rpms_*.lst, tarball-dl.lst, other_downloads.lst; in the project')
  .option('--release <name>', 'whose lists these are, for instance 3.0; needed with --lists')
  .option('--layer <name>', 'whose lists these are, where each layer has its own')
  .option('--installer <url>', 'below which the files of other_downloads.lst are')
  .option('--var <name=value>', 'value of a variable; can be given again (default: basearch=x86_64, releasever=7)', variable, {
    basearch: 'x86_64',
    releasever: '7',
  })
  .option('--keys <directory>', 'with the keys that are pinned, in the project', 'keys')
  .option('--disabled', 'take sections with enabled=0, too', false)
  .option('--moved', 'fetch from where upstreams have moved', false)
  .option('--output <file>', 'write here instead of standard output; an existing file is not overwritten')
  .option('--json', 'print what would be declared as JSON', false)
  .addHelpText('after', HELP)
  .exitOverride();

function variable(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const [, name, value] = /^([A-Za-z0-9_]+)=([A-Za-z0-9._-]+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw usage(`--var ${JSON.stringify(text)} is not name=value`, 'For instance --var releasever=7');
  return { ...before, [name]: value };
}

async function main(directory: string, options: Options): Promise<void> {
  const files = repoFiles(directory, options.var);
  const imported = importRepositories(files, { disabled: options.disabled, moved: options.moved, keys: names(options.keys, '--keys') });
  const lists = listsOf(options);
  const declared = lists === undefined ? [] : importLists(lists.paths, lists.options, new Set(imported.repositories.map(({ id }) => id)));
  for (const { file, section, reason } of imported.leftOut) process.stderr.write(`left out: [${section}] of ${file}: ${reason}\n`);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...imported, lists: declared }, null, 2)}\n`);
    return;
  }
  const at = dirname(resolve(options.output ?? 'x'));
  const source = {
    constructs: below(at, resolve('constructs')),
    keys: inProject(options.keys, '--keys'),
    from: basename(resolve(directory)),
  };
  const text = typescript(imported, declared, lists?.options, source);
  const { format, resolveConfig } = await import('prettier');
  const config = await resolveConfig(resolve('main.ts'));
  const formatted = await format(text, { ...config, parser: 'typescript' });
  if (options.output === undefined) process.stdout.write(formatted);
  else write(options.output, formatted);
  const count = `${imported.repositories.length} repositories, ${declared.length} constructs for lists`;
  process.stderr.write(`declared: ${count}; left out: ${imported.leftOut.length}\n`);
}

function repoFiles(directory: string, vars: Readonly<Record<string, string>>): readonly RepoFile[] {
  const found = names(directory, 'the directory').filter((name) => name.endsWith('.repo'));
  if (found.length === 0) throw usage(`${directory} has no files *.repo`, 'Name a directory such as yum.repos.d.');
  return found.map((name) => ({ name, repos: parseYumRepos(regular(join(directory, name)), name, vars) }));
}

function listsOf({ lists, release, layer, installer }: Options): { paths: readonly string[]; options: ListOptions } | undefined {
  if (lists === undefined) {
    const alone = Object.entries({ release, layer, installer }).find(([, value]) => value !== undefined)?.[0];
    if (alone === undefined) return undefined;
    throw usage(`--${alone} is about lists, and no lists are given`, 'Add --lists DIRECTORY.');
  }
  if (release === undefined) throw usage('--lists needs --release', 'Say whose lists these are, for instance --release 3.0');
  const found = names(lists, '--lists').filter((name) => /^(rpms_.*|tarball-dl|other_downloads)\.lst$/.test(name));
  if (found.length === 0) throw usage(`${lists} has no lists`, 'Name a directory with rpms_*.lst, tarball-dl.lst or other_downloads.lst.');
  return { paths: found.map((name) => inProject(join(lists, name), '--lists')), options: { release, layer, installer } };
}

/** Sorted names of what is in a directory. */
function names(directory: string, what: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    throw usage(`${what} ${JSON.stringify(directory)} cannot be read: ${(error as NodeJS.ErrnoException).code}`, 'Name a directory.');
  }
}

/** Reads what is a file itself: no FIFO that waits for ever, no link to elsewhere. */
function regular(path: string): Buffer {
  if (lstatSync(path).isFile()) return readFileSync(path);
  throw new MirrorError({
    code: 'NOT_A_FILE',
    message: `${path} is no regular file`,
    remedy: 'Put the file itself there.',
    exitCode: ExitCode.invalid,
  });
}

/** As main.ts names it: relative to the project. */
function inProject(path: string, option: string): string {
  const found = relative(process.cwd(), resolve(path));
  if (found === '' || found.startsWith('..'))
    throw usage(`${option} ${JSON.stringify(path)} is not in the project`, 'Copy it into the project first.');
  return found.split(sep).join('/');
}

function below(from: string, to: string): string {
  const path = relative(from, to).split(sep).join('/');
  return path.startsWith('.') ? path : `./${path}`;
}

function write(path: string, text: string): void {
  if (existsSync(path)) throw usage(`${path} exists, and may have been changed by hand`, 'Name another file, or remove this one.');
  writeFileSync(path, text);
}

runProgram(async () => {
  program.parse();
  await main(program.args[0] as string, program.opts<Options>());
});
