/** `required_layer_pkgs.cfg` and `required_layer_iso_inc.cfg`: `layer,type,url`, what a layer takes of the builds of lower ones. */
import { checkUrl } from './entry';
import { type LineList, lineError, type OtherLine, parseLines, writeLines } from './list-text';

export interface LayerLine {
  readonly kind: 'layer';
  /** From 1. */
  readonly line: number;
  /** The lower layer: `compiler`. */
  readonly layer: string;
  /** Build type: `std`, `rt`, `installer`, `dev`. */
  readonly type: string;
  /** Of an `rpm.lst` or an `image.inc` of a build. */
  readonly url: string;
}
export type LayerConfigLine = LayerLine | OtherLine;
export type LayerConfig = LineList<LayerConfigLine>;

/**
 * Parses the configuration of a layer.
 *
 * @param name file name, for messages
 * @throws MirrorError `LIST_LINE` (with line, value and remedy) or `LIST_TEXT`
 */
export function parseLayerConfig(bytes: Buffer, name: string): LayerConfig {
  return parseLines(bytes, name, (text, line): LayerLine => {
    const refuse = (reason: string, remedy: string): never => {
      throw lineError(name, line, text, reason, remedy);
    };
    const form = 'A line is layer,type,url, for instance compiler,std,http://mirror.example.org/…/rpm.lst';
    const [layer = '', type = '', ...rest] = text.split(',');
    if (rest.length === 0) refuse('it has fewer than three fields', form);
    for (const word of [layer, type])
      if (!/^[a-z][a-z0-9_-]{0,63}$/.test(word)) refuse(`"${word}" is not the name of a layer or a type`, form);
    // A URL may have commas of its own.
    const url = rest.join(',');
    checkUrl(url, name, line);
    return { kind: 'layer', line, layer, type, url };
  });
}

export function writeLayerConfig(config: LayerConfig): string {
  return writeLines(config, (line) => (line.kind === 'layer' ? `${line.layer},${line.type},${line.url}` : line.text));
}

export function layersOf({ lines }: LayerConfig): readonly LayerLine[] {
  return lines.filter((line): line is LayerLine => line.kind === 'layer');
}
