// The floor: one `ssh` that unpacks a tar file. Nothing that configures a host from another can be quicker.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { resetPeers } from './ansible.mjs';
import { root, run } from './measure.mjs';
import { renderTree } from './tree.mjs';

export class Floor {
  /** `reload`: whether systemd and nginx are told too, which a real deploy cannot do without. */
  constructor(host, { reload = false } = {}) {
    this.host = host;
    this.reload = reload;
  }

  async deploy(repositories) {
    const directory = join(root, 'cdktf.out', 'bench', 'floor');
    renderTree(join(directory, 'tree'), repositories);
    const archive = join(directory, 'tree.tar.gz');
    await run('tar', ['-C', join(directory, 'tree'), '-czf', archive, '.']);
    this.archive = readFileSync(archive);
  }

  /** The measured part; `deploy` only makes the archive. */
  async unpack() {
    const reload = this.reload ? ' && systemctl daemon-reload && systemctl start timers.target && systemctl reload nginx' : '';
    await this.host.ssh(`tar -C / --no-overwrite-dir -xzf -${reload}`, { input: this.archive });
  }

  async reset() {
    await resetPeers(this.host);
  }
}
