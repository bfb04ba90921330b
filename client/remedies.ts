/** What a developer can do about a failed download. The code that downloads is the server's, too, and speaks to its operator. Pure. */
import type { MirrorError } from '../desired-state/errors';

const REMEDIES: Readonly<Record<string, string>> = {
  UPSTREAM_UNREACHABLE: 'Run it again later: what is here is not fetched again. Behind a proxy, set http_proxy and https_proxy.',
  UPSTREAM_SLOW: 'Run it again later, or allow more time by --timeout.',
  CONTENT_MISMATCH: 'That server, or a proxy before it, sends something else. Run it again later; if it stays so, tell the operator.',
  BODY_TOO_LONG: 'That server, or a proxy before it, sends something else. Look at the address with curl.',
  UPSTREAM_FILE_MISSING: 'Check the address with curl: if the file has moved, the line of the list has to say so.',
  UPSTREAM_REFUSED: 'Check the address with curl: that server does not let you have it.',
  REDIRECTS: 'Check the address with curl -L: it leads in a circle.',
  REDIRECT_UNSAFE: 'If that place is right, write its address into the list.',
  TLS_UNTRUSTED: 'Install the authority of that server on this machine, for Node by NODE_EXTRA_CA_CERTS.',
  PRIVATE_ADDRESS: 'An upstream leads to a private address. If that place is right, write its address into the list.',
  PROXY_FAILED: 'Check http_proxy and https_proxy, or name the host in no_proxy.',
  MIRROR_LIST_UNUSABLE: 'Give the repository a baseurl in its .repo file.',
};
const OTHERWISE = 'Tell the operator of that server, or use another source (-s, -S, -u, -U).';

/** The remedy of an error, in terms of what a developer has. */
export function remedyOf({ code, remedy }: MirrorError): string {
  const ours = REMEDIES[code];
  if (ours !== undefined && /fetchFrom|Nothing was changed|on the server|look at the address|Look at the address/.test(remedy)) return ours;
  return /fetchFrom|main\.ts|Waiver/.test(remedy) ? OTHERWISE : remedy;
}
