/** A mirror that has builds alone. Production has a server of its own, and calls declareBuilds beside what it copies. */
import { join } from 'node:path';
import { App } from 'cdktf';
import { MirrorServer, MirrorStack, NginxVhost, Secret, State } from '../../../constructs';
import { declareBuilds } from './builds';

const env = (name: string, production: string): string => process.env[name] ?? production;

const app = new App();
const stack = new MirrorStack(app, 'builds', { state: State.from(env('MIRROR_STATE', 'terraform.builds.tfstate')) });
const server = new MirrorServer(stack, 'server', {
  address: env('MIRROR_ADDRESS', 'mirror.example.org'),
  hostKey: env('MIRROR_HOST_KEY', 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'),
  signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY'),
});
new NginxVhost(server, 'vhost', { serverName: 'mirror.example.org' });
declareBuilds(server, env('RELEASES', join(__dirname, 'releases.json')), [
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl build@example.org',
]);
app.synth();
