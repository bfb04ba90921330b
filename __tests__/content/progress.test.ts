import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildSync } from 'esbuild';
import { duration, Progress, standingText } from '../../content/progress';

const MiB = 1024 * 1024;

test.each([
  [0, '0 s'],
  [44.2, '45 s'],
  [89, '89 s'],
  [90, '2 min'],
  [3600, '60 min'],
  [5400, '1 h 30 min'],
  [90_000, '25 h 0 min'],
])('%d seconds are %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test.each<[string[], number, string]>([
  [['a'], 0, 'a: 3 of 10 files, 1.0 of 5.0 MiB'],
  [['a', 'b'], 2 * MiB, 'a, b: 3 of 10 files, 1.0 of 5.0 MiB, 2.0 MiB/s, 2 s left'],
  [['a', 'b', 'c', 'd'], MiB / 100, '4 repositories: 3 of 10 files, 1.0 of 5.0 MiB, 10.2 KiB/s, 7 min left'],
])('%j at %d bytes a second', (ids, rate, text) => {
  expect(standingText(ids, { files: 3, totalFiles: 10, bytes: MiB, totalBytes: 5 * MiB, rate })).toBe(text);
});

test('in a journal, repositories that are fetched at a time have lines together', async () => {
  const said: string[] = [];
  const say = (line: string): void => void said.push(line);
  const nothing = new Progress('none', 0, 0, say, 50);
  const one = new Progress('one', 2, 2 * MiB, say, 50);
  const two = new Progress('two', 2, 2 * MiB, say, 50);
  one.addBytes(2 * MiB);
  one.fileDone();
  one.fileDone();
  await sleep(80);
  one.stop();
  two.addBytes(MiB);
  await sleep(80);
  two.stop();
  nothing.stop();
  const count = said.length;
  expect(said[0]).toBe('one, two: 2 of 4 files, 2.0 of 4.0 MiB');
  expect(said[1]).toMatch(/^two: 2 of 4 files, 3\.0 of 4\.0 MiB, \d+\.\d MiB\/s, 1 s left$/);
  await sleep(80);
  expect(said).toHaveLength(count);
});

describe('on a terminal', () => {
  const directory = mkdtempSync(join(tmpdir(), 'progress-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  /** What a terminal shows of a program that has a running `progress`. */
  function shownBy(program: string): string {
    const script = `import { Progress, writeLine } from ${JSON.stringify(join(__dirname, '../../content/progress'))};
      const progress = new Progress('one', 4, 4096, (line) => console.log('SAID', line));
      progress.addBytes(1024); progress.fileDone();
      ${program}`;
    writeFileSync(join(directory, 'show.ts'), script);
    const bundle = join(directory, 'show.cjs');
    buildSync({
      entryPoints: [join(directory, 'show.ts')],
      bundle: true,
      platform: 'node',
      target: 'node18',
      outfile: bundle,
      nodePaths: [join(__dirname, '../../node_modules')],
    });
    return execFileSync('script', ['-qc', `stty cols 120; ${process.execPath} ${bundle}; echo ended with $?`, '/dev/null'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    }).toString();
  }

  test('it is a bar, and lines are written above it', () => {
    const shown = shownBy(`setTimeout(() => writeLine(process.stderr, 'a line'), 600);
      setTimeout(() => progress.stop(), 1200);`);
    expect(shown).toMatch(/######-+ 25%  1 of 4 files, 1\.0 of 4\.0 KiB/);
    expect(shown).toContain('\r\u001b[Ka line\r\n');
    expect(shown.slice(shown.indexOf('a line'))).toMatch(/25%  1 of 4 files/);
    expect(shown).not.toContain('SAID');
    expect(shown).toContain('ended with 0');
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('%s ends the program, and leaves a terminal with its cursor and whole lines', (signal, code) => {
    const shown = shownBy(`setInterval(() => undefined, 1000); setTimeout(() => process.kill(process.pid, '${signal}'), 600);`);
    expect(shown).toContain('\u001b[?25l');
    expect(shown.slice(shown.lastIndexOf('%'))).toMatch(new RegExp(`\u001b\\[\\?25h\u001b\\[\\?7h.*ended with ${code}`, 's'));
  });
});
