import { LONG_SECONDS, run } from '../../host-agent/run';

test.each<[string, string, string[], { exitCode: number; stdout?: string; stderr?: string }]>([
  ['success', 'echo', ['a'], { exitCode: 0, stdout: 'a\n', stderr: '' }],
  ['a failure', 'sh', ['-c', 'echo why >&2; exit 7'], { exitCode: 7, stderr: 'why\n' }],
  ['a program that is not there', '/nonexistent', [], { exitCode: 127 }],
  ['a signal', 'sh', ['-c', 'kill -9 $$'], { exitCode: 128 }],
])('%s', async (_, program, args, result) => expect(await run(program, args)).toMatchObject(result));

test.each([
  ['hangs', ['-c', 'echo begun; sleep 60']],
  ['is stopped', ['-c', 'echo begun; kill -STOP $$']],
])('a program that %s is killed when its time is up, whatever it started', async (_, args) => {
  const started = Date.now();
  const result = await run('sh', args, { timeoutSeconds: 0.5 });
  expect(result).toMatchObject({ exitCode: 124, stdout: 'begun\n', stderr: 'sh did not end within 0.5 s' });
  expect(Date.now() - started).toBeLessThan(10_000);
});

test('an installation may take longer than the revert waits for the lock', () => expect(LONG_SECONDS).toBeGreaterThan(900));
