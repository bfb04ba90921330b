/** Pure: which line of main.ts to change, and into what. */
import type { TrustDefinition } from '../../desired-state/definitions';
import type { Change } from './types';

/** What a reviewer is to complete. */
const NEW_KEYS = "[key('<the public key, in keys/>')]";
const WHY = "'<why nothing else can be verified>'";

/**
 * @param main text of main.ts
 * @param position where the trust is declared, `main.ts:69:12`: the call, or the name before its dot
 */
export function changeOf(main: string, position: string | undefined, instead: TrustDefinition['mode'], alsoFor: readonly string[]): Change {
  const [, line, column] = /^main\.ts:(\d+):(\d+)$/.exec(position ?? '') ?? [];
  const text = line === undefined ? undefined : main.split('\n')[Number(line) - 1];
  const call = text === undefined ? undefined : trustCall(text, Number(column) - 1);
  if (line === undefined || text === undefined || call === undefined)
    return { at: position?.replace(/:\d+$/, ''), now: undefined, then: written(instead, undefined), alsoFor };
  const then = text.slice(0, call.start) + written(instead, call.keys) + text.slice(call.end);
  return { at: `main.ts:${line}`, now: text.trim(), then: then.trim(), alsoFor };
}

/** The call of `Trust.…(…)` at or before a column, with its argument where that is keys. */
function trustCall(text: string, column: number): { start: number; end: number; keys: string | undefined } | undefined {
  const calls = [...text.matchAll(/Trust\.(signedMetadata|signedPackages|digestsOnly)\(/g)];
  const call = calls.filter((c) => c.index <= column).at(-1) ?? calls[0];
  if (call === undefined) return undefined;
  const open = call.index + call[0].length;
  let depth = 1;
  let quote = '';
  for (let at = open; at < text.length; at++) {
    const character = text.charAt(at);
    if (quote !== '') {
      if (character === '\\') at++;
      else if (character === quote) quote = '';
    } else if (/['"`]/.test(character)) quote = character;
    else if (character === '(') depth++;
    else if (character === ')' && --depth === 0)
      return { start: call.index, end: at + 1, keys: call[1] === 'digestsOnly' ? undefined : text.slice(open, at) };
  }
  return undefined;
}

function written(mode: TrustDefinition['mode'], keys: string | undefined): string {
  return mode === 'digestsOnly' ? `Trust.digestsOnly(${WHY})` : `Trust.${mode}(${keys ?? NEW_KEYS})`;
}
