/** `npm run campaign -- publish`: SIGKILL at each call by which a publish changes something, and at random times. */
import { killCampaign, type KillOptions } from '../kills';
import { publishCases, type PublishCaseName } from './cases';
import { judgeKilled, judgeNext, type State, stateOf } from './judge';

export type PublishOptions = KillOptions<PublishCaseName>;

/** Runs the campaign in a sandbox. Returns the exit code. */
export function publish(options: PublishOptions): Promise<number> {
  return killCampaign<PublishCaseName, State>('publish', options, async (ground, mirror) =>
    (await publishCases(ground, mirror)).map((one) => ({
      ...one,
      setBack: () => mirror.restore(one.name),
      state: () => stateOf(mirror),
      judgeKilled: (reference, struck) => judgeKilled(mirror, reference, struck),
      judgeNext: (reference) => judgeNext(mirror, one, reference),
    })),
  );
}
