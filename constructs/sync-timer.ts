import { Construct } from 'constructs';
import { spreadCalendar } from '../desired-state/schedule';
import { syncTimer } from '../desired-state/render/systemd';
import { id as validId } from '../desired-state/validate';
import { MirrorServer } from './mirror-server';
import { check, checkProps, invalid } from './private/check';
import { declare } from './private/declare';
import { checkSchedule, type SyncSchedule } from './sync-schedule';

export interface SyncTimerProps {
  /** Id of an RpmRepository or a FileTree that is declared before. */
  readonly repositoryId: string;
  /** @default daily, at a time between 02:00 and 05:59 UTC that follows from the repository's id */
  readonly schedule?: SyncSchedule;
}

/** The systemd timer of one repository or file tree. A resource of its own: a new schedule changes nothing else in a plan. */
export class SyncTimer extends Construct {
  constructor(scope: Construct, id: string, props: SyncTimerProps) {
    super(scope, id);
    checkProps(this, props, { repositoryId: true, schedule: true });
    check(this, 'repositoryId', props.repositoryId, validId);
    const server = MirrorServer.of(this);
    if (!server.declares(`repository/${props.repositoryId}`) && !server.declares(`tree/${props.repositoryId}`)) {
      throw invalid(this, 'repositoryId', JSON.stringify(props.repositoryId), {
        allowed: 'the id of a repository or a file tree that is declared before',
        fix: 'Declare the RpmRepository or the FileTree first; it brings its timer by itself.',
      });
    }
    checkSchedule(this, props.schedule);
    const { onCalendar } = props.schedule ?? { onCalendar: spreadCalendar(props.repositoryId) };
    if (onCalendar === undefined) {
      throw invalid(this, 'schedule', 'SyncSchedule.never', {
        allowed: 'a timer has a time',
        fix: 'Declare SyncSchedule.never on the RpmRepository or the FileTree, which then has no timer.',
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
