/** When the disk is too full, as a server declares it; and copies that are never synced. */
import { parse } from 'yaml';
import { FileTree, SyncSchedule, SyncTimer, TreeTrust, type DiskGuard } from '../../constructs';
import { ServerDefinitionSchema } from '../../desired-state/definitions';
import { diskLimits } from '../../desired-state/disk-guard';
import { bareServer, mirror, refuses, repository, synth } from './support';

const any = <T>(value: unknown): T => value as T;
const WHY = 'upstream was shut down in June 2026';

describe('diskGuard', () => {
  const declared = (props: Parameters<typeof mirror>[0]): unknown => {
    const text = synth(mirror(props).app).element('server/services').triggers['definition'] ?? '';
    return ServerDefinitionSchema.parse(parse(text)).diskGuard;
  };
  test('as declared, with the default of the rest', () => {
    expect(declared({})).toBeUndefined();
    expect(declared({ diskGuard: {} })).toBeUndefined();
    expect(declared({ diskGuard: { stopAtPercent: 98, alertAtPercent: 80, forecastDays: 7 } })).toEqual({
      stopAtPercent: 98,
      alertAtPercent: 80,
      forecastDays: 7,
    });
    expect(diskLimits({ stopAtPercent: 97 })).toEqual({ stopAtPercent: 97, alertAtPercent: 90, forecastDays: 30 });
  });
  test.each<[DiskGuard, string[]]>([
    [{ stopAtPercent: 100 }, ['diskGuard.stopAtPercent 100', 'a whole number from 10 to 99']],
    [{ stopAtPercent: any('95') }, ['diskGuard.stopAtPercent "95"']],
    [{ alertAtPercent: 4 }, ['diskGuard.alertAtPercent 4', 'a whole number from 5 to 99']],
    [{ forecastDays: 0 }, ['diskGuard.forecastDays 0', 'a whole number from 1 to 365']],
    [{ alertAtPercent: 96 }, ['diskGuard.alertAtPercent 96', 'no more than stopAtPercent, which is 95']],
    [{ stopAtPercent: 80 }, ['diskGuard.alertAtPercent 90', 'no more than stopAtPercent, which is 80']],
    [any({ stopAt: 90 }), ['there is no such prop', 'stopAtPercent']],
    [any(95), ['diskGuard 95', 'an object']],
  ])('%j is refused', (diskGuard, parts) => {
    refuses(() => bareServer({ diskGuard }), ...parts);
  });
});

describe('SyncSchedule.never', () => {
  test('no timer; the definition says why, and what is published stays', () => {
    const { app, server } = mirror();
    repository(server, 'gone', { schedule: SyncSchedule.never(WHY) });
    new FileTree(server, 'tree', {
      publishedAs: 'https://example.org/tree/',
      trust: TreeTrust.none('upstream has no checksums'),
      folders: ['.'],
      schedule: SyncSchedule.never(WHY),
    });
    const { elements } = synth(app).desiredState;
    const files = Object.assign({}, ...elements.map((element) => element.files)) as Record<string, string>;
    expect(parse(files['definitions/repositories/gone.yaml'] as string)).toMatchObject({ retired: WHY });
    expect(parse(files['definitions/trees/tree.yaml'] as string)).toMatchObject({ retired: WHY });
    expect(Object.keys(files).filter((name) => name.includes('sync@gone.') || name.includes('sync@tree.'))).toEqual([]);
    expect(elements.find(({ id }) => id === 'repository/gone')?.links).not.toEqual({});
  });
  test.each([undefined, '', 'short', 'a\nb, with a second line', 7])('the reason %j is refused', (why) => {
    refuses(() => SyncSchedule.never(any(why)), 'SyncSchedule.never: why', 'a reason is one line');
  });
  test('a timer of its own needs a time', () => {
    const { server } = mirror();
    repository(server, 's', { schedule: SyncSchedule.never(WHY) });
    refuses(
      () => new SyncTimer(server, 't', { repositoryId: 's', schedule: SyncSchedule.never(WHY) }),
      'mirror/server/t: schedule SyncSchedule.never',
      'a timer has a time',
    );
  });
});
