/**
 * The mirror that the campaign deploys: small, so that every call of an activation can be struck. Two desired states that differ in a customer, a
 * schedule and a repository: going from one to the other adds, changes and removes, and takes the same calls whichever way.
 *
 * CAMPAIGN_STATE: `a` or `b`, then words that make a variant: `account` (a deploy account), `locked-out` (whose keys nobody has).
 */
import { App } from 'cdktf';
import {
  Access,
  Customer,
  Distribution,
  MirrorServer,
  MirrorStack,
  MosCodename,
  NginxVhost,
  PublicKey,
  RpmRepository,
  Secret,
  State,
  SyncSchedule,
  Trust,
  View,
} from '../constructs';

const env = (name: string, fallback: string): string => process.env[name] ?? fallback;
const words = env('CAMPAIGN_STATE', 'a').split(' ');
const key = PublicKey.from(env('MIRROR_KEYS', 'keys'));

const app = new App();
const stack = new MirrorStack(app, 'mirror', { state: State.from(env('MIRROR_STATE', 'terraform.campaign.tfstate')) });
const account = words.includes('account');
const server = new MirrorServer(stack, 'server', {
  address: env('MIRROR_ADDRESS', 'mirror.example.org'),
  port: Number(env('MIRROR_PORT', '22')),
  user: account ? 'deploy' : 'root',
  ...(account ? { bootstrapUser: 'root', authorizedKeys: [env('CAMPAIGN_AUTHORIZED_KEY', '')] } : {}),
  hostKey: env('MIRROR_HOST_KEY', 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'),
  signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY'),
  confirmWithinSeconds: 5,
});
new NginxVhost(server, 'vhost', { serverName: 'mirror.example.org' });

// A day that is never today: no timer may fire meanwhile.
const days = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
const day = days[(new Date().getUTCDay() + 2) % 7] ?? 'Mon';
const b = words[0] === 'b';
const trust = Trust.signedPackages([key('RPM-GPG-KEY-EPEL-7')]);
new RpmRepository(server, 'epel-7', {
  publishedAs: 'https://dl.fedoraproject.org/pub/epel/7/x86_64/',
  fetchFrom: ['https://archives.fedoraproject.org/pub/archive/epel/7/x86_64/'],
  trust,
  view: View.VERBATIM,
  schedule: SyncSchedule.weekly({ day, hour: b ? 13 : 12 }),
});
const section = b ? 'updates' : 'extras';
new RpmRepository(server, `centos-7-${section}`, {
  publishedAs: `http://mirror.centos.org/centos/7/${section}/x86_64/`,
  fetchFrom: [`https://vault.centos.org/7.9.2009/${section}/x86_64/`],
  trust: Trust.signedMetadata([key('RPM-GPG-KEY-CentOS-7')]),
  view: View.VERBATIM,
  schedule: SyncSchedule.weekly({ day, hour: 14 }),
});

const codename = { release: '7.0', distribution: Distribution.CENTOS, version: '6' };
new MosCodename(server, 'mos7.0-centos6', codename);
const customer = new Customer(server, b ? 'beta' : 'alpha', { access: Access.public() });
new MosCodename(customer, 'mos7.0-centos6', codename);

app.synth();
