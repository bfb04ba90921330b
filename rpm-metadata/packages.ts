import type { PackageHandlers, PackageListKind } from './package-lists';
import { PackageXml } from './packages-xml';

export type { PackageDraft, PackageHandlers, PackageListKind } from './package-lists';

/**
 * Streams a list and hands over each package. `what` names the file for errors. Throws a MirrorError for what is no such list, is not
 * well-formed, or uses what metadata never needs (document types, other encodings than UTF-8, endless tokens).
 */
export async function scanPackages(
  stream: AsyncIterable<Uint8Array>,
  kind: PackageListKind,
  what: string,
  handlers: PackageHandlers,
): Promise<void> {
  const xml = new PackageXml(kind, what, handlers);
  for await (const chunk of stream) {
    xml.write(chunk);
    await handlers.drain?.();
  }
  xml.end();
  await handlers.drain?.();
}
