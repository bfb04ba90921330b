import { ExitCode, MirrorError } from '../../desired-state/errors';
import { ServerPaths, type HostEvent, type ProgramsRequest } from '../../desired-state/model';
import type { Connection, ExecResult } from '../../transport/connection';
import { runHostCommand } from './host-command';
import type { Programs } from './inputs';

/** The digest goes into a command line: nothing else than hex does. */
function hex(digest: string): string {
  if (!/^[0-9a-f]{64}$/.test(digest)) throw new Error('not a digest');
  return digest;
}

/** The mirror-host that a server was deployed with, whichever that is. */
export const INSTALLED_PROGRAM = '/usr/local/sbin/mirror-host';

/** The mirror-host of these programs, on the server. */
export function hostProgram(programs: Pick<Programs, 'digest'>): string {
  return `${ServerPaths.programs}/${hex(programs.digest)}/mirror-host.cjs`;
}

/** Installs Debian's Node where it is missing or older than 18. Read by `sh -s`. */
export const NODE_SCRIPT = `set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
if command -v node >/dev/null 2>&1 && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ]; then exit 0; fi
if ! command -v apt-get >/dev/null 2>&1; then echo "E: there is no apt-get: this is not Debian" >&2; exit 1; fi
echo "installing nodejs and ca-certificates (apt-get update)"
apt-get -q -o DPkg::Lock::Timeout=120 update >/dev/null
# Where the power failed during an earlier installation, apt refuses others until that one was brought to its end.
if [ -n "$(dpkg --audit)" ] || ls /var/lib/dpkg/updates | grep -q '[0-9]'; then
  dpkg --force-confold --configure -a >/dev/null 2>&1 || true
  half=$(dpkg-query -W -f '\${db:Status-Abbrev}|\${Package}\\n' | sed -n 's/^\\(.H.\\|..R\\)|//p')
  apt='apt-get -q -y -o DPkg::Lock::Timeout=120 --no-remove --no-install-recommends'
  [ -z "$half" ] || $apt --reinstall install $half >/dev/null 2>&1 || true
  $apt --fix-broken install >/dev/null 2>&1 || true
fi
echo "installing nodejs and ca-certificates (apt-get install)"
apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends install nodejs ca-certificates >/dev/null
if ! command -v node >/dev/null 2>&1; then echo "E: nodejs was not installed" >&2; exit 1; fi
version=$(node -p 'process.versions.node')
if [ "\${version%%.*}" -lt 18 ]; then echo "E: this distribution has Node $version, the programs need 18 or later" >&2; exit 1; fi
echo "node $version is ready"
`;

/** Runs the mirror-host that comes first on standard input, with the rest of it: for a server that has none. Pure. */
export function firstReceiveScript(programs: Programs): string {
  const length = programs['mirror-host.cjs'].content.length;
  return [
    'd=$(mktemp -d) || exit 1',
    `head -c ${length} > "$d/mirror-host.cjs" && node "$d/mirror-host.cjs" receive --json`,
    's=$?; rm -rf "$d"; exit $s',
  ].join('; ');
}

/**
 * Puts the programs on the server. One that was deployed to before receives them by its own mirror-host; another by a shell of root, which
 * installs Node first.
 *
 * @param rootShell a connection whose user may run a shell as root
 */
export async function installPrograms(
  connection: Connection,
  programs: Programs,
  rootShell: () => Promise<Connection>,
  tell: (text: string) => void,
): Promise<void> {
  const request: ProgramsRequest = {
    digest: programs.digest,
    programs: {
      'mirror-host.cjs': programs['mirror-host.cjs'].content.toString('base64'),
      'mirrorctl.cjs': programs['mirrorctl.cjs'].content.toString('base64'),
      'mirrorctl-body.cjs': programs['mirrorctl-body.cjs'].content.toString('base64'),
    },
  };
  const payload = JSON.stringify(request);
  const received = await runHostCommand(connection, [INSTALLED_PROGRAM, 'receive', '--json'], payload, tell);
  if ('result' in received) return tell(`the server programs ${programs.digest.slice(0, 12)} are installed`);

  const root = await rootShell();
  const node = await root.runAsRoot('sh -s', { stdin: NODE_SCRIPT, onStdoutLine: tell });
  if (node.exitCode !== 0) {
    throw new MirrorError({
      code: 'NODE_NOT_INSTALLED',
      message: `Node cannot be installed on ${root.endpoint.address}: ${complaint(node)}`,
      remedy:
        'Check the server\'s network, DNS and /etc/apt/sources.list (run "apt-get update" there); or install Node 18 or later by hand.',
      exitCode: ExitCode.environment,
    });
  }
  tell(`uploading the server programs ${programs.digest.slice(0, 12)} (${Math.ceil(payload.length / 1024)} KiB)`);
  const input = Buffer.concat([programs['mirror-host.cjs'].content, Buffer.from(payload)]);
  const first = await runHostCommand(root, { rootScript: firstReceiveScript(programs) }, input, tell);
  if ('result' in first) return;
  throw new MirrorError({
    code: 'UPLOAD_FAILED',
    message: `the server programs did not arrive whole on ${root.endpoint.address}: ${first.unavailable}`,
    remedy: 'Check the free space there (df -h /tmp /usr/local), then deploy again.',
    exitCode: ExitCode.environment,
  });
}

/** What a script complained about: apt's own errors when there are any, else its last lines. Pure. */
export function complaint(result: Pick<ExecResult, 'stderr' | 'stdout' | 'exitCode'>): string {
  const lines = result.stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const apt = lines.filter((line) => line.startsWith('E:'));
  const chosen = apt.length > 0 ? apt.slice(0, 4) : lines.slice(-4);
  return chosen.length > 0 ? chosen.join('; ') : `exit code ${result.exitCode}`;
}

/** A line of mirror-host as an event, or undefined for noise (banners, shell start-up files). Pure. */
export function parseEvent(line: string): HostEvent | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const event = JSON.parse(line) as HostEvent;
    return ['progress', 'warning', 'error', 'result'].includes(event.event) ? event : undefined;
  } catch {
    return undefined;
  }
}
