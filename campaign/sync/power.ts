/**
 * Power losses: the storage root and the state are on file systems of their own in loop-mounted images, ext4 and XFS, which are shut down while a
 * sync runs. What was not on disk by then is lost; mounting replays the journal.
 */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { must, start } from '../host';
import type { Ground } from './ground';
import { endedAs, judgeNext, judgeStruck, type Outcome, type Round } from './judge';
import type { View } from './mirror';
import { Scene } from './scene';
import { Striker } from './strike';
import type { Call } from './trace';
import type { Ended, Workshop } from './workshop';

export const FILE_SYSTEMS = ['ext4', 'xfs'] as const;
export type FileSystem = (typeof FILE_SYSTEMS)[number];
/** Where the state is: on the same file system, or on one of its own that loses power too, or that was flushed. */
const LAYOUTS = ['together', 'apart', 'state survives'] as const;
type Layout = (typeof LAYOUTS)[number];
const SIZE = '320M';

export interface PowerOptions {
  readonly view: View;
  readonly losses: number;
  readonly report: (outcome: Outcome) => void;
}

export async function powerLosses(ground: Ground, { view, losses, report }: PowerOptions): Promise<void> {
  const series = FILE_SYSTEMS.flatMap((fileSystem) => LAYOUTS.map((layout) => ({ fileSystem, layout })));
  for (const [index, { fileSystem, layout }] of series.entries()) {
    const share = Math.floor(((index + 1) * losses) / series.length) - Math.floor((index * losses) / series.length);
    if (share > 0) await lossesOf(ground, fileSystem, layout, { view, losses: share, report });
  }
}

/** One image, mounted by a loop device that goes with the mount. */
class Disk {
  private readonly image: string;

  constructor(
    private readonly workshop: Workshop,
    private readonly fileSystem: FileSystem,
    name: string,
    readonly target: string,
  ) {
    this.image = workshop.path(`${name}.img`);
  }

  async make(): Promise<void> {
    await must('rm', ['-f', this.image]);
    await must('truncate', ['-s', SIZE, this.image]);
    await must(`mkfs.${this.fileSystem}`, ['-q', this.image]);
    await this.mount();
  }

  mount(): Promise<void> {
    return this.workshop.mount(this.target, '-o', 'loop', this.image);
  }

  unmount(): Promise<void> {
    return this.workshop.unmount(this.target);
  }

  /** From here on nothing reaches the disk. `flush`: the log does, and nothing else. */
  async shutDown(flush: boolean): Promise<void> {
    await must('xfs_io', ['-x', '-c', flush ? 'shutdown -f' : 'shutdown', this.target]);
  }
}

async function lossesOf(ground: Ground, fileSystem: FileSystem, layout: Layout, { view, losses, report }: PowerOptions): Promise<void> {
  const { workshop } = ground;
  const scene = new Scene(ground, view);
  const { mirror } = scene;
  const disks =
    layout === 'together'
      ? [new Disk(workshop, fileSystem, 'disk', ground.disk)]
      : [new Disk(workshop, fileSystem, 'disk', mirror.root), new Disk(workshop, fileSystem, 'state', mirror.state)];
  for (const disk of disks) await disk.make();
  try {
    await scene.begin();
    let usualMs = 0;
    const striker = new Striker(workshop, mirror, ground.disk, new Date());
    let calls: readonly Call[] = [];
    for (let number = 0; number < 4; number++) {
      const round = await scene.offer(number);
      if (number === 2) ({ calls } = await striker.record());
      const from = Date.now();
      await scene.undisturbed(round);
      usualMs = Date.now() - from;
    }
    for (let loss = 0; loss < losses; loss++) {
      const started = Date.now();
      const round = await scene.offer(4 + loss);
      const flush = loss % 2 === 1;
      const cut = async (): Promise<void> => {
        if (layout === 'state survives') await must('sync', ['-f', mirror.state]);
        for (const disk of layout === 'state survives' ? disks.slice(0, 1) : disks) await disk.shutDown(flush);
      };
      const struck =
        loss % 4 < 2 ? await atTime(round, ground.random() * usualMs * 1.1, cut) : await atCall(striker, calls, ground.random(), cut);
      for (const disk of [...disks].reverse()) await disk.unmount();
      for (const disk of disks) await disk.mount();
      const { after, failures } = await judgeStruck(round, struck.ended, 'published only');
      failures.push(...(await judgeNext(round)), ...(await scene.settle(round)));
      report({
        part: 'power',
        view,
        what: `${fileSystem}, ${layout === 'together' ? 'state on it' : layout === 'apart' ? 'state on another one' : 'state survives'}, ${flush ? 'log flushed' : 'log lost'}, ${struck.where}`,
        after,
        ended: endedAs(struck.ended),
        failures,
        missed: false,
        seconds: (Date.now() - started) / 1000,
      });
      ground.upstream.forget(3);
    }
  } finally {
    for (const disk of [...disks].reverse()) await disk.unmount();
  }
}

interface Cut {
  readonly ended: Ended;
  readonly where: string;
}

async function atTime({ mirror }: Round, ms: number, cut: () => Promise<void>): Promise<Cut> {
  const running = mirror.start();
  const ended = await Promise.race([sleep(ms), running.done]);
  await cut();
  running.kill();
  // What ended before the power went is judged by its exit code; what was killed after it, as killed.
  return {
    ended: ended ?? { ...(await running.done), code: null, signal: 'SIGKILL' },
    where: ended === undefined ? `after ${Math.round(ms)} ms` : 'when it had ended',
  };
}

/** The run is stopped at a call, the power goes, and the run never goes on. */
async function atCall(striker: Striker, calls: readonly Call[], random: number, cut: () => Promise<void>): Promise<Cut> {
  const call = calls[Math.floor(random * calls.length)];
  const [aim] = call === undefined ? [] : striker.aims(call, calls);
  if (call === undefined || aim === undefined) throw new Error('nothing was recorded');
  // Paths of another round are other ones: the number of a call is what can be foretold.
  const running = striker.start(call, { path: undefined, when: aim.path === undefined ? aim.when : call.index }, 'signal=SIGSTOP', false);
  let ended: Ended | undefined;
  void running.done.then((value) => (ended = value));
  while (ended === undefined && !(existsSync(striker.traceFile) && /stopped by SIGSTOP/.test(readFileSync(striker.traceFile, 'utf8'))))
    await sleep(3);
  const before = ended;
  await cut();
  running.kill();
  const killed = await running.done;
  return before === undefined
    ? { ended: { ...killed, code: null, signal: 'SIGKILL' }, where: `at ${call.by.split(' ')[0]} ${call.name} ${call.index}` }
    : { ended: before, where: 'when it had ended' };
}

/** False where the machine can't do it: no loop devices. */
export async function canLoop(): Promise<boolean> {
  return (await start('losetup', ['-f']).ended).status === 0;
}
