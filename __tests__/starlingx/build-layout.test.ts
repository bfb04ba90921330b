import fc from 'fast-check';
import {
  branchPath,
  checkTimestamp,
  isTimestamp,
  packagesPath,
  releasedPath,
  seriesOf,
  timeOfBuild,
  timestampOf,
} from '../../starlingx/build-layout';
import { caught } from '../support/caught';

describe('where the builds of a branch are', () => {
  test.each([
    ['master', 'master'],
    ['f/x', 'feature/x'],
    ['f/centos8', 'feature/centos8'],
    ['r/stx.3.0', 'rc/3.0'],
    ['m/2018.10.b3', 'milestone/2018.10/2018.10.b3'],
    ['r/2018.10.5', 'release/2018.10/2018.10.5'],
  ])('%s is at %s', (branch, path) => {
    expect(branchPath(branch)).toBe(path);
  });

  test.each([
    '',
    'main',
    'Master',
    'master ',
    'master\n',
    'f/',
    'f/../x',
    'f/..',
    'f/a..b',
    'f/a.',
    'f/a/b',
    'f/-x',
    'f/x\u202e',
    'r/stx.3',
    'r/stx.3.0.1',
    'r/stx.a.b',
    'r/3.0',
    'm/2018.10',
    'm/2018.b3',
    'r/2018.10.',
    'refs/heads/master',
    `f/${'x'.repeat(99)}`,
  ])('%j is none', (branch) => {
    expect(branchPath(branch)).toBeUndefined();
  });

  test('of a series, of modified packages, of a released build', () => {
    expect(seriesOf('rc/3.0', 'centos')).toBe('rc/3.0/centos');
    expect(seriesOf('master', 'centos', 'flock')).toBe('master/centos/flock');
    expect(packagesPath('master', 'centos')).toBe('mirror/starlingx/packages/master/centos');
    expect(releasedPath('3.0.1', 'centos', 'flock')).toBe('mirror/starlingx/release/3.0.1/centos/flock');
    expect(releasedPath('3.0.1', 'centos')).toBe('mirror/starlingx/release/3.0.1/centos');
  });
});

describe('the name of a build', () => {
  test('is the time of its start, and back', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date('1970-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), (time) => {
        const name = timestampOf(time);
        expect(isTimestamp(name)).toBe(true);
        expect(timeOfBuild(name)?.getTime()).toBe(Math.floor(time.getTime() / 1000) * 1000);
      }),
    );
  });

  test.each([
    '',
    '20261101',
    '20261101T023000',
    '20261301T023000Z',
    '20260230T023000Z',
    '20261101T240000Z',
    '20261101T023000Z/..',
    ' 20261101T023000Z',
  ])('%j is none', (text) => {
    expect(isTimestamp(text)).toBe(false);
    expect(caught(() => checkTimestamp(text))).toMatchObject({
      code: 'BUILD_TIMESTAMP',
      remedy: expect.stringContaining('20261101T023000Z') as string,
    });
  });
});
