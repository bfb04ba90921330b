/** Where Terraform's state is kept: what each text becomes in the synthesized JSON, and what is refused. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type App, HttpBackend } from 'cdktf';
import { MirrorServer, MirrorStack, NginxVhost, State, type MirrorStackProps } from '../../constructs';
import { serverProps, synth, temporaryApp } from './support';

beforeEach(() => {
  delete process.env['MIRROR_STATE'];
});

function app(props?: MirrorStackProps, address = 'mirror.example.org', declare: (stack: MirrorStack) => void = () => undefined): App {
  const result = temporaryApp();
  const stack = new MirrorStack(result, 'mirror', props);
  declare(stack);
  new NginxVhost(new MirrorServer(stack, 'server', { ...serverProps, address }), 'vhost', { serverName: 'mirror.example.org' });
  return result;
}
const backend = (props?: MirrorStackProps): unknown => synth(app(props)).json.terraform.backend;

const same = (address: string): object => ({
  http: { address, lock_address: address, lock_method: 'LOCK', unlock_address: address, unlock_method: 'UNLOCK' },
});
const gitlab = 'https://gitlab.example.org/api/v4/projects/42/terraform/state/mirror';

test.each<[string, object]>([
  ['terraform.mirror.tfstate', { local: { path: '../../../terraform.mirror.tfstate' } }],
  ['./state//mirror.tfstate', { local: { path: '../../../state/mirror.tfstate' } }],
  ['../mirror state.tfstate', { local: { path: '../../../../mirror state.tfstate' } }],
  ['/var/lib/terraform/mirror.tfstate', { local: { path: '/var/lib/terraform/mirror.tfstate' } }],
  ['https://state.example.org/mirror', same('https://state.example.org/mirror')],
  ['http://127.0.0.1:8080/a/b', same('http://127.0.0.1:8080/a/b')],
  ['http://[::1]:8080/mirror?team=a&type=prod', same('http://[::1]:8080/mirror?team=a&type=prod')],
  ['HTTPS://State.example.org/mirror', same('https://state.example.org/mirror')],
  [
    gitlab,
    {
      http: {
        address: gitlab,
        lock_address: `${gitlab}/lock`,
        lock_method: 'POST',
        unlock_address: `${gitlab}/lock`,
        unlock_method: 'DELETE',
      },
    },
  ],
  [
    's3://states/mirror.tfstate?region=eu-west-1',
    { s3: { bucket: 'states', key: 'mirror.tfstate', region: 'eu-west-1', use_lockfile: true } },
  ],
  [
    's3://states/a/b.tfstate?region=eu-west-1&dynamodb_table=locks',
    { s3: { bucket: 'states', key: 'a/b.tfstate', region: 'eu-west-1', dynamodb_table: 'locks' } },
  ],
  [
    's3://states/a?region=eu-west-1&dynamodb_table=locks&use_lockfile=true',
    { s3: { bucket: 'states', key: 'a', region: 'eu-west-1', dynamodb_table: 'locks', use_lockfile: true } },
  ],
  ['s3://states/a?region=eu-west-1&use_lockfile=false', { s3: { bucket: 'states', key: 'a', region: 'eu-west-1' } }],
  [
    's3://states/a?region=us-east-1&endpoint=https://s3.example.org:9000&use_path_style=true&skip_credentials_validation=true&skip_region_validation=true' +
      '&skip_requesting_account_id=true&skip_metadata_api_check=true&skip_s3_checksum=true&encrypt=true&kms_key_id=alias/a&profile=ops',
    {
      s3: {
        bucket: 'states',
        key: 'a',
        region: 'us-east-1',
        endpoints: { s3: 'https://s3.example.org:9000' },
        use_path_style: true,
        skip_credentials_validation: true,
        skip_region_validation: true,
        skip_requesting_account_id: true,
        skip_metadata_api_check: true,
        skip_s3_checksum: true,
        encrypt: true,
        kms_key_id: 'alias/a',
        profile: 'ops',
        use_lockfile: true,
      },
    },
  ],
  [
    'postgres://db.example.org/terraform?schema_name=mirror',
    { pg: { conn_str: 'postgres://db.example.org/terraform', schema_name: 'mirror' } },
  ],
  [
    'postgresql://[::1]:5433/terraform?sslmode=verify-full&schema_name=mirror&connect_timeout=5&sslrootcert=/etc/ssl/ca.pem',
    {
      pg: {
        conn_str: 'postgres://[::1]:5433/terraform?sslmode=verify-full&sslrootcert=%2Fetc%2Fssl%2Fca.pem&connect_timeout=5',
        schema_name: 'mirror',
      },
    },
  ],
])('%s', (text, expected) => {
  expect(backend({ state: State.from(text) })).toEqual(expected);
});

test('without the prop: MIRROR_STATE, else a file named after the stack', () => {
  expect(backend()).toEqual({ local: { path: '../../../terraform.mirror.tfstate' } });
  process.env['MIRROR_STATE'] = '/var/lib/mirror.tfstate';
  expect(backend()).toEqual({ local: { path: '/var/lib/mirror.tfstate' } });
  process.env['MIRROR_STATE'] = 'https://state.example.org/mirror';
  expect(backend()).toEqual(same('https://state.example.org/mirror'));
  expect(backend({ state: State.from('other.tfstate') })).toEqual({ local: { path: '../../../other.tfstate' } });
});

test("a backend declared by cdktf's own classes goes before it", () => {
  const declared = app({ state: State.from('/var/lib/mirror.tfstate') }, undefined, (stack) => {
    new HttpBackend(stack, { address: 'https://state.example.org/mirror' });
  });
  expect(synth(declared).json.terraform.backend).toEqual({ http: { address: 'https://state.example.org/mirror' } });
});

/** Warnings in the manifest: what the CLI and `npm run plan` print. */
function warnings(state: string | undefined, address: string): { message: string; level: string; stacktrace?: unknown }[] {
  const declared = app(state === undefined ? {} : { state: State.from(state) }, address);
  declared.synth();
  const manifest = JSON.parse(readFileSync(join(declared.outdir, 'manifest.json'), 'utf8')) as {
    stacks: { mirror: { annotations: ReturnType<typeof warnings> } };
  };
  rmSync(declared.outdir, { recursive: true });
  return manifest.stacks.mirror.annotations;
}

test.each([
  [undefined, '203.0.113.7'],
  ['states/mirror.tfstate', 'mirror.example.com.mirror.dev'],
  ['terraform.mirror.tfstate', '10.1.2.3'],
  ['terraform.mirror.tfstate', '2001:db8::1'],
])('a warning: state %j of the server %s', (state, address) => {
  const [warning, ...more] = warnings(state, address);
  expect(more).toEqual([]);
  expect(warning).toMatchObject({
    level: '@cdktf/warn',
    message: expect.stringContaining(`the state of ${address} is a file in this checkout`),
  });
  expect(warning?.message).toContain('docs/how-to/remote-state.md');
  expect(warning?.stacktrace).toBeUndefined();
});

test.each([
  [undefined, 'mirror.example.org'],
  [undefined, '127.0.0.1'],
  [undefined, '::1'],
  [undefined, 'localhost'],
  ['/var/lib/terraform/mirror.tfstate', '203.0.113.7'],
  ['https://state.example.org/mirror', '203.0.113.7'],
  ['s3://states/mirror.tfstate?region=eu-west-1', '203.0.113.7'],
])('no warning: state %j of the server %s', (state, address) => {
  expect(warnings(state, address)).toEqual([]);
});

const S3 = 's3://states/a?region=eu-west-1';
const PG = 'postgres://db.example.org/terraform?schema_name=mirror';
test.each<[unknown, ...string[]]>([
  ['', 'state is a file, or a URL'],
  [undefined, 'state is a file, or a URL'],
  [7, 'state is a file, or a URL'],
  ['x'.repeat(2001), 'state is a file, or a URL'],
  ['gs://bucket/mirror', '"gs:" is none of them', 'GcsBackend'],
  ['file:///var/lib/mirror.tfstate', '"file:" is none of them'],
  ['C:\\states\\mirror.tfstate', 'without quotes, braces'],
  ['~/mirror.tfstate', 'only a shell expands "~"'],
  ['states/', 'ends with the name of a file'],
  ['..', 'ends with the name of a file'],
  ['/', 'ends with the name of a file'],
  ['cdktf.out/mirror.tfstate', 'cdktf.out/ is generated'],
  ['./dist/../cdktf.out/a', 'cdktf.out/ is generated'],
  ['$HOME/mirror.tfstate', 'a path has letters'],
  ['${path.root}/a', 'a path has letters'],
  ['%{if true}a', 'a path has letters'],
  ['a\nb', 'a path has letters'],
  ['a\0', 'a path has letters'],
  [' a', 'a path has letters'],
  ['$(id)', 'a path has letters'],
  ['https://', 'no URL'],
  ['https:state', 'has a host'],
  ['https:///state', 'has a host'],
  ['https://state.example.org:99999/a', 'no URL'],
  ['https://state.example.org/${x}', 'without quotes, braces'],
  ['https://state.example.org/a b', 'without quotes, braces'],
  ['https://state.example.org/a#b', 'has no "#"'],
  ['https://state.example.org/a/../b', 'no "." or ".."'],
  ['https://state.example.org/%2e%2e/b', 'no "." or ".."'],
  ['https://state.example.org/%zz', 'percent sign'],
  ['https://operator@state.example.org/a', 'no user and no password', 'TF_HTTP_USERNAME and TF_HTTP_PASSWORD'],
  ['https://operator:s3cret@state.example.org/a', 'no user and no password', 'TF_HTTP_PASSWORD', '***@state.example.org'],
  ['https://operator:s3cret/x@state.example.org/a', 'no URL'],
  ['https://state.example.org/a?private_token=s3cret', 'private_token is a credential', 'TF_HTTP_PASSWORD', 'private_token=***'],
  ['https://state.example.org/a?sv=1&sig=s3cret', 'sig is a credential', 'sig=***'],
  ['s3://AKIA:s3cret@states/a?region=eu-west-1', 'no user and no password', 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'],
  [`${S3}&secret_key=s3cret`, 'secret_key is a credential', 'AWS_SECRET_ACCESS_KEY'],
  [`${S3}&access_key=s3cret`, 'access_key is a credential'],
  [`${S3}&regoin=a`, 'there is no parameter "regoin"', 'use_lockfile'],
  [`${S3}&acl=public-read`, 'there is no parameter "acl"'],
  [`${S3}&region=eu-west-2`, 'region is given twice'],
  [`${S3}&use_lockfile=yes`, 'use_lockfile "yes": true or false'],
  [`${S3}&endpoint=s3.example.org`, 'endpoint "s3.example.org"'],
  [`${S3}&endpoint=https://a:s3cret@s3.example.org`, 'without user'],
  ['s3://states/a', 'region=… is missing'],
  ['s3://states/a?region=EU', 'a region is for instance'],
  ['s3://states?region=eu-west-1', 'comes a key'],
  ['s3://states/a//b?region=eu-west-1', 'comes a key'],
  ['s3://states/a/?region=eu-west-1', 'comes a key'],
  ['s3://Sta_tes/a?region=eu-west-1', 'a bucket is'],
  ['s3://', 'URL'],
  ['postgres://me:s3cret@db.example.org/terraform?schema_name=mirror', 'no user and no password', 'PGUSER and PGPASSWORD'],
  [`${PG}&password=s3cret`, 'password is a credential', 'PGPASSWORD'],
  [`${PG}&user=me`, 'user is a credential', 'PGUSER'],
  ['postgres://db.example.org/terraform', 'schema_name=… is 1 to 63', 'overwrite each other'],
  ['postgres://db.example.org/terraform?schema_name=a;b', 'schema_name=…'],
  ['postgres://db.example.org/?schema_name=mirror', 'the name of one database'],
  ['postgres://db.example.org/a/b?schema_name=mirror', 'the name of one database'],
  [`${PG}&sslmode=maybe`, 'sslmode "maybe"'],
  [`${PG}&connect_timeout=0`, 'connect_timeout "0"'],
  [`${PG}&sslrootcert=ca.pem`, 'an absolute path'],
  ['postgres:///terraform?schema_name=mirror', 'has a host'],
])('refused: %j', (text, ...parts) => {
  let message = 'nothing was refused';
  try {
    State.from(text as string);
  } catch (error) {
    expect((error as Error).name).toBe('InvalidPropError');
    message = (error as Error).message;
  }
  expect(message).toMatch(/^State\.from: state /);
  for (const part of parts) expect(message).toContain(part);
  expect(message).not.toContain('s3cret');
});

test('a state that is not made by State.from, and a misspelt prop', () => {
  expect(() => app({ state: 'a.tfstate' as unknown as State })).toThrow(/^mirror: state "a\.tfstate": .*State\.from/);
  expect(() => app({ stat: 'a' } as unknown as MirrorStackProps)).toThrow(/^mirror: prop "stat": .*Did you mean state\?/);
});
