/** A mirror with BENCH_REPOSITORIES repositories, for the deploy benchmark. */
import { App } from 'cdktf';
import { MirrorServer, MirrorStack, NginxVhost, PublicKey, RpmRepository, Secret, SyncSchedule, Trust, View } from '../../constructs';

const env = (name: string, fallback: string): string => process.env[name] ?? fallback;
const count = Number(env('BENCH_REPOSITORIES', '50'));
const trust = Trust.signedPackages([PublicKey.from('keys')('RPM-GPG-KEY-EPEL-7')]);

const app = new App();
const stack = new MirrorStack(app, 'bench');
const server = new MirrorServer(stack, 'server', {
  address: env('MIRROR_ADDRESS', 'mirror.example.org'),
  port: Number(env('MIRROR_PORT', '22')),
  user: env('MIRROR_USER', 'root'),
  hostKey: env('MIRROR_HOST_KEY', 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'),
  signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY'),
});
new NginxVhost(server, 'vhost', { serverName: 'mirror.example.org' });

// A day that is never today: no timer may fire during a measurement.
const days = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
const schedule = SyncSchedule.weekly({ day: days[(new Date().getUTCDay() + 2) % 7] ?? 'Mon', hour: 12 });
for (let i = 1; i <= count; i++) {
  const id = `repo-${String(i).padStart(4, '0')}`;
  new RpmRepository(server, id, { publishedAs: `http://upstream.invalid/${id}/`, trust, view: View.VERBATIM, schedule });
}

app.synth();
