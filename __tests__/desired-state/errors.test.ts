import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultCode } from '../../desired-state/errors';

test('a recursive mkdir on a full disk is told as what it is (needs root: a small tmpfs)', () => {
  if (process.getuid?.() !== 0) throw new Error('this test mounts a small file system: run it as root');
  const directory = mkdtempSync(join(tmpdir(), 'mirror-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=4', 'tmpfs', directory]);
  try {
    for (const name of ['a', 'b', 'c']) writeFileSync(join(directory, name), '');
    let thrown: NodeJS.ErrnoException = new Error('nothing was thrown');
    try {
      mkdirSync(join(directory, 'x', 'y'), { recursive: true });
    } catch (error) {
      thrown = error as NodeJS.ErrnoException;
    }
    expect(faultCode(thrown)).toBe('ENOSPC');
  } finally {
    execFileSync('umount', [directory]);
    rmSync(directory, { recursive: true });
  }
});

test('other errors keep their code', () => {
  expect(faultCode({ code: 'ENOENT', syscall: 'open' })).toBe('ENOENT');
  expect(faultCode({ code: 'EACCES', syscall: 'mkdir' })).toBe('EACCES');
  // As Node says it; libuv has no name for it.
  expect(faultCode({ code: 'Unknown system error -122', errno: -122, syscall: 'write' })).toBe('EDQUOT');
});
