import type { IConstruct } from 'constructs';
import { PublicKey } from '../public-key';
import { checkMade, invalid, show } from './check';

/** Validates a list of keys: each from a file of the project, each once. Keys are the same by fingerprint, whatever file they are read from. */
export function checkKeys(where: IConstruct | string, keys: readonly PublicKey[], prop = 'keys'): void {
  const fix = 'Put the owner\'s public key into keys/ and pass key("<file>").';
  checkMade(where, prop, keys, Array.isArray(keys), { allowed: 'a list of keys', fix: 'Write [key("<file>")].' });
  keys.forEach((key, index) => {
    checkMade(where, `${prop}[${index}]`, key, (key as unknown) instanceof PublicKey, { allowed: 'a key is made by PublicKey', fix });
    const first = keys.findIndex((other) => other.fingerprint === key.fingerprint || other.name === key.name);
    if (first === index) return;
    throw invalid(where, `${prop}[${index}]`, show(key.name), {
      allowed: `each key once; ${prop}[${first}] is the same`,
      fix: 'Remove one of the two.',
    });
  });
}
