/** What is killed: publishes in a hosted component. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { CampaignError } from '../errors';
import type { Ground } from '../sync/ground';
import { endedAs } from '../sync/judge';
import type { Mirror } from '../sync/mirror';
import { clockAt } from '../sync/strike';

export const PUBLISH_CASES = ['first publish', 'one more', 'groups'] as const;
export type PublishCaseName = (typeof PUBLISH_CASES)[number];

export const CODENAME = 'acme/mos7.0-centos6';
export const COMPONENT = `${CODENAME}/updates`;

/** A mirror that is saved under the name, and the command that is struck. */
export interface PublishCase {
  readonly name: PublishCaseName;
  readonly command: readonly string[];
  readonly clock: Date;
}

/** Declares the component, prepares it, and saves what each case begins with. */
export async function publishCases({ pool, keys }: Ground, mirror: Mirror): Promise<PublishCase[]> {
  const start = Math.ceil(Date.now() / 1000) * 1000;
  const clock = (hour: number): Date => new Date(start + hour * 3600_000);
  const write = (path: string, text: string): string => {
    const file = join(mirror.configuration, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  };
  write('owners/acme/key.asc', keys.upstream.publicKey);
  const definition = {
    kind: 'codename',
    id: CODENAME,
    owner: 'acme',
    release: '7.0',
    distribution: 'centos',
    version: '6',
    publicPath: 'acme/centos/mos7.0-centos6',
    components: ['updates'],
    architectures: ['x86_64'],
    keyFile: 'RPM-GPG-KEY-mos7.0',
    keys: [{ file: 'owners/acme/key.asc', fingerprint: keys.upstream.fingerprint }],
  };
  write(`definitions/codenames/${CODENAME}.yaml`, stringify(definition));
  const comps = write(
    'comps.xml',
    '<comps><group><id>all</id><name>All</name><packagelist><packagereq type="mandatory">alpha</packagereq></packagelist></group></comps>\n',
  );
  const files = (version: number): string[] => pool.filter((one) => one.version === version).map(({ path }) => path);
  const run = async (hour: number, ...command: string[]): Promise<void> => {
    const ended = await mirror.start({ command, env: clockAt(clock(hour)) }).done;
    if (ended.code !== 0)
      throw new CampaignError(`mirrorctl ${command.join(' ')} ended with ${endedAs(ended)}: ${ended.stdout}${ended.stderr}`);
  };
  const cases: PublishCase[] = [];
  const add = async (name: PublishCaseName, hour: number, command: readonly string[]): Promise<void> => {
    await mirror.save(name);
    cases.push({ name, command, clock: clock(hour) });
  };
  await mirror.clear();
  mirror.prepare();
  await run(0, 'prepare');
  await add('first publish', 1, ['publish', COMPONENT, ...files(1), '--json']);
  await run(1, 'publish', COMPONENT, ...files(1));
  await add('one more', 2, ['publish', COMPONENT, files(2)[0] as string, '--json']);
  await add('groups', 2, ['publish', COMPONENT, '--comps', comps, '--json']);
  return cases;
}
