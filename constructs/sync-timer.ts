import { Construct } from 'constructs';
import { lateCalendar, spreadCalendar } from '../desired-state/schedule';
import { syncTimer } from '../desired-state/render/systemd';
import { id as validId } from '../desired-state/validate';
import { MirrorServer } from './mirror-server';
import { check, checkProps, invalid } from './private/check';
import { declare } from './private/declare';
import { checkSchedule, type SyncSchedule } from './sync-schedule';

export interface SyncTimerProps {
  /** Id of an RpmRepository, a FileTree, TarballDownloads, an InstallTree or PackageLists that is declared before. */
  readonly repositoryId: string;
  /** @default daily, at a time between 02:00 and 05:59 UTC that follows from the id; of lists between 06:00 and 06:59 */
  readonly schedule?: SyncSchedule;
}

/** Kinds of elements that are synced. */
const COPIED = ['repository', 'tree', 'downloads', 'lists'];

/** The systemd timer of one repository, file tree or set of downloads. A resource of its own: a new schedule changes nothing else in a plan. */
export class SyncTimer extends Construct {
  constructor(scope: Construct, id: string, props: SyncTimerProps) {
    super(scope, id);
    checkProps(this, props, { repositoryId: true, schedule: true });
    check(this, 'repositoryId', props.repositoryId, validId);
    const server = MirrorServer.of(this);
    if (!COPIED.some((kind) => server.declares(`${kind}/${props.repositoryId}`))) {
      throw invalid(this, 'repositoryId', JSON.stringify(props.repositoryId), {
        allowed: 'the id of a repository, a file tree, downloads or lists that are declared before',
        fix: 'Declare the RpmRepository, FileTree, TarballDownloads, InstallTree or PackageLists first; it brings its timer by itself.',
      });
    }
    checkSchedule(this, props.schedule);
    const isLate = server.declares(`lists/${props.repositoryId}`);
    const { onCalendar } = props.schedule ?? { onCalendar: (isLate ? lateCalendar : spreadCalendar)(props.repositoryId) };
    if (onCalendar === undefined) {
      throw invalid(this, 'schedule', 'SyncSchedule.never', {
        allowed: 'a timer has a time',
        fix: 'Declare SyncSchedule.never on what is synced, which then has no timer.',
      });
    }
    const timer = syncTimer(props.repositoryId, onCalendar);
    declare(
      this,
      { id: `timer/${props.repositoryId}`, files: { [`systemd/mirror-sync@${props.repositoryId}.timer`]: timer }, links: {} },
      { timer },
    );
  }
}
