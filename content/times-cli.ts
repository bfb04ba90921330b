import { type Command, Option } from 'commander';
import { type GlobalOptions, usage, wholeSeconds } from './cli';

const EXAMPLES = `
Started by the socket mirror-time.socket when nginx asks; not by hand. It answers with X-Accel-Redirect, and reads nothing but names.

Examples:
  systemd-socket-activate -l /tmp/time.sock mirrorctl serve-times --idle 60   try it`;

/** The first descriptor that systemd hands to a service. */
const LISTENING = 3;

export function addTimesCommand(root: Command): void {
  root
    .command('serve-times')
    .description('tell nginx which snapshot a URL with a time (<path>/@2026-11-22/) means')
    .addOption(new Option('--idle <seconds>', 'end when nobody has asked for so long').default(180).argParser(wholeSeconds))
    .addHelpText('after', EXAMPLES)
    .action(async ({ idle }: { idle: number }) => {
      if (process.env.LISTEN_FDS !== '1') {
        throw usage('mirrorctl serve-times has no socket to listen on', 'It is started by systemd: systemctl start mirror-time.socket');
      }
      const { definitionsReader } = await import('./definitions');
      const { Layout } = await import('./layout');
      const { Times } = await import('./times');
      const { serveTimes } = await import('./times-server');
      const { configuration, state } = root.opts<GlobalOptions>();
      const times = new Times(
        ({ server, directory }) => new Layout(server.storageRoot, state, directory),
        definitionsReader(configuration),
        () => new Date(),
      );
      await serveTimes(times, LISTENING, idle);
    });
}
