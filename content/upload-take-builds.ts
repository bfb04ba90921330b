/**
 * Builds that an account uploaded, of one series: what is complete is published, told and removed, in this order, so that a run that is killed
 * finds it again and publishes nothing twice. What is not complete waits, for days if need be.
 */
import { join } from 'node:path';
import { MirrorError } from '../desired-state/errors';
import { type BuildPublished, publishBuild } from './build-publish';
import { machineFault } from './files';
import type { PublishContext } from './publish';
import { CUT_FOR, LINGERS, moveAway, SETTLED, withDirectory } from './upload-arrivals';
import { type BuildArrival, buildsIn, removeBuild, removeLeftovers, setAside } from './upload-builds';
import { CONCERNS_UPLOAD, REFUSED, refusedDirectory, type UploadedFile, type UploadResult } from './upload-results';

export interface TakeBuildsContext extends PublishContext {
  readonly tell: (result: UploadResult) => Promise<void>;
  /** What was looked at and stays as it is, until something of it changes. */
  readonly left: Set<string>;
  /** Of the account. */
  readonly place: string;
}

/** What is not complete and has not changed for so many days is given up. */
export const GIVEN_UP_DAYS = 14;
const GIVEN_UP = GIVEN_UP_DAYS * 24 * 3_600_000;

export class TakingBuilds {
  private readonly directory: string;

  constructor(
    private readonly context: TakeBuildsContext,
    private readonly series: string,
    directory: string,
  ) {
    this.directory = join(context.place, directory);
  }

  /**
   * Whether there is, or may soon be, more to take; and for how many milliseconds it looked. Throws what hinders it; what it concerns stays.
   */
  async run(): Promise<{ readonly moves: boolean; readonly looked: number }> {
    const before = Date.now();
    const found = await buildsIn(this.directory);
    const looked = Date.now() - before;
    const others = found.filter((one) => !this.context.left.has(markOf(this.series, one)));
    let moves = false;
    for (const one of others) {
      const age = this.ageOf(one);
      if (one.lacks !== undefined ? age >= GIVEN_UP : age >= SETTLED) {
        await this.take(one, age);
        moves = true;
      } else moves ||= age < LINGERS;
    }
    return { moves, looked };
  }

  private ageOf({ changed }: BuildArrival): number {
    return this.context.now().getTime() - changed;
  }

  private async take(arrival: BuildArrival, age: number): Promise<void> {
    const { lacks, fault, leftovers } = arrival;
    if (lacks !== undefined)
      return this.refuse(arrival, {
        code: 'UPLOAD_GIVEN_UP',
        message: `it has not changed for ${GIVEN_UP_DAYS} days, and lacks ${lacks}`,
        remedy: 'Upload it again, whole.',
      });
    if (fault !== undefined)
      return this.refuse(arrival, { code: 'UPLOAD_REFUSED', message: fault, remedy: 'Upload it again as it should be.' });
    if (leftovers.length > 0) return this.clean(arrival, age);
    return this.publish(arrival, age);
  }

  /** What an interrupted transfer left is no part of a build; one that goes on may need it still. */
  private async clean(arrival: BuildArrival, age: number): Promise<void> {
    if (age < LINGERS || (await removeLeftovers(arrival))) return;
    await this.orWait(arrival, age, {
      code: 'UPLOAD_REFUSED',
      message: `parts of an interrupted transfer are in it, which the mirror cannot remove: ${arrival.leftovers.slice(0, 3).join(', ')}`,
      remedy: 'Transfer it again with the options of that time, or remove them.',
    });
  }

  private async publish(arrival: BuildArrival, age: number): Promise<void> {
    const { series, context } = this;
    const { name } = arrival;
    try {
      const published = await withDirectory(arrival.path, (directory) =>
        publishBuild(context, { series, timestamp: name, directory, sums: 'required' }),
      );
      // It has another name by now.
      if (published === undefined) return;
      await context.tell(this.resultOf(arrival, { file: name, ...outcomeOf(published) }));
      if (!(await removeBuild(this.directory, arrival)))
        context.say(`${series}: ${name} changed while it was published, and is looked at again`);
    } catch (thrown) {
      const error = machineFault(thrown);
      if (!(error instanceof MirrorError) || !(concernsUpload(error) || error.message.includes(this.directory))) throw error;
      const { code, message } = error;
      const remedy = code === 'PERMISSION' ? READABLE : error.remedy;
      if (UNFINISHED.includes(code)) await this.orWait(arrival, age, { code, message, remedy });
      else await this.refuse(arrival, { code, message, remedy });
    }
  }

  /** A file may be on its way that has its name already, as SFTP leaves them: refused only when nothing changed for a while. */
  private async orWait(arrival: BuildArrival, age: number, reason: Reason): Promise<void> {
    if (age >= CUT_FOR) return this.refuse(arrival, reason);
    this.context.left.add(markOf(this.series, arrival));
    this.context.say(`${this.series}: ${arrival.name} may still be on its way: ${reason.message}`);
  }

  private async refuse(arrival: BuildArrival, reason: Reason): Promise<void> {
    const result = this.resultOf(arrival, { file: arrival.name, result: 'refused', ...reason });
    const target = join(await refusedDirectory(this.context.place, result), REFUSED);
    if (!(await moveAway(arrival, target)) && !(await setAside(this.directory, arrival)))
      this.context.left.add(markOf(this.series, arrival));
    await this.context.tell(result);
  }

  private resultOf(arrival: BuildArrival, file: UploadedFile): UploadResult {
    const result = file.result === 'refused' ? 'refused' : 'published';
    return { upload: arrival.name, component: this.series, at: this.context.now().toISOString(), result, files: [file] };
  }
}

interface Reason {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

/** What a build is refused for that is not all here yet. */
const UNFINISHED = ['BUILD_SUMS', 'BUILD_CHANGED', 'NO_SUCH_DIRECTORY'];

const READABLE = 'Upload it with modes by which its group may read it: chmod -R u+rwX,g+rX before sftp.';

/** What the account reads of it. */
function outcomeOf({ result, files, links }: BuildPublished): Pick<UploadedFile, 'result' | 'message'> {
  if (result === 'unchanged') return { result: 'skipped', message: 'the very same is published already' };
  const moved = links.map(({ link, to }) => `${link} leads to ${to ?? 'nothing'}`);
  return { result: 'published', message: `${files} files; ${moved.length === 0 ? 'no link moved' : moved.join(', ')}` };
}

/** By its exit code, and for a name that no build can have. */
function concernsUpload({ exitCode, code }: MirrorError): boolean {
  return CONCERNS_UPLOAD.has(exitCode) || code === 'BUILD_TIMESTAMP';
}

function markOf(series: string, { name, changed, files, bytes }: BuildArrival): string {
  return JSON.stringify([series, name, changed, files, bytes]);
}
