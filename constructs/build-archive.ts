import { Construct } from 'constructs';
import type { BuildRetention as RetentionDefinition, BuildsDefinition } from '../desired-state/definitions';
import { BUILDS } from '../desired-state/model';
import { buildsService, buildsTimer } from '../desired-state/render/systemd';
import { definitionYaml } from '../desired-state/render/yaml';
import { distribution as validDistribution, id as validId } from '../desired-state/validate';
import { wholeNumber } from '../desired-state/validate-sync';
import { branchPath, isTimestamp, seriesOf, STARLINGX } from '../starlingx/build-layout';
import { Distribution } from './distribution';
import { MirrorServer } from './mirror-server';
import { check, checkList, checkProps, invalid, show } from './private/check';
import { declare } from './private/declare';

/** How long builds stay, by the colour of their sanity tests. A build that a link leads to, that is kept by name or is released stays in any case. */
export interface BuildRetention {
  /** @default 28 */
  readonly greenDays?: number;
  /** @default 10 */
  readonly yellowDays?: number;
  /** Of red builds, of those that nobody marked, and of those that failed. @default 7 */
  readonly otherDays?: number;
  /** So many builds of each series stay, the newest, however old they are. @default 2 */
  readonly atLeast?: number;
}

export interface BuildArchiveProps {
  /** As its repositories call it: `master`, `f/<name>`, `r/stx.<N.M>`, `m/<year>.<month>.<name>` or `r/<year>.<month>.<name>`. */
  readonly branch: string;
  /** @default Distribution.CENTOS */
  readonly distribution?: Distribution;
  /** Of a branch that is built in layers, in the order of the build, for instance ["compiler", "distro", "flock"]. @default none: it is built as a whole */
  readonly layers?: readonly string[];
  /** @default 28 days for green builds, 10 for yellow ones, 7 for others; at least 2 */
  readonly retention?: BuildRetention;
}

/** A build of an archive, by name. */
export interface BuildReference {
  readonly archive: BuildArchive;
  readonly layer: string | undefined;
  /** `<branch path>/<distribution>[/<layer>]`. */
  readonly series: string;
  /** Name of the build: `20261101T023000Z`. */
  readonly timestamp: string;
}

const DAYS = wholeNumber(1, 36_500);
const RETENTION = { greenDays: DAYS, yellowDays: DAYS, otherDays: DAYS, atLeast: wholeNumber(1, 1000) };

/**
 * The builds of a branch of StarlingX, at `/mirror/starlingx/<branch path>/<distribution>[/<layer>]/<timestamp>/{inputs,outputs,logs}`, with
 * links to the newest one that succeeded. What builds there are is operated, not declared: `mirrorctl build publish`, or an UploadAccount. A timer removes
 * those whose time is over.
 */
export class BuildArchive extends Construct {
  readonly branch: string;
  /** For instance `rc/3.0`. */
  readonly branchPath: string;
  readonly distribution: Distribution;
  /** Undefined where the branch is built as a whole. */
  readonly layers: readonly string[] | undefined;
  /** Series, in the order of the layers: what `mirrorctl build` calls them. */
  readonly series: readonly string[];

  constructor(server: MirrorServer, id: string, props: BuildArchiveProps) {
    super(server, id);
    checkProps(this, props, { branch: true, distribution: true, layers: true, retention: true });
    check(this, 'id', id, validId);
    const path = typeof (props.branch as unknown) === 'string' ? branchPath(props.branch) : undefined;
    if (path === undefined)
      throw invalid(this, 'branch', show(props.branch), {
        allowed: 'branches are master, f/<name>, r/stx.<N.M>, m/<year>.<month>.<name> and r/<year>.<month>.<name>',
        fix: 'Write the branch as its repositories call it, for instance "r/stx.3.0".',
      });
    this.branch = props.branch;
    this.branchPath = path;
    this.distribution = props.distribution ?? Distribution.CENTOS;
    check(this, 'distribution', this.distribution, validDistribution);
    this.layers = this.checkedLayers(props.layers);
    this.series = (this.layers ?? [undefined]).map((layer) => seriesOf(path, this.distribution, layer));
    const retention = this.retention(props.retention);
    for (const series of this.series) server.claimPath(this, `${STARLINGX}/${series}`);
    const definition: BuildsDefinition = {
      kind: 'builds',
      id,
      branch: this.branch,
      distribution: this.distribution,
      series: [...this.series],
      siteUrl: server.siteUrl,
      ...(retention === undefined ? {} : { retention }),
    };
    const yaml = definitionYaml(definition);
    const service = buildsService({ root: server.storageRoot });
    const timer = buildsTimer();
    declare(
      this,
      {
        id: `builds/${id}`,
        files: {
          [`definitions/builds/${id}.yaml`]: yaml,
          'systemd/mirror-builds.service': service,
          'systemd/mirror-builds.timer': timer,
        },
        links: Object.fromEntries(this.series.map((series) => [`${STARLINGX}/${series}`, `${BUILDS}/${series}`])),
      },
      { definition: yaml, service, timer },
    );
  }

  /**
   * A build, by its name, for instance to release it.
   *
   * @param layer of a branch that is built in layers
   */
  build(timestamp: string, layer?: string): BuildReference {
    if (typeof (timestamp as unknown) !== 'string' || !isTimestamp(timestamp))
      throw invalid(this, 'build', show(timestamp), {
        allowed: 'a build is called by the UTC time of its start, to the second',
        fix: 'For instance "20261101T023000Z": mirrorctl build list shows them.',
      });
    if (this.layers === undefined ? layer !== undefined : layer === undefined || !this.layers.includes(layer))
      throw invalid(this, 'build', show(layer), {
        allowed: this.layers === undefined ? 'this branch is built as a whole' : `this branch has the layers ${this.layers.join(', ')}`,
        fix: this.layers === undefined ? 'Leave the layer out.' : `For instance build("${timestamp}", "${this.layers[0]}").`,
      });
    return { archive: this, layer, series: seriesOf(this.branchPath, this.distribution, layer), timestamp };
  }

  private checkedLayers(layers: readonly string[] | undefined): readonly string[] | undefined {
    if (layers === undefined) return undefined;
    checkList(this, 'layers', layers, 'layer', validId, 'Leave layers out for a branch that is built as a whole.');
    return [...layers];
  }

  private retention(retention: BuildRetention | undefined): RetentionDefinition | undefined {
    if (retention === undefined) return undefined;
    checkProps(this, retention, { greenDays: true, yellowDays: true, otherDays: true, atLeast: true }, 'retention');
    const given = Object.entries(retention).filter(([, value]) => value !== undefined);
    for (const [name, value] of given) check(this, `retention.${name}`, value, RETENTION[name as keyof BuildRetention]);
    return Object.fromEntries(given);
  }
}
