/** Keys that an object of a JSON text has twice. JSON.parse takes the last one without a word, so that a reader of the text may believe the first. */

/** Strings, and what opens and closes; between them there is nothing that looks like one. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

/** The first key of a text, which is JSON, that its object had before. */
export function duplicateKey(text: string): { readonly key: string; readonly line: number } | undefined {
  /** Of each object and list that is open: the keys seen; undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let isKey = false;
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    const first = token[0] as string;
    if (first === '{' || first === '[') open.push(first === '{' ? new Set() : undefined);
    else if (first === '}' || first === ']') open.pop();
    if (first === '"' && isKey) {
      const keys = open.at(-1) as Set<string>;
      // Written differently it is the same key all the same.
      const key = token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1);
      if (keys.has(key)) return { key, line: text.slice(0, index).split('\n').length };
      keys.add(key);
    }
    isKey = (first === '{' || first === ',') && open.at(-1) !== undefined;
  }
  return undefined;
}
