/** Many publishes and many requests: what clients see that poll all the time, with fresh metadata and with metadata that is 49 hours old. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CampaignError } from '../errors';
import { Clients, sightingProblems, type Sightings } from './clients';
import { choice, type Ground } from './ground';
import { endedAs, type Outcome } from './judge';
import type { View } from './mirror';
import { Scene } from './scene';
import { clockAhead } from './strike';

export interface PollingOptions {
  readonly view: View;
  readonly publishes: number;
  readonly requests: number;
  readonly report: (outcome: Outcome) => void;
  readonly say: (text: string) => void;
}

/** Between two publishes on the mirror's clock: so that 49 hours are some fifty publishes. */
const STEP_SECONDS = 3600;
/** What a client may work with: dnf keeps metadata for 48 hours, and then takes its time. */
export const MAX_AGE_SECONDS = 49 * 3600;
/** Between two looks of one of the clients: some hundred requests to a publish, spread over all of it. */
const PAUSE_MS = 250;
/** A whole check of everything on disk, each so many publishes. */
const CHECK_EVERY = 50;

/** What polling showed. */
export interface Polled {
  readonly what: 'mirrorctl' | 'dnf reposync';
  readonly view: View;
  readonly publishes: number;
  readonly seconds: number;
  readonly seen: Sightings;
}

export async function polling(ground: Ground, { view, publishes, requests, report, say }: PollingOptions): Promise<Polled> {
  const scene = new Scene(ground, view);
  const { mirror } = scene;
  await scene.begin();
  let ahead = 0;
  const now = (): number => Date.now() / 1000 + ahead;
  const clients = new Clients({
    url: mirror.url(ground.site.mirror),
    signer: mirror.signer,
    signed: true,
    directory: ground.workshop.path('clients', 'polling', view),
    now,
    maxAgeSeconds: MAX_AGE_SECONDS,
    random: ground.random,
    clients: 4,
    pauseMs: PAUSE_MS,
  });
  const started = Date.now();
  for (let number = 0; number < publishes; number++) {
    const from = Date.now();
    ahead += STEP_SECONDS;
    const round = await scene.offer(number, Math.floor(now()) - 60);
    const before = sightingProblems(clients.seen).join();
    const ended = await mirror.sync(clockAhead(ahead));
    const failures: string[] = [];
    if (ended.code !== 0 || !ended.stdout.includes('"published"'))
      failures.push(`the run ended with ${endedAs(ended)}: ${`${ended.stdout}${ended.stderr}`.trim().slice(-500)}`);
    if (number === 0) clients.start();
    // Some looks at each publish, and in the end as many requests as were asked for.
    while (clients.seen.requests < (requests * (number + 1)) / publishes && clients.seen.broken < 100) await sleep(5);
    if (number % CHECK_EVERY === 0 || number === publishes - 1) {
      failures.push(...(await scene.settle(round)));
      say(
        `${view}: ${number + 1} of ${publishes} publishes, ${clients.seen.requests} requests, ${clients.seen.mismatches} looks between index and signature`,
      );
    }
    const saw = sightingProblems(clients.seen).join();
    if (saw !== before) failures.push(saw);
    ground.upstream.forget(3);
    report({
      part: 'polling',
      view,
      what: `publish ${number + 1}`,
      after: 'new',
      ended: endedAs(ended),
      failures,
      missed: false,
      seconds: (Date.now() - from) / 1000,
    });
  }
  await clients.close();
  return { what: 'mirrorctl', view, publishes, seconds: (Date.now() - started) / 1000, seen: clients.seen };
}

/** The same clients, served what `dnf reposync` keeps in a directory, which is what people have today. Nothing that they see is a failure of ours. */
export async function pollingReposync(
  ground: Ground,
  { publishes, requests, say }: Pick<PollingOptions, 'publishes' | 'requests' | 'say'>,
): Promise<Polled> {
  const { workshop, upstream, site, pool } = ground;
  const target = workshop.path('reposync');
  const home = workshop.path('reposync-home');
  mkdirSync(home);
  const configuration = workshop.path('reposync-home/dnf.conf');
  writeFileSync(configuration, '[main]\n');
  const clients = new Clients({
    url: `${site.plain}pool/`,
    signer: ground.keys.upstream,
    // It copies no signatures.
    signed: false,
    directory: workshop.path('clients', 'reposync'),
    now: () => Date.now() / 1000,
    maxAgeSeconds: MAX_AGE_SECONDS,
    random: ground.random,
    clients: 4,
    pauseMs: PAUSE_MS,
  });
  const started = Date.now();
  for (let number = 0; number < publishes; number++) {
    upstream.show(await upstream.make(choice(pool, number), Math.floor(Date.now() / 1000)));
    const { code, stdout, stderr } = await workshop.start(
      'dnf',
      [
        '--quiet', '-c', configuration, `--repofrompath=pool,${site.upstream}`, '--repo=pool', `--setopt=cachedir=${home}`, `--setopt=logdir=${home}`,
        `--setopt=persistdir=${home}`, '--setopt=pool.metadata_expire=0', '--setopt=pool.gpgcheck=0', `--installroot=${home}/root`, '--releasever=7',
        'reposync', '--download-metadata', '--delete', '--download-path', target,
      ],
      { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, LANG: 'C.UTF-8' } },
    ).done; // prettier-ignore
    if (code !== 0) throw new CampaignError(`dnf reposync ended with ${code}: ${stdout}${stderr}`);
    if (number === 0) clients.start();
    while (clients.seen.requests < (requests * (number + 1)) / publishes && clients.seen.broken + clients.seen.notFound < requests)
      await sleep(5);
    upstream.forget(3);
    if ((number + 1) % CHECK_EVERY === 0) say(`dnf reposync: ${number + 1} of ${publishes} publishes, ${clients.seen.requests} requests`);
  }
  await clients.close();
  return { what: 'dnf reposync', view: 'verbatim', publishes, seconds: (Date.now() - started) / 1000, seen: clients.seen };
}
