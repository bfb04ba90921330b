/** Characters of XML by their bytes, and what references stand for. */

export const LT = 0x3c;
export const GT = 0x3e;
export const SLASH = 0x2f;
export const COLON = 0x3a;
export const AMP = 0x26;
export const SEMICOLON = 0x3b;
export const BRACKET = 0x5d;
export const QUOTE = 0x22;
export const APOSTROPHE = 0x27;

const table = (accepts: (code: number) => boolean): Uint8Array => Uint8Array.from({ length: 256 }, (_, code) => (accepts(code) ? 1 : 0));
const isBlank = (code: number): boolean => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
/** 0xEF may begin U+FFFE or U+FFFF, which XML forbids. */
const isPlain = (code: number): boolean => isBlank(code) || (code > 0x20 && code !== LT && code !== AMP && code !== 0xef);
export const BLANK = table(isBlank);
export const TEXT = table((code) => isPlain(code) && code !== BRACKET);
export const VALUE = table((code) => isPlain(code) && code !== QUOTE && code !== APOSTROPHE);
export const NAME_START = table((code) => /[A-Za-z_]/.test(String.fromCharCode(code)));
export const NAME = table((code) => /[A-Za-z0-9_.-]/.test(String.fromCharCode(code)));
export const REFERENCE = /^&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});/;
const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** What a reference between `&` and `;` stands for; undefined for what XML does not allow. */
export function resolved(reference: string): string | undefined {
  if (!reference.startsWith('#')) return NAMED[reference];
  const code = reference.startsWith('#x') ? parseInt(reference.slice(2), 16) : parseInt(reference.slice(1), 10);
  const isCharacter =
    code === 0x09 ||
    code === 0x0a ||
    code === 0x0d ||
    (code >= 0x20 && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    (code >= 0x10000 && code <= 0x10ffff);
  return isCharacter ? String.fromCodePoint(code) : undefined;
}
