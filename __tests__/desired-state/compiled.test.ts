/** Compiled code saves time and nothing else: whatever is wrong with it, the program runs as it is written. */
import { createHash } from 'node:crypto';
import { compile, isCompiled, load } from '../../desired-state/compiled';

const program = (answer: string): Buffer =>
  Buffer.from(`module.exports = { answer: () => '${answer}', own: module.id, path: typeof require };`);
const ours = program('ours');
const code = compile(ours, '/srv/program.cjs');
const codeOfAnother = compile(program('else'), '/srv/another.cjs');

/** V8 remembers what it has compiled under a name, and then looks at no compiled code. */
let loaded = 0;

/** What the program answers with this compiled code. */
function answer(kept: Buffer | undefined): string {
  const own = { exports: {}, id: 'given' } as NodeJS.Module;
  load(ours, kept, `/srv/program-${loaded++}.cjs`)(own.exports, require, own);
  const made = own.exports as { answer: () => string; own: string; path: string };
  expect([made.own, made.path]).toEqual(['given', 'function']);
  return made.answer();
}

/** As if it had been made for our program, by a Node of this version. */
function signedFor(version: string, made: Buffer): Buffer {
  const body = made.subarray(32);
  const digest = createHash('sha256').update(`${version} ${process.arch} ${ours.length}\n`).update(ours).update(body).digest();
  return Buffer.concat([digest, body]);
}

function with1Changed(at: number): Buffer {
  const changed = Buffer.from(code);
  changed[at] = (changed[at] as number) ^ 0xff;
  return changed;
}

test('a program does the same with its compiled code and without', () => {
  expect([answer(undefined), answer(code)]).toEqual(['ours', 'ours']);
  expect([isCompiled(ours, code), isCompiled(ours, undefined)]).toEqual([true, false]);
});

test('the errors of compiled code name its program', () => {
  const failing = Buffer.from('module.exports = new Error().stack;');
  const own = { exports: '' } as NodeJS.Module;
  load(failing, compile(failing, '/srv/failing.cjs'), '/srv/called.cjs')(own.exports, require, own);
  expect(own.exports).toMatch(/^ +at \/srv\/failing\.cjs:1:/m);
});

test('the compiled code is what runs: only root may write it', () => {
  expect(answer(signedFor(process.version, codeOfAnother))).toBe('else');
});

test.each([
  ['of another program, as long as this one', codeOfAnother],
  ['of another version of Node', signedFor('v18.0.0', codeOfAnother)],
  ['with a damaged digest', with1Changed(0)],
  ['with a damaged beginning', with1Changed(40)],
  ['with a damaged middle', with1Changed(Math.floor(code.length / 2))],
  ['with a damaged end', with1Changed(code.length - 1)],
  ['that was cut', code.subarray(0, code.length - 100)],
  ['that was cut within its digest', code.subarray(0, 10)],
  ['that is empty', Buffer.alloc(0)],
])('compiled code %s is left alone', (_, kept) => {
  expect(isCompiled(ours, kept)).toBe(false);
  expect(answer(kept)).toBe('ours');
});
