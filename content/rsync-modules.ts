import { RsyncSource } from './rsync-source';
import type { SyncContext } from './sync';

/** Makes the sources of one repository or tree that are rsync modules. They have its quarantine, one after the other. */
export type Modules = (url: string) => RsyncSource;

export function modulesOf({ layout, share }: Pick<SyncContext, 'layout' | 'share'>, id: string): Modules {
  return (url) => new RsyncSource(url, layout.quarantine(id), share);
}
