import { initRemedy, planRemedy } from '../../scripts/init-remedy';

const LAB = 'eval "$(scripts/lab env)"';

test.each([
  [
    '│ Error: Failed to query available provider packages\n│ \n│ Could not retrieve the list of available versions for provider hashicorp/null: could\n│ not connect',
    true,
  ],
  ['provider hashicorp/local: no available releases match the given\n│ constraints 2.6.1', true],
  ['│ Could not retrieve the list of available\n│ versions for provider hashicorp/null', true],
  ['Error: something else', false],
])('%j', (said, providers) => {
  expect(initRemedy(said)).toMatch(/^The registry, or the backend of the state, must answer\./);
  expect(initRemedy(said).includes(LAB)).toBe(providers);
});

const LOCK_INFO = `
│ Lock Info:
│   ID:        b3206d85-cd31-dc1b-f6f6-9b3157e9ae44
│   Path:      
│   Operation: OperationTypeApply
│   Who:       ada@ops-1
│   Version:   1.11.4
│   Created:   2026-11-22 05:32:57.475768955 +0000 UTC
│   Info:      
`;

/** Printed by Terraform 1.11.4 with the backends http, s3 (moto) and pg (PostgreSQL 15). */
test.each<[string, string]>([
  ['Error: Error refreshing state: HTTP remote state endpoint requires auth', 'TF_HTTP_USERNAME and TF_HTTP_PASSWORD'],
  [
    'Error: Error acquiring the state lock\n\nError message: HTTP remote state endpoint invalid auth\n',
    'TF_HTTP_USERNAME and TF_HTTP_PASSWORD',
  ],
  ['Error: No valid credential sources found\n\nPlease see https://developer.hashicorp.com/', 'AWS_ACCESS_KEY_ID'],
  ['Error: pq: password authentication failed for user "tf"', 'PGUSER and PGPASSWORD'],
  ['Error: Failed to get existing workspaces: S3 bucket "nope" does not exist.', 'Make the bucket'],
  ['Error: Extraneous JSON object property\n\nNo argument or block type is named "use_lockfile".', 'dynamodb_table'],
  [
    'Error: Error refreshing state: Failed to get state: GET https://127.0.0.1:1/a giving up after 3 attempt(s): Get "https://127.0.0.1:1/a": tls: failed to\n│ verify certificate: x509: certificate signed by unknown authority',
    'SSL_CERT_FILE',
  ],
  [
    'Error: Error refreshing state: Failed to get state: GET http://127.0.0.1:1/a giving up after 3 attempt(s): Get "http://127.0.0.1:1/a": dial tcp 127.0.0.1:1: connect: connection refused',
    'does not answer',
  ],
  [
    'Error: Error acquiring the state lock\n\nError message: Failed to lock: LOCK http://127.0.0.1:1/a giving up\nafter 3 attempt(s): Lock "http://127.0.0.1:1/a": dial tcp\n127.0.0.1:1: connect: connection refused\n',
    'does not answer',
  ],
  ['Error: dial tcp 127.0.0.1:15432: connect: connection refused', 'does not answer'],
  ['Initializing the backend...\n\nError: dial tcp 127.0.0.1:15432: connect: connection refused', 'does not answer'],
  ['Error: Saved plan is stale\n\nThe given plan file can no longer be applied', 'plan and review again'],
  [
    `Error: Error acquiring the state lock\n\nError message: HTTP remote state already locked:\nID=26d960a0-9658${LOCK_INFO}`,
    'Somebody else holds the lock of the state (ID 26d960a0-9658); what Terraform prints below "Lock Info" is this command\'s own request.',
  ],
  [
    `Error: Error acquiring the state lock\n\nError message: HTTP remote state already locked:\nID=26d960a0-9658${LOCK_INFO}`,
    'force-unlock 26d960a0-9658',
  ],
  [
    `Error: Error acquiring the state lock\n\nError message: Already locked for workspace creation: default${LOCK_INFO}`,
    'Somebody else holds the lock of the state; what',
  ],
  [
    `Error: Error acquiring the state lock\n\nError message: resource temporarily unavailable${LOCK_INFO}`,
    'ada@ops-1 has held the lock of the state since 2026-11-22 05:32:57.475768955 +0000 UTC (OperationTypeApply): wait',
  ],
  [
    `Error: Error acquiring the state lock\n\nError message: operation error S3: PutObject, https response error\nStatusCode: 412, api error PreconditionFailed: At least one${LOCK_INFO}`,
    'force-unlock b3206d85-cd31-dc1b-f6f6-9b3157e9ae44',
  ],
  ['Error: Error acquiring the state lock\n\nError message: something new', 'Somebody else holds the lock'],
])('remote state: %j', (said, remedy) => {
  expect(initRemedy(said)).toContain(remedy);
  expect(planRemedy(said)).toContain(remedy);
});

test('a plan that fails for another reason', () => {
  expect(planRemedy('Error: The command failed: 10.1.2.3: connection refused')).toContain('MIRROR_OBSERVE=0');
  expect(planRemedy('data.local_command.x: Error: dial tcp is a text of another program')).toContain('MIRROR_OBSERVE=0');
});
