// The files of the role, rendered: what `synchronize` and the floor copy. The same texts as bench/ansible/roles/mirror/templates.
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './measure.mjs';

const template = (name) => readFileSync(join(root, 'bench', 'ansible', 'roles', 'mirror', 'templates', `${name}.j2`), 'utf8');

export function ids(repositories) {
  return Array.from({ length: repositories }, (_, i) => `repo-${String(i + 1).padStart(4, '0')}`);
}

export function renderTree(directory, repositories) {
  rmSync(directory, { recursive: true, force: true });
  const write = (path, text) => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  };
  const link = (path, target) => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    symlinkSync(target, join(directory, path));
  };
  write('etc/systemd/system/bench-sync@.service', template('bench-sync@.service'));
  write('etc/nginx/conf.d/bench-mirror.conf', template('vhost.conf'));
  for (const id of ids(repositories)) {
    const of = (name) => template(name).replaceAll('{{ item.id }}', id);
    write(`etc/bench-mirror/definitions/${id}.yaml`, of('definition.yaml'));
    write(`etc/bench-mirror/locations/${id}.conf`, of('location.conf'));
    write(`etc/systemd/system/bench-sync@${id}.timer`, of('bench-sync.timer'));
    link(`etc/systemd/system/timers.target.wants/bench-sync@${id}.timer`, `/etc/systemd/system/bench-sync@${id}.timer`);
    link(`srv/bench-mirror/www/${id}`, `../repositories/${id}/current`);
  }
}
