/** A value as it may be printed: quoted, in ASCII, shortened, without user names and passwords of URLs. */
export function shown(value: string): string {
  const text = value.replace(/\/\/[^/?#]*@/, '//***@');
  const short = text.length > 200 ? `${text.slice(0, 200)}…(${text.length} characters)` : text;
  return JSON.stringify(short).replace(/[^\u0020-\u007e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
