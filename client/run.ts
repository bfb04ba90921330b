/** One run: what is here already, then round by round what is not. A file that fails at one place is asked for at the next. */
import { rmSync } from 'node:fs';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { DownloadError } from '../downloads/errors';
import { forEachParallel } from '../downloads/parallel';
import type { RetryOptions } from '../downloads/sources';
import { isForeign } from '../signatures/foreign-key';
import { isUnsigned } from '../signatures/packages';
import { type Fetched, fetchOffer } from './fetch';
import type { Keys } from './keys';
import type { Offer, Place, PlaceProblem, Round } from './places';
import { type KnownDigest, type Requirement, requirementOf } from './requirement';
import type { Servers } from './servers';
import { isMissing } from './sums';
import { originOf, recordedName, type Wanted } from './wanted';
import type { Known, Proof, Workspace } from './workspace';

/** Why a file could not be had at one place. */
export interface Failure {
  readonly place: string;
  readonly error: MirrorError;
}

/** What became of a file. In a dry run `found` where metadata lists it, `not asked` where only its address is known. */
export interface Outcome {
  readonly wanted: Wanted;
  status: 'present' | 'fetched' | 'found' | 'not asked' | 'failed';
  place?: string;
  url?: string;
  sha256?: string;
  size?: number;
  proof?: Proof;
  /** Of an archive that was made: what is recorded of it. */
  tar?: { readonly name: string; readonly sha256: string };
  readonly failures: Failure[];
}

export interface RunOptions {
  readonly workspace: Workspace;
  readonly servers: Servers;
  readonly retry: RetryOptions;
  /** Requests under way at a time. */
  readonly parallel: number;
  /** What decides which bytes a file has: asked first, whatever the order of sources is. */
  readonly authorities: readonly Place[];
  readonly rounds: readonly Round[];
  /** Digests recorded beside the lists: name → SHA-256. */
  readonly recorded: ReadonlyMap<string, string>;
  readonly firstSight: boolean;
  /** Reads again what is there. */
  readonly verify: boolean;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly progress: { readonly start: (files: number) => void; readonly onBytes: (count: number) => void; readonly onFile: () => void };
}

interface Candidate {
  readonly place: Place;
  readonly offer: Offer;
}

interface Job {
  readonly outcome: Outcome;
  readonly candidates: Candidate[];
}

interface Arrived {
  readonly outcome: Outcome;
  readonly candidate: Candidate;
  readonly requirement: Requirement;
  readonly fetched: Fetched;
}

/** So many files are arguments of one rpmkeys. */
const BATCH = 200;

export class Run {
  readonly problems: PlaceProblem[] = [];
  /** What is known of each file so far, also of a run that was interrupted. */
  outcomes: readonly Outcome[] = [];
  private readonly known = new Map<Wanted, KnownDigest>();
  private readonly failing = new Set<string>();

  constructor(private readonly options: RunOptions) {}

  async all(wanted: readonly Wanted[]): Promise<readonly Outcome[]> {
    const { recorded, authorities, rounds, progress } = this.options;
    await this.ask(authorities, wanted, (one, { offer }) => {
      const { checksum, size, proof } = offer;
      if (checksum !== undefined && proof !== undefined) this.known.set(one, { checksum, size, proof, says: 'the mirror says' });
    });
    // What was reviewed wins over what the mirror says today.
    for (const one of wanted) {
      const hex = one.made === undefined ? recorded.get(recordedName(one)) : undefined;
      if (hex !== undefined)
        this.known.set(one, { checksum: { algorithm: 'sha256', hex }, size: undefined, proof: 'recorded digest', says: 'recorded is' });
    }
    this.outcomes = wanted.map((one): Outcome => ({ wanted: one, status: 'failed', failures: [] }));
    const { outcomes } = this;
    for (const outcome of outcomes) await this.lookHere(outcome);
    const pending = (): Outcome[] => outcomes.filter(({ status }) => status === 'failed');
    progress.start(pending().length);
    for (const round of rounds) {
      const left = pending();
      if (left.length === 0) break;
      await this.round(round, left);
    }
    return outcomes;
  }

  /** Whether the file is here, as it must be. */
  private async lookHere(outcome: Outcome): Promise<void> {
    const { workspace, verify } = this.options;
    const { wanted } = outcome;
    const known = this.known.get(wanted);
    const seen = workspace.has(wanted.path, known?.checksum);
    if (seen !== undefined && !this.isMeant(wanted, seen)) return;
    if (seen !== undefined && !verify) return present(outcome, seen);
    const checksum = known?.checksum ?? (seen === undefined ? undefined : ({ algorithm: 'sha256', hex: seen.sha256 } as const));
    if (checksum === undefined) return;
    const sha256 = await workspace.isThere(wanted.path, checksum, known?.size);
    if (sha256 === undefined) return;
    const proof = known?.proof ?? seen?.proof ?? 'recorded digest';
    const { tar } = seen ?? {};
    if (!this.options.dryRun) workspace.note(wanted.path, { sha256, proof, checksum, origin: originOf(wanted), tar });
    present(outcome, { sha256, proof, tar });
  }

  /** Whether what was verified earlier is what the lists and the recorded digests ask for now. */
  private isMeant(wanted: Wanted, { origin, proof, tar }: Known): boolean {
    const recordedTar = wanted.made === undefined ? undefined : this.options.recorded.get(recordedName(wanted));
    const known = this.known.get(wanted);
    if (recordedTar !== undefined && known === undefined) return tar === recordedTar;
    // A digest that somebody reviewed or signed says what it must be, whatever its address is.
    if (known !== undefined && proof !== 'first sight') return true;
    const now = originOf(wanted);
    return now === undefined || now === origin;
  }

  private async round(round: Round, left: readonly Outcome[]): Promise<void> {
    const byWanted = new Map(left.map((outcome): [Wanted, Job] => [outcome.wanted, { outcome, candidates: [] }]));
    await this.ask(round, [...byWanted.keys()], (one, candidate) => byWanted.get(one)?.candidates.push(candidate));
    let jobs = [...byWanted.values()].filter(({ candidates }) => candidates.length > 0);
    while (jobs.length > 0) {
      await this.fetchAll(jobs);
      jobs = jobs.filter(({ outcome, candidates }) => outcome.status === 'failed' && candidates.length > 0);
    }
  }

  /** Asks places at the same time; hands their offers over in the order of the places. One that cannot be used costs what it alone has. */
  private async ask(places: readonly Place[], wanted: readonly Wanted[], take: (one: Wanted, candidate: Candidate) => void): Promise<void> {
    const answers = await Promise.all(
      places.map(async (place) => {
        try {
          return await place.offers(wanted);
        } catch (error) {
          this.problem(place, error);
          return new Map<Wanted, Offer>();
        }
      }),
    );
    answers.forEach((offers, index) => {
      for (const [one, offer] of offers) take(one, { place: places[index] as Place, offer });
    });
  }

  private problem(place: Place, error: unknown): void {
    if (!(error instanceof MirrorError) || error.exitCode === ExitCode.environment) throw error;
    // A mirror need not copy every repository; what is meant to have everything, and an upstream that is declared, must be there.
    if (place.side === 'mirror' && !place.authority && isMissing(error)) return;
    if (this.failing.has(place.name)) return;
    this.failing.add(place.name);
    this.problems.push({ place: place.name, error });
  }

  /** Tries the next candidate of each job. */
  private async fetchAll(jobs: readonly Job[]): Promise<void> {
    const unproven = new Map<Keys, Arrived[]>();
    await forEachParallel(jobs, this.options.parallel, async ({ outcome, candidates }) => {
      const candidate = candidates.shift() as Candidate;
      try {
        const arrived = await this.fetch(outcome, candidate);
        if (arrived === undefined) return;
        const { keys } = arrived.requirement;
        if (keys === undefined) this.take(arrived, arrived.requirement.proof);
        else unproven.set(keys, [...(unproven.get(keys) ?? []), arrived]);
      } catch (error) {
        failed(outcome, candidate, error);
      }
    });
    for (const [keys, arrived] of unproven)
      for (let from = 0; from < arrived.length; from += BATCH) await this.prove(keys, arrived.slice(from, from + BATCH));
  }

  private async fetch(outcome: Outcome, candidate: Candidate): Promise<Arrived | undefined> {
    const { workspace, servers, retry, recorded, firstSight, dryRun, signal, progress } = this.options;
    const { wanted } = outcome;
    const { offer } = candidate;
    const recordedTar = wanted.made === undefined ? undefined : recorded.get(recordedName(wanted));
    const known = this.known.get(wanted);
    // What is made is proven by its tar, whoever made it; so its own digest is not known before, unless the mirror says it of its file.
    const requirement: Requirement =
      recordedTar === undefined || (offer.make === undefined && (known !== undefined || offer.refused !== undefined))
        ? requirementOf(wanted, offer, known, firstSight)
        : { checksum: undefined, size: undefined, says: '', proof: 'recorded digest' };
    if (dryRun) {
      const url = offer.make?.url ?? `${offer.sources.ordered()[0]}${offer.href}`;
      const status = offer.checksum === undefined ? 'not asked' : 'found';
      Object.assign(outcome, { status, place: candidate.place.name, url, size: requirement.size, proof: requirement.proof });
      return undefined;
    }
    const { checksum } = requirement;
    // Of a file that nobody knew before: it may be here all the same.
    const here =
      checksum === undefined || this.known.has(wanted) || requirement.keys !== undefined
        ? undefined
        : await workspace.isThere(wanted.path, checksum, requirement.size);
    if (here !== undefined) {
      workspace.note(wanted.path, { sha256: here, proof: requirement.proof, checksum, origin: originOf(wanted) });
      present(outcome, { sha256: here, proof: requirement.proof });
      progress.onFile();
      return undefined;
    }
    const fetched = await fetchOffer(wanted, offer, requirement, {
      workspace,
      servers,
      retry,
      onBytes: progress.onBytes,
      signal,
      recordedTar,
    });
    return { outcome, candidate, requirement, fetched };
  }

  /** Looks at the signatures of packages, and takes those that are good. */
  private async prove(keys: Keys, arrived: readonly Arrived[]): Promise<void> {
    const { workspace } = this.options;
    const paths = new Map(arrived.map((one) => [workspace.partial(one.outcome.wanted.path), one]));
    const verifier = await keys.verifier();
    // Without a key nothing is signed well; a package that is not whole is not taken at first sight either.
    const failures = await (keys.isEmpty ? verifier.damaged([...paths.keys()]) : verifier.failures([...paths.keys()]));
    for (const [path, one] of paths) {
      const reason = failures.get(path);
      if (reason === undefined && !keys.isEmpty) this.take(one, 'package signature');
      else if (one.requirement.orFirstSight === true && (reason === undefined || isUnsigned(reason) || isForeign(reason)))
        this.take(one, 'first sight');
      else {
        rmSync(path, { force: true });
        const { url } = one.fetched;
        const error = new DownloadError({
          kind: 'corrupt',
          code: 'PACKAGE_UNPROVEN',
          message: `${url}: ${reason ?? 'there is no key'}`,
          remedy: one.candidate.offer.keysRemedy ?? 'Compare the key with what the upstream publishes.',
        });
        failed(one.outcome, one.candidate, error);
      }
    }
  }

  private take({ outcome, candidate, requirement, fetched }: Arrived, proof: Proof): void {
    const { workspace, progress } = this.options;
    const { path } = outcome.wanted;
    const { sha256, size, url } = fetched;
    if (fetched.tar !== undefined) outcome.tar = { name: recordedName(outcome.wanted), sha256: fetched.tar };
    workspace.take(path, workspace.partial(path), {
      sha256,
      proof,
      checksum: requirement.checksum,
      origin: originOf(outcome.wanted),
      tar: fetched.tar,
    });
    Object.assign(outcome, { status: 'fetched', place: candidate.place.name, url, sha256, size, proof });
    progress.onFile();
  }
}

function present(
  outcome: Outcome,
  { sha256, proof, tar }: { readonly sha256: string; readonly proof: Proof; readonly tar?: string | undefined },
): void {
  Object.assign(outcome, { status: 'present', sha256, proof });
  if (tar !== undefined) outcome.tar = { name: recordedName(outcome.wanted), sha256: tar };
}

/** Only what is wrong with the place or with what it sent: a full disk would be full for the next one, too. */
function failed({ failures }: Outcome, { place }: Candidate, error: unknown): void {
  if (!(error instanceof MirrorError) || error.exitCode === ExitCode.environment) throw error;
  failures.push({ place: place.name, error });
}
