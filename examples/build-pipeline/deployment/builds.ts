/** What a mirror declares for this pipeline: where builds and modified packages go, who uploads builds, and which of them are released. */
import { readFileSync } from 'node:fs';
import {
  BuildArchive,
  type MirrorServer,
  ModifiedPackages,
  Rebuilt,
  Release,
  Trust,
  UploadAccount,
  UploadProtocol,
} from '../../../constructs';

/** Of `releases.json`, which the script `release` writes: version → builds. */
type Releases = Readonly<Record<string, readonly { readonly layer: string; readonly timestamp: string }[]>>;

/**
 * @param releases path of `releases.json`
 * @param uploadKeys public halves of the SSH keys of build machines
 */
export function declareBuilds(server: MirrorServer, releases: string, uploadKeys: readonly string[]): void {
  const archive = new BuildArchive(server, 'stx-master', { branch: 'master', layers: ['compiler', 'distro', 'flock'] });
  new UploadAccount(server, 'stx-build', { authorizedKeys: uploadKeys, builds: [archive], protocol: UploadProtocol.RSYNC });
  new ModifiedPackages(server, 'stx-master-packages', {
    builds: archive,
    trust: Trust.digestsOnly('builds of a branch are not signed package by package'),
    // A changed input need not have a new version here: what was built anew is served from then on.
    rebuilt: { flock: Rebuilt.REPLACES },
  });
  for (const [id, builds] of Object.entries(JSON.parse(readFileSync(releases, 'utf8')) as Releases))
    new Release(server, id, { builds: builds.map(({ layer, timestamp }) => archive.build(timestamp, layer)) });
}
