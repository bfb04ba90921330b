/** `npm run campaign -- retention`: SIGKILL at each call by which content leaves, comes back, is frozen or is repaired, and at random times. */
import { killCampaign, type KillOptions } from '../kills';
import { type CaseName, Life } from './cases';
import { judgeKilled, judgeNext, settle, type State, stateOf } from './judge';

export type RetentionOptions = KillOptions<CaseName>;

/** Runs the campaign in a sandbox. Returns the exit code. */
export function retention(options: RetentionOptions): Promise<number> {
  return killCampaign<CaseName, State>('retention', options, async (ground, mirror) => {
    const life = new Life(ground, mirror);
    return (await life.cases()).map((one) => ({
      ...one,
      setBack: async () => {
        await mirror.restore(one.name);
        life.declare(one.undeclared);
        life.release(one.name === 'release frozen');
      },
      state: () => stateOf(mirror),
      settle: () => settle(mirror, one.clock),
      judgeKilled: (reference, struck) => judgeKilled(mirror, one, reference, struck),
      judgeNext: (reference) => judgeNext(mirror, one, reference),
    }));
  });
}
