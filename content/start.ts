/** `mirrorctl` as it is called: starts the program beside it, from its compiled code where root has kept that. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { COMPILED, load } from '../desired-state/compiled';

const body = join(__dirname, 'mirrorctl-body.cjs');

function compiled(): Buffer | undefined {
  try {
    return readFileSync(join(__dirname, COMPILED));
  } catch {
    return undefined;
  }
}

load(readFileSync(body), compiled(), body)(module.exports, require, module);
