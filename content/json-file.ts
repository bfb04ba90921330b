import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { isAbsent } from './files';

/** A file of ours; undefined where it is absent, or is not what was written: what it says is found out or made anew. */
export async function readJson<T>(path: string, schema: z.ZodType<T, z.ZodTypeDef, unknown>): Promise<T | undefined> {
  return accept(schema, await readFile(path, 'utf8').catch((error: unknown) => ifAbsent(error)));
}

/** The same at once. */
export function readJsonSync<T>(path: string, schema: z.ZodType<T, z.ZodTypeDef, unknown>): T | undefined {
  let text: string | undefined;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    text = ifAbsent(error);
  }
  return accept(schema, text);
}

function ifAbsent(error: unknown): undefined {
  if (!isAbsent(error)) throw error;
}

function accept<T>(schema: z.ZodType<T, z.ZodTypeDef, unknown>, text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
