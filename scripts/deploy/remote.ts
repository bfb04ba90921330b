import { randomBytes } from 'node:crypto';
import { ExitCode, MirrorError } from '../../desired-state/errors';
import { ServerPaths, type HostEvent } from '../../desired-state/model';
import { SERVER_PROGRAMS } from '../../desired-state/programs';
import type { Connection, ExecResult } from '../../transport/connection';
import type { Programs } from './inputs';

/** Exit codes of our shell scripts that no program uses. */
export const NODE_MISSING = 91;
export const PROGRAMS_MISSING = 92;

/** The digest and checksums go into shell scripts: nothing else than hex does. */
function hex(digest: string): string {
  if (!/^[0-9a-f]{16,64}$/.test(digest)) throw new Error('not a digest');
  return digest;
}

/** Runs `mirror-host activate` of the planned programs, if the server has them whole; else exits NODE_MISSING or PROGRAMS_MISSING. */
export function activateScript(programs: Programs): string {
  return [
    `cd ${ServerPaths.programs}/${hex(programs.digest)} 2>/dev/null || exit ${PROGRAMS_MISSING}`,
    `command -v node >/dev/null || exit ${NODE_MISSING}`,
    `printf "%s  %s\\n" ${checksums(programs)} | sha256sum -c --status || exit ${PROGRAMS_MISSING}`,
    'exec node mirror-host.cjs activate --json',
  ].join('; ');
}

/** Runs `mirror-host observe` of the planned programs, or of those that the server has. */
export function observeScript(programs: Programs): string {
  return [
    `p=${ServerPaths.programs}/${hex(programs.digest)}/mirror-host.cjs`,
    'test -f "$p" || p=/usr/local/sbin/mirror-host',
    `test -f "$p" || exit ${PROGRAMS_MISSING}`,
    `command -v node >/dev/null || exit ${NODE_MISSING}`,
    'exec node "$p" observe --json',
  ].join('; ');
}

/** Installs Debian's Node where it is missing or older than 18. Read by `sh -s`. */
export const NODE_SCRIPT = `set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
if command -v node >/dev/null 2>&1 && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ]; then exit 0; fi
if ! command -v apt-get >/dev/null 2>&1; then echo "E: there is no apt-get: this is not Debian" >&2; exit 1; fi
echo "installing nodejs and ca-certificates (apt-get update)"
apt-get -q -o DPkg::Lock::Timeout=120 update >/dev/null
echo "installing nodejs and ca-certificates (apt-get install)"
apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends install nodejs ca-certificates >/dev/null
if ! command -v node >/dev/null 2>&1; then echo "E: nodejs was not installed" >&2; exit 1; fi
version=$(node -p 'process.versions.node')
if [ "\${version%%.*}" -lt 18 ]; then echo "E: this distribution has Node $version, the programs need 18 or later" >&2; exit 1; fi
echo "node $version is ready"
`;

/** Makes the server able to run our programs: Node, then the programs. */
export async function bootstrapServer(connection: Connection, programs: Programs, tell: (text: string) => void): Promise<void> {
  const node = await connection.runAsRoot('sh -s', { stdin: NODE_SCRIPT, onStdoutLine: tell });
  if (node.exitCode !== 0) {
    throw new MirrorError({
      code: 'NODE_NOT_INSTALLED',
      message: `Node cannot be installed on ${connection.endpoint.address}: ${complaint(node)}`,
      remedy:
        'Check the server\'s network, DNS and /etc/apt/sources.list (run "apt-get update" there); or install Node 18 or later by hand.',
      exitCode: ExitCode.environment,
    });
  }
  await uploadPrograms(connection, programs, tell);
}

async function uploadPrograms(connection: Connection, programs: Programs, tell: (text: string) => void): Promise<void> {
  const size = SERVER_PROGRAMS.reduce((sum, name) => sum + programs[name].content.length, 0);
  tell(`uploading the server programs ${programs.digest.slice(0, 12)} (${Math.ceil(size / 1024)} KiB)`);
  const base = ServerPaths.programs;
  const upload = `${base}/.upload-${hex(randomBytes(8).toString('hex'))}`;
  const sent = await Promise.all(
    SERVER_PROGRAMS.map((name) =>
      connection.runAsRoot(`umask 022 && mkdir -p ${upload} && cat > ${upload}/${name}`, { stdin: programs[name].content }),
    ),
  );
  const target = `${base}/${hex(programs.digest)}`;
  // The directory is complete before it has its name; one that is damaged gets its files replaced.
  const finish = [
    `cd ${upload} && printf "%s  %s\\n" ${checksums(programs)} | sha256sum -c --quiet && chmod 755 ${SERVER_PROGRAMS.join(' ')} && sync -f .`,
    `mkdir -p ${target} && mv -f ${SERVER_PROGRAMS.join(' ')} ${target}/ && cd / && rmdir ${upload}`,
  ].join(' && ');
  const cleanUp = `s=$?; rm -rf ${upload}; exit $s`;
  const finished = await connection.runAsRoot(`(${finish}) || { ${cleanUp}; }`);
  const failed = [...sent, finished].find((result) => result.exitCode !== 0);
  if (failed === undefined) return;
  throw new MirrorError({
    code: 'UPLOAD_FAILED',
    message: `the server programs did not arrive whole in ${base} on ${connection.endpoint.address}: ${complaint(failed)}`,
    remedy: 'Check the free space there (df -h /usr/local), then deploy again.',
    exitCode: ExitCode.environment,
  });
}

function checksums(programs: Programs): string {
  return SERVER_PROGRAMS.map((name) => `${hex(programs[name].sha256)} ${name}`).join(' ');
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
