/** Looks at one declared repository: its addresses, its index, its package list, three packages. Never writes but in `temporary`. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isWaived } from '../../desired-state/definitions';
import { DownloadError } from '../../downloads/errors';
import type { HttpClient } from '../../downloads/http';
import type { ChecksumOptions } from '../../rpm-metadata/checksum';
import type { PackageVerifier } from '../../signatures/packages';
import type { KeyRing } from '../../signatures/pinned-keys';
import { type AddressContext, probe, type Probed, unusable } from './address';
import { changeOf } from './change';
import { type IndexFacts, indexFacts } from './index-facts';
import { judge } from './judge';
import type { Tree } from './needs';
import { type Chosen, fetchPackages, readPackages, samplesOf } from './package-list';
import { lookAtPackage } from './sample';
import { judgeSelection, sourcesOf } from './sources';
import {
  type DeclaredRepository,
  type PackagesReport,
  type Problem,
  problemOf,
  type RepositoryReport,
  type SampleReport,
  type TrustReport,
} from './types';

export interface LookContext {
  readonly client: HttpClient;
  /** Seconds for one repository. */
  readonly deadline: number;
  /** Of this run; each repository gets a directory in it. */
  readonly temporary: string;
  readonly verification: (keys: DeclaredRepository) => Promise<{ readonly ring: KeyRing; readonly verifier: PackageVerifier } | undefined>;
  readonly now: () => Date;
  /** Text of main.ts. */
  readonly main: string;
  /** All declared repositories, for those that share a line. */
  readonly declared: readonly DeclaredRepository[];
  readonly onBytes: (id: string, count: number) => void;
  /** Takes what the server would hold, once it is known: nothing else keeps a whole list of packages. */
  readonly onTree: (tree: Tree) => void;
  /** Lists are read one after the other: one processor does it, and one list is in memory. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
}

export async function lookAt(repository: DeclaredRepository, context: LookContext): Promise<RepositoryReport> {
  const { id } = repository.definition;
  const temporary = join(context.temporary, id);
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  const abort = new AbortController();
  const timer = setTimeout(() => {
    abort.abort(
      new DownloadError({
        kind: 'transient',
        code: 'DEADLINE',
        message: `${id} was given up after ${context.deadline} s`,
        remedy: 'If the upstream is this slow, or the line is, raise --timeout.',
      }),
    );
  }, context.deadline * 1000);
  try {
    return await new Look(repository, context, temporary, abort.signal).run();
  } finally {
    clearTimeout(timer);
    await rm(temporary, { recursive: true, force: true });
  }
}

class Look {
  private readonly problems: Problem[] = [];
  private readonly notes: string[] = [];
  private readonly checksums: ChecksumOptions;

  constructor(
    private readonly repository: DeclaredRepository,
    private readonly context: LookContext,
    private readonly temporary: string,
    private readonly signal: AbortSignal,
  ) {
    this.checksums = { weakChecksums: isWaived(repository.definition, 'weakChecksums') };
  }

  async run(): Promise<RepositoryReport> {
    const { definition } = this.repository;
    const { mode } = definition.trust;
    const { addresses, notes } = sourcesOf(definition.fetchFrom);
    this.notes.push(...notes);
    if (addresses.length === 0)
      return this.report([], { declared: mode, verdict: 'unknown', text: `declared ${mode}: nothing was looked at` }, {}, []);
    const verification = await this.context.verification(this.repository).catch((error: unknown) => {
      this.problems.push(problemOf(error));
      return undefined;
    });
    const probed = await this.probeAll(addresses, verification?.ring);
    const found = probed.find((p) => p.index !== undefined);
    if (found?.index === undefined) {
      const text = `declared ${mode}: nothing could be looked at`;
      return this.report(probed, { declared: mode, verdict: 'unknown', text }, {}, []);
    }
    const facts = this.readIndex(found, found.index.bytes);
    const packages = facts.primary === undefined ? undefined : await this.readPackages(found, facts);
    const samples = await this.lookAtPackages(found.base, packages?.chosen ?? [], verification);
    const trust = this.judge(found.index.signature, samples, packages?.report.count === 0);
    return this.report(probed, trust, { metadata: facts.report, ...(packages ? { packages: packages.report } : {}) }, samples);
  }

  private async probeAll(addresses: readonly string[], ring: KeyRing | undefined): Promise<readonly Probed[]> {
    const { definition } = this.repository;
    const probed: Probed[] = [];
    for (const [index, address] of addresses.entries()) {
      const temporary = join(this.temporary, String(index));
      await mkdir(temporary, { recursive: true, mode: 0o700 });
      const context: AddressContext = { client: this.context.client, signal: this.signal, ring, temporary };
      probed.push(await probe(address, context));
    }
    const [first, ...others] = probed.filter((p) => p.index !== undefined);
    for (const other of others) {
      if (other.report.repomd !== first?.report.repomd)
        this.notes.push(
          `${other.report.url} serves another revision (${other.report.revision ?? 'none'}) than ${first?.report.url} (${first?.report.revision ?? 'none'})`,
        );
    }
    const judged = first?.report;
    for (const { report } of probed) {
      // The first index that there is is judged as a whole, below.
      const problem = report === judged ? report.problem : unusable(report, definition.trust.mode);
      if (problem !== undefined) this.problems.push(problem);
    }
    return probed;
  }

  private readIndex(found: Probed, bytes: Buffer): IndexFacts {
    const url = `${found.base}repodata/repomd.xml`;
    const facts = indexFacts(bytes, url, this.checksums);
    if (facts.problem !== undefined) this.problems.push(facts.problem);
    const selection = judgeSelection(this.repository.definition, facts, url, this.context.now());
    if (selection.problem !== undefined) this.problems.push(selection.problem);
    this.notes.push(...selection.notes);
    if (facts.report.names === 'reused')
      this.notes.push('metadata file names are used again: the previous revision cannot stay fetchable during the grace period');
    return facts;
  }

  private async readPackages(found: Probed, facts: IndexFacts): Promise<{ report: PackagesReport; chosen: readonly Chosen[] } | undefined> {
    const { client, onBytes, onTree, inTurn } = this.context;
    const { id, publicPath, filter } = this.repository.definition;
    const primary = facts.primary as NonNullable<IndexFacts['primary']>;
    const context = {
      client,
      signal: this.signal,
      temporary: this.temporary,
      onBytes: (count: number) => onBytes(id, count),
      checksums: this.checksums,
      filter,
    };
    try {
      const file = await fetchPackages(found.base, primary, context);
      return await inTurn(async () => {
        const { report, packages, problem } = await readPackages(file, found.base, primary, context);
        if (problem !== undefined) this.problems.push(problem);
        if (report.listed === 0) this.notes.push('the repository is empty');
        if (report.count < report.listed)
          this.notes.push(`the filter takes ${report.count} of the ${report.listed} packages that upstream lists`);
        const { bytes, signatureBytes } = found.index as NonNullable<Probed['index']>;
        const indexFiles = [bytes.length, ...(signatureBytes > 0 ? [signatureBytes] : [])];
        onTree({ id, publicPath, packages, metadata: facts.files, indexFiles });
        return { report, chosen: samplesOf(packages) };
      });
    } catch (error) {
      this.problems.push(problemOf(error));
      return undefined;
    }
  }

  private async lookAtPackages(
    base: string,
    chosen: readonly Chosen[],
    verification: { readonly ring: KeyRing; readonly verifier: PackageVerifier } | undefined,
  ): Promise<readonly SampleReport[]> {
    const samples: SampleReport[] = [];
    for (const { item, chosenAs } of chosen) {
      const sample = await lookAtPackage(base, item, chosenAs, {
        client: this.context.client,
        signal: this.signal,
        ring: verification?.ring,
        verifier: verification?.verifier,
        temporary: this.temporary,
      });
      if (sample.problem !== undefined) this.problems.push(sample.problem);
      samples.push(sample);
    }
    return samples;
  }

  private judge(index: NonNullable<Probed['index']>['signature'], samples: readonly SampleReport[], empty: boolean): TrustReport {
    const { definition, trustAt } = this.repository;
    const { verdict, text, instead, problem } = judge(definition.trust, index, samples, empty);
    const alsoFor = this.context.declared
      .filter((other) => trustAt !== undefined && other.trustAt === trustAt && other !== this.repository)
      .map((other) => other.definition.id);
    const change = instead === undefined ? undefined : changeOf(this.context.main, trustAt, instead, alsoFor);
    if (problem !== undefined) {
      const where = trustAt === undefined ? '' : ` (${trustAt.replace(/:\d+$/, '')})`;
      this.problems.push({ ...problem, message: problem.message + where });
    }
    return { declared: definition.trust.mode, verdict, text, ...(change === undefined ? {} : { change }) };
  }

  private report(
    probed: readonly Probed[],
    trust: TrustReport,
    facts: Pick<RepositoryReport, 'metadata' | 'packages'>,
    samples: readonly SampleReport[],
  ): RepositoryReport {
    const misfit = this.problems.some((p) => p.exitCode === 6);
    const looked = probed.length === 0 ? 'not looked at' : 'fits';
    const result = misfit ? 'does not fit' : this.problems.length > 0 ? 'unreachable' : looked;
    return {
      id: this.repository.definition.id,
      result,
      addresses: probed.map((p) => p.report),
      trust,
      ...facts,
      samples,
      notes: this.notes,
      problems: this.problems,
    };
  }
}
