/** SIGKILL of mirrorctl with all that it started, at random times, while clients poll. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Clients, sightingProblems, type Sightings } from './clients';
import type { Ground } from './ground';
import { endedAs, judgeNext, judgeStruck, type Outcome } from './judge';
import type { View } from './mirror';
import { Scene } from './scene';

export interface RandomOptions {
  readonly view: View;
  readonly kills: number;
  readonly report: (outcome: Outcome) => void;
}

/** In how many of the rounds the next run is killed too. */
const TWICE = 0.2;
/** How many files of earlier rounds are looked for after each fault. */
const KEPT_FILES = 300;

export async function randomKills(ground: Ground, { view, kills, report }: RandomOptions): Promise<Sightings> {
  const scene = new Scene(ground, view);
  const { mirror } = scene;
  await scene.begin();
  const usual: number[] = [];
  for (let number = 0; number < 4; number++) {
    const round = await scene.offer(number);
    const from = Date.now();
    await scene.undisturbed(round);
    usual.push(Date.now() - from);
  }
  // A sync takes so long, the start of Node included.
  const usualMs = [...usual].sort((a, b) => a - b)[1] ?? 500;
  const clients = new Clients({
    url: mirror.url(ground.site.mirror),
    signer: mirror.signer,
    signed: true,
    directory: ground.workshop.path('clients', 'random', view),
    now: () => Date.now() / 1000,
    maxAgeSeconds: 49 * 3600,
    random: ground.random,
    clients: 3,
    pauseMs: 20,
  });
  clients.start();
  let number = 4;
  for (let done = 0; done < kills;) {
    const round = await scene.offer(number++);
    const strikes = ground.random() < TWICE && done + 1 < kills ? 2 : 1;
    for (let strike = 1; strike <= strikes; strike++, done++) {
      const started = Date.now();
      const before = sightingProblems(clients.seen).join();
      const running = mirror.start();
      const after = ground.random() * usualMs * 1.1;
      await Promise.race([sleep(after), running.done]);
      running.kill();
      const ended = await running.done;
      const verdict = await judgeStruck(round, ended, 'store too');
      const failures = [...verdict.failures, ...(strike === strikes ? await judgeNext(round) : [])];
      if (strike === strikes) failures.push(...(await scene.settle(round)));
      const saw = sightingProblems(clients.seen).join();
      if (saw !== before) failures.push(saw);
      report({
        part: 'random',
        view,
        what: `after ${Math.round(after)} of about ${usualMs} ms${strikes > 1 ? `, ${strike} in a row` : ''}`,
        after: verdict.after,
        ended: endedAs(ended),
        failures,
        missed: false,
        seconds: (Date.now() - started) / 1000,
      });
    }
    scene.trim(KEPT_FILES);
    ground.upstream.forget(3);
  }
  await clients.close();
  return clients.seen;
}
