/** An ACME server (Pebble), beside the client host, which knows the mirror by its name: it issues what it finds proven over plain HTTP. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answers } from './apt';
import { certificateFor } from './certificates';
import { processesIn, removeGroup, startIn } from './cgroups';
import type { Addresses, Instance } from './instance';
import { labError } from './shell';

const PORT = 14000;
const GROUP = 'acme';
/** As scripts/lib/prerequisites.sh builds it. */
const PROGRAM = 'bin/pebble-2.7.0';

/** Starts it where it does not run. Returns the URL of its directory. */
export async function acmeUp(instance: Instance, addresses: Addresses): Promise<string> {
  const url = `https://${addresses.client}:${PORT}/dir`;
  if (processesIn(instance.key, GROUP).length > 0) return url;
  const program = join(instance.cache, PROGRAM);
  if (!existsSync(program))
    throw labError('PEBBLE', `${program} is missing`, 'It is built by: . scripts/lib/prerequisites.sh; mirror_pebble');
  const directory = join(instance.state, 'acme');
  mkdirSync(directory, { recursive: true });
  const certificate = certificateFor(instance, 'acme', `IP:${addresses.client}`);
  const pebble = {
    listenAddress: `${addresses.client}:${PORT}`,
    certificate,
    privateKey: certificate.replace(/\.crt$/, '.key'),
    httpPort: 80,
    tlsPort: 443,
    certificateValidityPeriod: 90 * 24 * 3600,
  };
  const configuration = join(directory, 'pebble.json');
  writeFileSync(configuration, JSON.stringify({ pebble }, null, 2));
  // It refuses one nonce in twenty by default, to try its clients: certbot is not what is tested.
  const environment = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' };
  const inside = ['ip', 'netns', 'exec', instance.namespaces.client];
  await startIn(instance.key, GROUP, [...inside, program, '-config', configuration], join(instance.state, 'log/acme.log'), environment);
  await answers(`${addresses.client}:${PORT}`, inside);
  return url;
}

export async function acmeDown(instance: Instance): Promise<void> {
  await removeGroup(instance.key, GROUP);
  rmSync(join(instance.state, 'acme'), { recursive: true, force: true });
}
