import { dirname, join } from 'node:path';
import { Construct } from 'constructs';
import { refProblem } from '../desired-state/archives';
import type { DownloadedFile } from '../desired-state/definitions';
import { distribution as validDistribution, id as validId } from '../desired-state/validate';
import { parseFileList } from '../starlingx/file-list';
import { needsScript, parseTarballList, type TarballEntry, tarballsOf } from '../starlingx/tarball-list';
import { mirrorPath } from '../starlingx/url-mapping';
import { Distribution } from './distribution';
import type { MirrorServer } from './mirror-server';
import { check, checkProps, invalid, show } from './private/check';
import { checkArchiveName, COMMON_PROPS, type CommonProps, declareDownloads, type Wanted } from './private/downloads';
import { parsed, readProjectList, readServedList } from './private/project-file';
import type { Releasable } from './private/releasable';

export interface TarballDownloadsProps extends CommonProps {
  /** The list of tarballs, a file of the project: `tarball-dl.lst`. A file list that one of its lines names lies beside it, by the path that the line says. */
  readonly list: string;
  /** Which release's list it is: a segment of the public path. */
  readonly release: string;
  /** Which layer's, where each has a list of its own: the last segment of the public path. @default the release has one list */
  readonly layer?: string;
}

const SUMS = 'SHA256SUMS';
/** What is at the public path beside the files of the list. */
const RESERVED = ['lists', 'originals', SUMS, `${SUMS}.asc`];

/**
 * The tarballs that a list of StarlingX names, at `/mirror/starlingx/tarballs/<release>/<distribution>[/<layer>]/`, with their digests signed by the mirror; and
 * each at the place that its URL has had on mirrors ever since. Of a git repository, and of a list of files, the mirror makes the archive. Where a script of
 * the developers makes it, what the URL gives is at `originals/<file>`.
 */
export class TarballDownloads extends Construct {
  /** @internal */
  readonly releasable: readonly Releasable[];

  constructor(server: MirrorServer, id: string, props: TarballDownloadsProps) {
    super(server, id);
    checkProps(this, props, { ...COMMON_PROPS, list: true, release: true, layer: true });
    const downloadsId = props.id ?? id;
    check(this, 'id', downloadsId, validId);
    if (props.formerId !== undefined) server.checkFormerId(this, 'downloads', downloadsId, props.formerId);
    check(this, 'release', props.release, validId);
    if (props.layer !== undefined) check(this, 'layer', props.layer, validId);
    const distribution = props.distribution ?? Distribution.CENTOS;
    check(this, 'distribution', distribution, validDistribution);
    const publicPath = ['mirror/starlingx/tarballs', props.release, distribution, ...(props.layer === undefined ? [] : [props.layer])].join(
      '/',
    );
    server.claimPath(this, publicPath);
    const { name, bytes } = readServedList(this, 'list', props.list);
    const entries = parsed(this, 'list', props.list, () => tarballsOf(parseTarballList(bytes, name)));
    if (entries.length === 0)
      throw invalid(this, 'list', show(props.list), {
        allowed: 'a list with at least one tarball',
        fix: 'Add a line, or remove the construct.',
      });
    this.releasable = declareDownloads(this, server, props, {
      id: downloadsId,
      publicPath,
      wanted: entries.map((entry) => this.wanted(entry, props.list, distribution)),
      sums: SUMS,
      lists: { [name]: bytes.toString('utf8') },
    });
  }

  private wanted(entry: TarballEntry, list: string, distribution: Distribution): Wanted {
    const { file, url, line, method } = entry;
    if (RESERVED.includes(file))
      throw invalid(this, 'list', show(list), {
        allowed: `line ${line}: ${file} is what the mirror has there itself`,
        fix: 'Give the file another name.',
      });
    const { decoded } = parsed(this, 'list', list, () => mirrorPath(url, distribution, `${list} line ${line}`));
    // At a URL that is no file's, the file has its own name below.
    const place = method === 'git' || method === 'git_script' || method === 'http_filelist' ? `${decoded}/${file}` : decoded;
    return { name: file, file: this.file(entry, list), place };
  }

  private file(entry: TarballEntry, list: string): DownloadedFile {
    const { file, url, method, util: ref, directory, line } = entry;
    const path = needsScript(entry) ? `originals/${file}` : file;
    switch (method) {
      case 'git':
      case 'git_script': {
        checkArchiveName(this, 'list', file, line);
        const problem = refProblem(ref);
        if (problem !== undefined)
          throw invalid(this, 'list', show(ref), { allowed: `line ${line}: it ${problem}`, fix: 'Name a commit, a tag or a branch.' });
        return { path, url, method: 'git', ref, directory };
      }
      case 'http_filelist':
        checkArchiveName(this, 'list', file, line);
        return { path, url, method: 'filelist', members: this.members(join(dirname(list), ref)), directory };
      case 'http':
      case 'https':
      case 'http_script':
        return { path, url };
    }
  }

  /** The lines of a file list: paths below the URL; `#` begins a comment. */
  private members(path: string): string[] {
    const { name, bytes } = readProjectList(this, 'list', path);
    return [...parsed(this, 'list', path, () => parseFileList(bytes, name))];
  }
}
