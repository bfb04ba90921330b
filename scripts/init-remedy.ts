/** What to do when `terraform init`, `plan` or `apply` failed, from what it printed. */

/** Terraform wraps its messages, with a bar at the start of each line. */
const unwrapped = (said: string): string => said.replace(/[\s│╷╵]+/g, ' ');

export function initRemedy(said: string): string {
  const general = 'The registry, or the backend of the state, must answer.';
  const text = unwrapped(said);
  const providers =
    /no available releases match|Failed to query available provider packages|Could not retrieve the list of available versions/.test(text);
  if (providers) return `${general} To plan against the lab, which has providers of its own: eval "$(scripts/lab env)"`;
  return stateRemedy(text) ?? general;
}

export function planRemedy(said: string): string {
  return stateRemedy(unwrapped(said)) ?? 'The server must answer; MIRROR_OBSERVE=0 plans without it.';
}

export function applyRemedy(said: string): string {
  return stateRemedy(unwrapped(said)) ?? 'What was not reached shows in the next plan: plan, and review that.';
}

/** As `text`, what Terraform 1.11 prints of the backends http, s3 and pg. The first that matches: a lock fails for other reasons too. */
const STATE: readonly (readonly [RegExp, string])[] = [
  [
    /remote state endpoint (requires|invalid) auth/,
    'The state server wants a user and a password: set TF_HTTP_USERNAME and TF_HTTP_PASSWORD.',
  ],
  [
    /No valid credential sources found|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|S3.{0,200}AccessDenied/,
    'The state is in S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of somebody who may read and write it.',
  ],
  [
    /pq: (password authentication failed|permission denied|no pg_hba\.conf entry|role .{1,100} does not exist)/,
    'The state is in PostgreSQL: set PGUSER and PGPASSWORD (or PGPASSFILE) of somebody who may write there.',
  ],
  [
    /S3 bucket .{1,100} does not exist|pq: database .{1,100} does not exist/,
    'Make the bucket or database first, or correct MIRROR_STATE: docs/how-to/remote-state.md.',
  ],
  [
    /(named|argument) "?use_lockfile/,
    'This Terraform knows no lock file in S3 (1.10 and later do): upgrade it, or lock by a table, with dynamodb_table=… in MIRROR_STATE.',
  ],
  [
    /(state|Lock|LOCK|GET|POST)\b.{0,300}(certificate signed by unknown authority|failed to verify certificate)/,
    "The state server's certificate is signed by an authority that this machine does not know: name its certificate in SSL_CERT_FILE.",
  ],
  [
    /(refreshing state|acquiring the state lock|Failed to get state|Failed to lock).{0,400}(connection refused|no such host|i\/o timeout|network is unreachable|giving up after)|^ ?Error: dial tcp|Initializing the backend\.\.\. Error: dial tcp/,
    'Where the state is kept does not answer. Nothing was read and nothing was changed: bring it up, or correct MIRROR_STATE, and try again.',
  ],
  [
    /Backend configuration (block has )?changed|Backend initialization required/,
    'The state has another place now: rm -r cdktf.out, then try again.',
  ],
  [/Saved plan is stale/, 'The state has changed since that plan was made: plan and review again.'],
];

function stateRemedy(text: string): string | undefined {
  const known = STATE.find(([pattern]) => pattern.test(text))?.[1];
  if (known !== undefined) return known;
  if (!text.includes('Error acquiring the state lock')) return undefined;
  // The backends http and pg print the one who asks, not the one who holds: http at least gives the holder's id (Terraform 1.11).
  const holder = /HTTP remote state already locked: ID=(\S+)/.exec(text)?.[1];
  if (holder !== undefined || text.includes('Already locked for workspace')) {
    return (
      `Somebody else holds the lock of the state${holder === undefined ? '' : ` (ID ${holder})`}; what Terraform prints below "Lock Info" is this ` +
      `command's own request. Wait, and try again.${holder === undefined ? '' : ` ${unlock(holder)}`}`
    );
  }
  const field = (name: string): string | undefined =>
    new RegExp(`\\b${name}: +(.*?) +(ID|Path|Operation|Who|Version|Created|Info):`).exec(text)?.[1];
  const [id, who, operation, created] = ['ID', 'Who', 'Operation', 'Created'].map(field);
  if (id === undefined || who === undefined) return 'Somebody else holds the lock of the state: wait, and try again.';
  return `${who} has held the lock of the state since ${created ?? 'an unknown time'} (${operation ?? 'unknown'}): wait, and try again. ${unlock(id)}`;
}

const unlock = (id: string): string =>
  `Only if that process is gone for good: terraform -chdir=cdktf.out/stacks/<stack> force-unlock ${id}`;
