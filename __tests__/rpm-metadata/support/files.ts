import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { MetadataSource } from '../../../rpm-metadata/elements';

/** A directory of metadata files for one test file. */
export class Files {
  readonly directory = mkdtempSync(join(tmpdir(), 'rpm-metadata-'));
  private count = 0;

  write(content: string | Buffer, what = 'http://u/file'): MetadataSource {
    const path = join(this.directory, `${++this.count}`);
    writeFileSync(path, content);
    return { path, what };
  }

  output(): string {
    return join(this.directory, `${++this.count}.gz`);
  }

  /** The content of a gzip file. */
  text(path: string): string {
    return gunzipSync(readFileSync(path)).toString();
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}
