import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Layout } from '../../content/layout';
import { publicName, updatePublicSnapshots } from '../../content/public-snapshots';
import { NEW, publish } from '../../content/snapshot';

const ID = 'acme/mos9.0-centos7/os';
let root: string;
let layout: Layout;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'public-snapshots-'));
  layout = new Layout(root, join(root, 'state'), join(root, 'configuration'));
});
afterEach(() => rmSync(root, { recursive: true }));

async function snapshot(name: string, id = ID): Promise<void> {
  mkdirSync(join(layout.snapshots(id), name, 'x86_64'), { recursive: true });
  await publish(layout, id, name);
}

const directory = (): string => layout.publicSnapshots('acme/mos9.0-centos7');
const names = (): readonly string[] => readdirSync(directory()).sort();

test('names have the time to the second', () => {
  expect(publicName('os', '20261122T023004Z-0123456789ab')).toBe('os-2026-11-22-023004');
  expect(publicName('9.2-updates', '20261231T235959Z-0123456789ab')).toBe('9.2-updates-2026-12-31-235959');
});

test('every published snapshot has a link, the newest another one, and a text that names it', async () => {
  await snapshot('20261101T000000Z-aaaaaaaaaaaa');
  await snapshot('20261102T000000Z-bbbbbbbbbbbb');
  await updatePublicSnapshots(layout, ID);
  expect(names()).toEqual(['os-2026-11-01-000000', 'os-2026-11-02-000000', 'os-latest', 'os-latest.target.txt']);
  expect(readlinkSync(join(directory(), 'os-2026-11-01-000000'))).toBe(
    '../../../repositories/acme/mos9.0-centos7/os/snapshots/20261101T000000Z-aaaaaaaaaaaa',
  );
  expect(readlinkSync(join(directory(), 'os-latest'))).toBe('os-2026-11-02-000000');
  expect(realpathSync(join(directory(), 'os-latest'))).toBe(join(layout.snapshots(ID), '20261102T000000Z-bbbbbbbbbbbb'));
  expect(readFileSync(join(directory(), 'os-latest.target.txt'), 'utf8')).toBe('os-2026-11-02-000000\n');

  await snapshot('20261103T000000Z-cccccccccccc');
  await updatePublicSnapshots(layout, ID);
  expect(readlinkSync(join(directory(), 'os-latest'))).toBe('os-2026-11-03-000000');
  expect(readFileSync(join(directory(), 'os-latest.target.txt'), 'utf8')).toBe('os-2026-11-03-000000\n');
});

test('what is gone, was withdrawn, or is being made has no link; what a killed run left is put right', async () => {
  await snapshot('20261103T000000Z-cccccccccccc');
  await snapshot('20261101T000000Z-aaaaaaaaaaaa');
  await snapshot('20261102T000000Z-bbbbbbbbbbbb');
  mkdirSync(join(layout.snapshots(ID), `${NEW}20261104T000000Z`));
  mkdirSync(directory(), { recursive: true });
  symlinkSync('nowhere', join(directory(), `${NEW}os-latest`));
  symlinkSync('../gone', join(directory(), 'os-2025-01-01-000000'));
  symlinkSync('os-2025-01-01-000000', join(directory(), 'os-latest'));
  writeFileSync(join(directory(), 'os-latest.target.txt.new'), 'os-20');
  await updatePublicSnapshots(layout, ID);
  expect(names()).toEqual(['os-2026-11-01-000000', 'os-2026-11-02-000000', 'os-latest', 'os-latest.target.txt']);
  expect(readlinkSync(join(directory(), 'os-latest'))).toBe('os-2026-11-02-000000');
  rmSync(layout.repository(ID), { recursive: true });
  await updatePublicSnapshots(layout, ID);
  expect(names()).toEqual([]);
});

test("components do not touch what is another one's, whatever they are called", async () => {
  const other = 'acme/mos9.0-centos7/os-latest';
  await snapshot('20261101T000000Z-aaaaaaaaaaaa');
  await snapshot('20261101T000000Z-aaaaaaaaaaaa', other);
  await updatePublicSnapshots(layout, ID);
  await updatePublicSnapshots(layout, other);
  rmSync(layout.repository(ID), { recursive: true });
  await updatePublicSnapshots(layout, ID);
  expect(names()).toEqual(['os-latest-2026-11-01-000000', 'os-latest-latest', 'os-latest-latest.target.txt']);
});

test('copies have none', async () => {
  await snapshot('20261101T000000Z-aaaaaaaaaaaa', 'epel-7');
  await updatePublicSnapshots(layout, 'epel-7');
  expect(existsSync(join(root, 'public-snapshots'))).toBe(false);
});
