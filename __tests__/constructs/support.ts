import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'cdktf';
import {
  MirrorServer,
  MirrorStack,
  NginxVhost,
  PublicKey,
  RpmRepository,
  Secret,
  Trust,
  View,
  type MirrorServerProps,
  type NginxVhostProps,
  type RpmRepositoryProps,
} from '../../constructs';
import type { DesiredState } from '../../desired-state/model';

export const HOST_KEY = `SHA256:${'A'.repeat(43)}`;
export const key = PublicKey.from('keys');

export const serverProps: MirrorServerProps = {
  address: 'mirror.example.org',
  hostKey: HOST_KEY,
  signingKey: Secret.fromEnvironment('MIRROR_SIGNING_KEY'),
};

export const repositoryProps: RpmRepositoryProps = {
  publishedAs: 'https://dl.fedoraproject.org/pub/epel/7/x86_64/',
  trust: Trust.signedPackages([key('RPM-GPG-KEY-EPEL-7')]),
  view: View.VERBATIM,
};

const outdirs = mkdtempSync(join(tmpdir(), 'mirror-synth-'));
afterAll(() => rmSync(outdirs, { recursive: true, force: true }));

/** An app that synthesizes to a temporary directory, which goes with the test file. */
export function temporaryApp(): App {
  return new App({ outdir: mkdtempSync(join(outdirs, 'app-')) });
}

/** A server without a vhost, in an app of its own that synthesizes to a temporary directory. */
export function bareServer(props: Partial<MirrorServerProps> = {}): { app: App; server: MirrorServer } {
  const app = temporaryApp();
  return { app, server: new MirrorServer(new MirrorStack(app, 'mirror'), 'server', { ...serverProps, ...props }) };
}

/** The same with a vhost. */
export function mirror(props: Partial<MirrorServerProps> = {}, vhost: Partial<NginxVhostProps> = {}): { app: App; server: MirrorServer } {
  const result = bareServer(props);
  new NginxVhost(result.server, 'vhost', { serverName: 'mirror.example.org', ...vhost });
  return result;
}

export function repository(server: MirrorServer, id: string, props: Partial<RpmRepositoryProps> = {}): RpmRepository {
  return new RpmRepository(server, id, { ...repositoryProps, publishedAs: `https://upstream.example.org/${id}/`, ...props });
}

/** What must never become an id, a prefix, a host or a user. */
export const HOSTILE = [
  '', ' ', '.', '..', '../x', '/abs', 'a//b', 'trailing.', 'trailing ', '-leading', '-oProxyCommand=x', '%2e%2e', '%n', '%i', '$(id)', '`id`', ';id', 'a|b', 'a&b', '"q"',
  "'q'", 'back\\slash', '{}', '${x}', '%{x}', '$host', 'a#b', '*', '~', 'a\nb', 'a\r\n[Service]\nExecStart=/bin/sh', 'nul\0', 'esc\u001b[31m', 'del\u007f', '\u202egpj.exe',
  'zero\u200dwidth', 'no\u00a0break', 'cyrilliс', 'é', 'e\u0301', 'x'.repeat(256), 'x'.repeat(4096), 'UPPER', 'a_b',
]; // prettier-ignore

/** It throws one of our errors, which says all of this. */
export const refuses = (act: () => unknown, ...parts: string[]): void => {
  let message = 'nothing was refused';
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    message = (error as Error).message;
    expect((error as Error).name).toMatch(/InvalidPropError|MirrorError/);
  }
  for (const part of parts) expect(message).toContain(part);
};

interface StackJson {
  readonly terraform: {
    readonly required_providers: Record<string, { version: string; source: string }>;
    readonly backend: Record<string, unknown>;
  };
  readonly data?: { readonly local_command?: Record<string, { command: string; arguments: string[] }> };
  readonly resource: { readonly null_resource: Record<string, NullResource> };
}
export interface NullResource {
  readonly triggers: Record<string, string>;
  readonly depends_on?: string[];
  readonly lifecycle?: unknown;
  readonly provisioner?: { 'local-exec': { command: string; environment: Record<string, string> } }[];
}

export interface Synthesized {
  readonly json: StackJson;
  readonly text: string;
  readonly desiredState: DesiredState;
  /** Text of a file in the stack's `mirror/` directory. */
  file(name: string): string;
  /** The resource whose trigger `element` is this. */
  element(id: string): NullResource;
}

export function synth(app: App): Synthesized {
  app.synth();
  const stack = join(app.outdir, 'stacks', 'mirror');
  const text = readFileSync(join(stack, 'cdk.tf.json'), 'utf8');
  const json = JSON.parse(text) as StackJson;
  const files = new Map(
    ['desired-state.json', 'target.json', 'apply.cjs', 'observe.cjs', 'mirror-host.cjs', 'mirrorctl.cjs', 'mirrorctl-body.cjs'].map((f) => [
      f,
      readFileSync(join(stack, 'mirror', f), 'utf8'),
    ]),
  );
  rmSync(app.outdir, { recursive: true });
  const file = (name: string): string => files.get(name) as string;
  return {
    json,
    text,
    file,
    desiredState: JSON.parse(file('desired-state.json')) as DesiredState,
    element: (id) => {
      const found = Object.values(json.resource.null_resource).filter((r) => r.triggers['element'] === id);
      if (found.length !== 1) throw new Error(`${found.length} resources for element ${id}`);
      return found[0] as NullResource;
    },
  };
}
