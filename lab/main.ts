/** `scripts/lab`: three disposable hosts on this machine. */
import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { acmeDown, acmeUp } from './acme-server';
import { dnf } from './client';
import { type Instance, instanceOf, lockOf } from './instance';
import { caCertificate, down, environment, requireUp, resetMirror, status, up } from './lab';
import { listSetContent, type ListSetPlaces } from './list-set-content';
import { withLock } from './lock';
import { mirrorOff, mirrorUp, sshArguments } from './mirror-host';
import { usageError } from './shell';
import {
  contentAdd,
  contentCorrupt,
  contentDrop,
  contentProvide,
  contentRestore,
  contentRollback,
  listSetUp,
  upstreamNamed,
} from './upstream-content';
import { setHosts } from './upstream-server';
import { UPSTREAMS } from './upstreams';

const checkout = realpathSync(join(dirname(__filename), '..'));
const cache = process.env['MIRROR_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'package-mirror-as-code');
const instance = (): Instance => instanceOf(process.env['MIRROR_LAB'] ?? 'default', checkout, cache);

/** Commands that change the lab exclude each other. */
const locked = <T>(work: (lab: Instance) => T | Promise<T>): Promise<T> => {
  const lab = instance();
  return withLock(lockOf(lab), () => work(lab));
};
// `… | head` may stop reading: that is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : ExitCode.internal));
const print = (text: string): void => void process.stdout.write(`${text}\n`);

const program = new Command('lab')
  .description('Three disposable hosts on this machine: mirror, upstream, client. MIRROR_LAB names another instance (default: "default").')
  .enablePositionalOptions()
  .exitOverride();

program
  .command('up')
  .description('start what is not running')
  .action(() => locked(up));
program
  .command('down')
  .description('remove everything, after a crash too')
  .action(() => locked(down));

program
  .command('status')
  .description('what runs, where it listens, where its logs are')
  .option('--json', 'for programs')
  .action((options: { json?: true }) => {
    const now = status(instance());
    if (options.json) return print(JSON.stringify(now, null, 2));
    if (!now.subnet) return print(`lab ${now.key}: down`);
    print(`lab ${now.key}: ${now.up ? 'up' : 'incomplete: scripts/lab up'}; state ${now.state}`);
    print(`mirror    ${now.mirror.address}  ${now.mirror.running ? 'running' : 'off'}; ${now.mirror.name} for the client`);
    for (const [host, address] of Object.entries(now.upstream.addresses ?? {})) {
      print(`upstream  ${address}  ${!now.upstream.running || now.upstream.down.includes(host) ? 'down' : 'running'}; ${host}`);
    }
    print(`client    ${now.client.address}`);
  });

program
  .command('ssh <host> [command...]')
  .description('a shell or a command on mirror (over SSH), upstream or client (in their network namespace)')
  .passThroughOptions()
  .action((host: string, command: string[]) => {
    const lab = instance();
    const addresses = requireUp(lab);
    if (host === 'mirror') return exec([...sshArguments(lab, addresses), ...(command.length === 0 ? ['-t'] : []), ...command]);
    if (host !== 'upstream' && host !== 'client')
      throw usageError(`${JSON.stringify(host)} is no host of the lab`, 'One of: mirror, upstream, client.');
    return exec(['ip', 'netns', 'exec', lab.namespaces[host], ...(command.length > 0 ? command : [process.env['SHELL'] ?? 'bash'])]);
  });

program
  .command('dnf [args...]')
  .description('dnf on the client host, with only the given repositories, in an empty root')
  .option('--repo-file <url or path>', 'a .repo file; repeatable', (value: string, all: string[]) => [...all, value], [])
  .option('--installroot <directory>', 'keep what is installed there (default: a fresh root, removed afterwards)')
  .passThroughOptions()
  .action((args: string[], options: { repoFile: string[]; installroot?: string }) => {
    const lab = instance();
    requireUp(lab);
    process.exitCode = dnf(lab, caCertificate(lab), options, args);
  });

program
  .command('url [path]')
  .description('the base URL of the mirror, for programs on this machine')
  .action((path: string | undefined) => print(`http://${requireUp(instance()).mirror}/${(path ?? '').replace(/^\/+/, '')}`));

program
  .command('env')
  .description('what a deploy to the mirror host needs: eval "$(scripts/lab env)"')
  .option('--json', 'for programs')
  .action((options: { json?: true }) => {
    const variables = environment(instance(), process.env);
    if (options.json) return print(JSON.stringify(variables, null, 2));
    for (const [name, value] of Object.entries(variables)) print(`export ${name}='${value.replaceAll("'", "'\\''")}'`);
  });

program
  .command('reset <host>')
  .description('throw the mirror host away and boot a bare one, with the same address and SSH host key')
  .option('--keep-disk', 'keep the content disk (/srv/mirror): only the system is lost')
  .action((host: string, options: { keepDisk?: true }) => {
    if (host !== 'mirror')
      throw usageError(`${JSON.stringify(host)} cannot be reset`, 'Only mirror can; the upstreams have: scripts/lab upstream restore');
    return locked((lab) => resetMirror(lab, options.keepDisk ?? false));
  });

program
  .command('power <off|on|cycle>')
  .description('pull the plug of the mirror host, without a word to it; plug it in again')
  .action((what: string) => {
    if (!['off', 'on', 'cycle'].includes(what)) throw usageError(`${JSON.stringify(what)} is not possible`, 'One of: off, on, cycle.');
    return locked(async (lab) => {
      const addresses = requireUp(lab);
      if (what !== 'on') await mirrorOff(lab);
      if (what !== 'off') await mirrorUp(lab, addresses, caCertificate(lab));
    });
  });

program
  .command('acme <on|off>')
  .description(
    'an ACME server that issues certificates for the mirror; "on" prints its directory, and its own certificate is of the lab\'s CA',
  )
  .action((what: string) => {
    if (what !== 'on' && what !== 'off') throw usageError(`${JSON.stringify(what)} is not possible`, 'One of: on, off.');
    return locked(async (lab) => {
      const addresses = requireUp(lab);
      if (what === 'on') print(await acmeUp(lab, addresses));
      else await acmeDown(lab);
    });
  });

const upstream = program.command('upstream').description('what the upstreams serve');
/** A change of content, with the lab up. */
const changed = (work: (lab: Instance) => string | void | Promise<string | void>): Promise<void> =>
  locked(async (lab) => {
    requireUp(lab);
    const said = await work(lab);
    if (said) print(said);
  });

upstream
  .command('list')
  .description('the repositories')
  .option('--json', 'for programs')
  .action((options: { json?: true }) => {
    if (options.json) return print(JSON.stringify(UPSTREAMS, null, 2));
    for (const row of UPSTREAMS) print(`${row.name.padEnd(26)} ${row.url}  metadata signature: ${row.metadata}; ${row.key}`);
  });
for (const [command, description] of [
  ['add', 'another package'],
  ['update', 'another version of a package, beside the old one'],
] as const) {
  upstream
    .command(`${command} <repository> <name> <version>`)
    .description(`${description}; the metadata is made and signed again`)
    .option('--release <release>', 'the release of the package', '1.el7')
    .action((repository: string, name: string, version: string, options: { release: string }) =>
      changed(async (lab) => (await contentAdd(lab, upstreamNamed(repository), name, version, options.release)).join('\n')),
    );
}
upstream
  .command('provide <repository> <file...>')
  .description('packages by their file names, as a list names them; those that are there stay as they are')
  .action((repository: string, files: string[]) =>
    changed(async (lab) => (await contentProvide(lab, upstreamNamed(repository), files)).join('\n')),
  );
upstream
  .command('drop <repository> <name>')
  .description('all versions of a package')
  .action((repository: string, name: string) =>
    changed(async (lab) => (await contentDrop(lab, upstreamNamed(repository), name)).join('\n')),
  );
upstream
  .command('corrupt <repository> <file-or-package>')
  .description('flip a byte of a file: its size stays')
  .action((repository: string, what: string) => changed((lab) => contentCorrupt(lab, upstreamNamed(repository), what)));
upstream
  .command('rollback <repository>')
  .description('serve what was served before the last change')
  .action((repository: string) => changed((lab) => contentRollback(lab, upstreamNamed(repository))));
/** What a program needs to find a list set. */
const described = (places: ListSetPlaces): string => JSON.stringify(places, null, 2);
upstream
  .command('list-set <directory>')
  .description('also what the lists and yum.repos.d of a StarlingX release name, as small packages and files; until "restore"')
  .option('--only-build', 'make it in the cache and say where, for use without the lab')
  .action((directory: string, options: { onlyBuild?: true }) =>
    options.onlyBuild
      ? listSetContent(cache, directory).then((places) => print(described(places)))
      : changed(async (lab) => described(await listSetUp(lab, directory))),
  );
upstream
  .command('down <host>')
  .description('refuse connections; "all" for every host')
  .action((host: string) => changed((lab) => setHosts(lab, requireUp(lab), host, false)));
upstream
  .command('up <host>')
  .description('answer again; "all" for every host')
  .action((host: string) => changed((lab) => setHosts(lab, requireUp(lab), host, true)));
upstream
  .command('restore')
  .description('every package as it was at first; what was changed gets a new revision')
  .action(() =>
    changed(async (lab) => {
      await contentRestore(lab);
      await setHosts(lab, requireUp(lab), 'all', true);
    }),
  );

/** Hands the terminal over; the exit code becomes ours. */
function exec(command: readonly string[]): void {
  process.exitCode = spawnSync(command[0] as string, command.slice(1), { stdio: 'inherit' }).status ?? 1;
}

program.parseAsync().catch((error: unknown) => {
  if (error instanceof MirrorError) {
    process.stderr.write(`lab: ${error.describe()}\n`);
    process.exitCode = error.exitCode;
  } else if (error instanceof Error && 'exitCode' in error && 'code' in error && String(error.code).startsWith('commander.')) {
    process.exitCode = error.exitCode === 0 ? 0 : ExitCode.usage;
  } else {
    process.stderr.write(`lab: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = ExitCode.internal;
  }
});
