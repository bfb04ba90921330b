/**
 * The compiled code of `mirrorctl`: compiling it anew takes a sixth of a sync that finds nothing new. Root keeps it beside the program where
 * that is installed; nobody else may write it, since it is run as it stands.
 */
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

/** Its name, beside `mirrorctl-body.cjs`. */
export const COMPILED = 'mirrorctl-body.compiled';

const DIGEST_BYTES = 32;

/** A CommonJS module, as Node calls it. */
export type Program = (exports: unknown, require: NodeJS.Require, module: NodeJS.Module) => void;

/**
 * A program, of ASCII text, ready to be called. `kept` is what `compile` made; when it is damaged, or of another program or Node, the program
 * is compiled as without it.
 */
export function load(source: Buffer, kept: Buffer | undefined, filename: string): Program {
  return script(source, { filename, cachedData: codeOf(source, kept) }).runInThisContext() as Program;
}

/** Whether `load` takes this. */
export function isCompiled(source: Buffer, kept: Buffer | undefined): boolean {
  return codeOf(source, kept) !== undefined;
}

/** Compiles all of a program, without running it. Its errors name the file; V8 takes the code only under the flags of this process. */
export function compile(source: Buffer, filename: string): Buffer {
  let compiled: Script;
  setFlagsFromString('--no-lazy');
  try {
    compiled = script(source, { filename });
  } finally {
    setFlagsFromString('--lazy');
  }
  const code = compiled.createCachedData();
  return Buffer.concat([digest(source, code), code]);
}

/** V8 compares no more of the program than its length, and ends the process where the code is damaged: hence a digest of both. */
function codeOf(source: Buffer, kept: Buffer | undefined): Buffer | undefined {
  if (kept === undefined) return undefined;
  const code = kept.subarray(DIGEST_BYTES);
  return digest(source, code).equals(kept.subarray(0, DIGEST_BYTES)) ? code : undefined;
}

function digest(source: Buffer, code: Buffer): Buffer {
  const of = `${process.version} ${process.arch} ${source.length}\n`;
  return createHash('sha256').update(of).update(source).update(code).digest();
}

function script(source: Buffer, options: { filename: string; cachedData?: Buffer | undefined }): Script {
  return new Script(`(function (exports, require, module) {${source.toString('latin1')}\n})`, options);
}
