/**
 * The site of a new generation, served once before it is switched to: by an nginx of its own, in namespaces where nobody but us can reach it.
 * Clients never meet a vhost that takes no connection, or answers nothing.
 */
import { ExitCode, MirrorError } from '../desired-state/errors';
import type { DesiredState } from '../desired-state/model';
import { judgeAnswer, type Answer } from './nginx';
import { run } from './run';

/** How long one answer may take. */
const SECONDS = 3;
/** Exit code of the script: it could not be tried here. */
const NOT_HERE = 90;
const BETWEEN = '\n--mirror-rehearsal--\n';

/**
 * Its arguments: candidate, current, port, server name. `/run` and the logs are its own, so that nginx's process file and log stay whose they are.
 * Loopback is brought up by ioctl, since iproute2 may not be installed; perl-base and bash are essential packages of Debian.
 */
const SCRIPT = `
mount --bind "$1" "$2" && mount -t tmpfs -o size=4m tmpfs /run && mount -t tmpfs -o size=4m tmpfs /var/log/nginx || exit ${NOT_HERE}
perl -e '$up = pack("a16s", "lo", 0x41); socket(S, 2, 2, 0) && ioctl(S, 0x8914, $up) or exit 1' || exit ${NOT_HERE}
nginx -q >/dev/null 2>&1 || exit ${NOT_HERE}
ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$2" || { echo 'HTTP/1.0 000 refused'; return; }
  printf 'GET %s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' "$1" "$3" >&3
  timeout ${SECONDS} head -c 4096 <&3
  [ $? = 124 ] && echo 'HTTP/1.0 000 silent'
  exec 3>&-
}
ask /.mirror/generation "$3" "$4"
printf '${BETWEEN.replace(/\n/g, '\\n')}'
ask / "$3" "$4"
`;

/**
 * Serves `candidate` in place of `current` out of everybody's reach, and asks it for its number. Throws MirrorError (invalid) when it gives no right
 * answer. Where it cannot be tried (another site of the server needs the network, say), the probe after the switch decides.
 *
 * @param current what `/etc/mirror/current` leads to
 */
export async function rehearse(candidate: string, current: string, target: DesiredState['probe'], generation: number): Promise<void> {
  const unshare = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
  const result = await run('unshare', [...unshare, 'bash', '-c', SCRIPT, 'sh', candidate, current, String(target.port), target.serverName]);
  const fault = result.exitCode === NOT_HERE ? undefined : faultOf(result.stdout, generation);
  if (fault === undefined) return;
  throw new MirrorError({
    code: 'REHEARSAL_FAILED',
    message: `nginx accepts generation ${generation}, but the site would not answer at http://127.0.0.1:${target.port} (Host: ${target.serverName}): ${fault}`,
    remedy:
      'Check that the vhost listens on this port for this name and includes nginx/generation.conf. Nothing was changed: the previous generation serves.',
    exitCode: ExitCode.invalid,
  });
}

/** What is wrong with the two answers, or undefined; also when there are none to judge by. Pure. */
export function faultOf(printed: string, generation: number): string | undefined {
  const [marker, root] = printed.split(BETWEEN);
  if (marker === undefined || root === undefined) return undefined;
  const first = parseAnswer(marker);
  if (judgeAnswer(first, generation) !== 'right') return `/.mirror/generation ${describe(first)}`;
  const second = parseAnswer(root);
  return second.status === 0 || second.status >= 500 ? `/ ${describe(second)}` : undefined;
}

/** An answer as it came over the wire. Pure. */
export function parseAnswer(text: string): Answer {
  const match = /^HTTP\/1\.[01] (\d{3})[^\n]*\n?/.exec(text);
  if (match === null) return { status: 0, body: text === '' ? 'the connection was closed without an answer' : 'what came is not HTTP' };
  const status = Number(match[1]);
  if (status === 0) return { status, body: text.includes('silent') ? `no answer within ${SECONDS} s` : 'nothing listens there' };
  return { status, body: text.split('\r\n\r\n').slice(1).join('\r\n\r\n') };
}

function describe(answer: Answer): string {
  return answer.status === 0
    ? `gets no answer (${answer.body})`
    : `gets status ${answer.status}, ${JSON.stringify(answer.body.slice(0, 60))}`;
}
