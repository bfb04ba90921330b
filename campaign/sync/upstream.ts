/** An upstream that the campaign changes: states of it on disk, one of which is served. */
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../host';
import { sha256, signDetached, type Key, type Package } from './packages';

/** What upstream had at a time, as the campaign itself knows it: not read from any metadata. */
export interface UpstreamState {
  readonly number: number;
  readonly directory: string;
  /** SHA-256 of repomd.xml. */
  readonly repomd: string;
  readonly packages: readonly Package[];
}

/** The advisory of a package, which every state has that has the package. */
export const advisoryId = ({ name, version }: Package): string => `POOL-${version}-${name}`;

const advisory = (at: Package): string => `  <update from="security@example.org" status="final" type="security" version="1">
    <id>${advisoryId(at)}</id>
    <title>${at.name} ${at.version}</title>
    <issued date="2026-01-05 00:00:00"/>
    <references><reference href="https://example.org/" id="CVE-2026-${1000 + at.version}" type="cve" title="CVE"/></references>
    <description>${at.name}</description>
    <pkglist><collection short="pool"><name>pool</name>
      <package name="${at.name}" version="${at.version}" release="1" epoch="0" arch="noarch" src="pool-${at.version}-1.src.rpm"><filename>${at.file}</filename></package>
    </collection></pkglist>
  </update>
`;

const COMPS = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps><group><id>pool</id><default>false</default><uservisible>true</uservisible><name>Pool</name><description>pool</description>
<packagelist><packagereq type="mandatory">alpha</packagereq></packagelist></group></comps>
`;

export class Upstream {
  readonly root: string;
  private count = 0;

  constructor(
    private readonly directory: string,
    private readonly key: Key,
  ) {
    this.root = join(directory, 'current');
    mkdirSync(join(directory, 'states'), { recursive: true });
    writeFileSync(join(directory, 'comps.xml'), COMPS);
  }

  /** Makes a state with createrepo_c and signs it. `revision` is in seconds since 1970; later states have later ones. */
  async make(packages: readonly Package[], revision: number): Promise<UpstreamState> {
    const number = ++this.count;
    const tree = join(this.directory, 'states', String(number));
    mkdirSync(join(tree, 'Packages'), { recursive: true });
    for (const { path, file } of packages) linkSync(path, join(tree, 'Packages', file));
    const updateinfo = join(this.directory, 'updateinfo.xml');
    writeFileSync(updateinfo, `<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n${packages.map(advisory).join('')}</updates>\n`);
    const stamped = ['--revision', String(revision), '--set-timestamp-to-revision'];
    await must('createrepo_c', ['--quiet', '--no-database', ...stamped, '-g', join(this.directory, 'comps.xml'), tree]);
    await must('modifyrepo_c', [updateinfo, join(tree, 'repodata')]);
    const repomd = join(tree, 'repodata/repomd.xml');
    await signDetached(this.key, repomd);
    // Web servers tell two files apart by size and second: states that are made within one must still differ.
    for (const path of [repomd, `${repomd}.asc`]) utimesSync(path, revision, revision + number);
    return { number, directory: tree, repomd: sha256(readFileSync(repomd)), packages };
  }

  /** Serves a state from now on: one rename, as a good upstream does. */
  show(state: UpstreamState): void {
    const next = join(this.directory, '.next');
    rmSync(next, { force: true });
    symlinkSync(`states/${state.number}`, next);
    renameSync(next, this.root);
  }

  /** Removes states that are older than the last so many. */
  forget(keep: number): void {
    for (const name of readdirSync(join(this.directory, 'states'))) {
      if (Number(name) <= this.count - keep) rmSync(join(this.directory, 'states', name), { recursive: true, force: true });
    }
  }
}
