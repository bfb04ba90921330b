/**
 * `mirrorctl uploads take`: publishes what an account uploaded. Each batch is one publish, all or nothing, each build too
 * (upload-take-builds.ts); files that lie by themselves have each its own fate. What was published leaves the directory only afterwards: a run that is killed leaves it there, and the next one finds that it is
 * published already.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type UploadDefinition, uploadDirectory } from '../desired-state/definitions';
import { ExitCode, MirrorError } from '../desired-state/errors';
import { type HostedComponent, hostedComponents } from './definitions';
import { machineFault } from './files';
import { holding, waitingFor } from './lock';
import { changeComponent, type ChangeOutcome, type PublishContext } from './publish';
import { present } from './present';
import { requireStorage } from './storage';
import { type Arrival, arrivalsIn, CUT_FOR, LINGERS, MAX_BYTES, moveAway, removeTaken, SETTLED, withDirectory } from './upload-arrivals';
import { CONCERNS_UPLOAD, forgetOld, REFUSED, refusedDirectory, tellAccount, type UploadedFile, type UploadResult } from './upload-results';
import { TakingBuilds } from './upload-take-builds';

export interface TakeContext extends PublishContext {
  /** Where uploads arrive: `UPLOADS.root`. */
  readonly uploads: string;
}

/** From one look to the next. */
const LOOKS = 1000;

/** Ends when nothing arrives any more. Throws a MirrorError for what hinders it, after everything else was taken; what it concerns stays. */
export async function takeUploads(context: TakeContext, account: UploadDefinition): Promise<readonly UploadResult[]> {
  const { layout, definitions } = context;
  await requireStorage(layout, definitions.server);
  const place = join(context.uploads, account.id);
  if (!(await stat(place).catch(() => undefined))?.isDirectory())
    throw new MirrorError({
      code: 'NO_UPLOADS',
      message: `${place}, where ${account.id} uploads to, is not there`,
      remedy: 'Deploy again: the activation makes it.',
      exitCode: ExitCode.environment,
    });
  return holding(layout.lockFile(`+uploads+${account.id}`), `what ${account.id} uploaded`, waitingFor(context), async () => {
    await forgetOld(place, context.now());
    return new Taking(context, account, place).run();
  });
}

class Taking {
  private readonly results: UploadResult[] = [];
  /** What was looked at and stays as it is: until something of it changes it is not looked at again. */
  private readonly left = new Set<string>();
  private hindrance: Error | undefined;

  constructor(
    private readonly context: TakeContext,
    private readonly account: UploadDefinition,
    private readonly place: string,
  ) {}

  async run(): Promise<readonly UploadResult[]> {
    for (;;) {
      // Each time anew: the run goes on while something arrives, and a deploy may end meanwhile.
      const definitions = await this.context.declared();
      const account = definitions.uploads.find(({ id }) => id === this.account.id);
      let looked = 0;
      const components = hostedComponents(definitions).filter(({ id }) => account?.components.includes(id));
      let moves = false;
      for (const component of components) moves = (await this.component(component)) || moves;
      for (const build of account?.builds ?? []) {
        const found = await this.builds(build);
        moves ||= found.moves;
        looked += found.looked;
      }
      if (this.hindrance !== undefined) throw this.hindrance;
      if (!moves) return this.results;
      // Looking at builds of many files is work: a twentieth of the time at most.
      await sleep(Math.min(Math.max(LOOKS, 20 * looked), LINGERS));
    }
  }

  /** True while there is, or may soon be, more to take. */
  private async component(component: HostedComponent): Promise<boolean> {
    const found = await arrivalsIn(join(this.place, uploadDirectory(component.id)));
    const now = this.context.now().getTime();
    const others = found.filter((one) => !this.left.has(markOf(one)));
    const ready = others.filter(({ arriving, changed }) => !arriving && now - changed >= SETTLED);
    const [odd, good] = [ready.filter(({ fault }) => fault !== undefined), ready.filter(({ fault }) => fault === undefined)];
    try {
      for (const arrival of odd) await this.refuse(component, arrival, [odds(arrival)]);
      await this.files(
        component,
        good.filter(({ kind }) => kind === 'file'),
      );
      for (const arrival of good.filter(({ kind }) => kind === 'batch')) await this.batch(component, arrival);
    } catch (error) {
      this.hindrance ??= error as Error;
      return false;
    }
    return ready.length > 0 || others.some(({ changed }) => now - changed < LINGERS);
  }

  /** The same of the builds of a series. */
  private async builds(build: { readonly series: string; readonly directory: string }): Promise<{ moves: boolean; looked: number }> {
    const { series, directory } = build;
    const tell = (result: UploadResult): Promise<void> => this.tell(result, directory);
    try {
      return await new TakingBuilds({ ...this.context, tell, left: this.left, place: this.place }, series, directory).run();
    } catch (error) {
      this.hindrance ??= error as Error;
      return { moves: false, looked: 0 };
    }
  }

  /** Those that are good are published together, as many as one call takes; each that is refused leaves first. */
  private async files(component: HostedComponent, arrivals: readonly Arrival[]): Promise<void> {
    for (const portion of portionsOf(arrivals)) await this.portion(component, portion);
  }

  private async portion(component: HostedComponent, arrivals: readonly Arrival[]): Promise<void> {
    for (let rest = arrivals; rest.length > 0;) {
      const directory = join(this.place, uploadDirectory(component.id));
      const { files, snapshot } = await this.publish(
        component,
        rest.map(({ name }) => join(directory, name)),
      );
      const each = rest.map((arrival, index) => ({ arrival, file: files[index] as UploadedFile }));
      const refused = each.filter(({ file }) => file.result === 'refused');
      for (const { arrival, file } of refused) await this.refuse(component, arrival, [file]);
      if (refused.length === 0) for (const { arrival, file } of each) await this.taken(component, arrival, [file], snapshot);
      rest = refused.length === 0 ? [] : each.filter(({ file }) => file.result !== 'refused').map(({ arrival }) => arrival);
    }
  }

  private async batch(component: HostedComponent, arrival: Arrival): Promise<void> {
    const outcome = await withDirectory(arrival.path, (stable) =>
      this.publish(
        component,
        arrival.files.map(({ name }) => `${stable}/${name}`),
      ),
    );
    // It has another name by now.
    if (outcome === undefined) return;
    if (outcome.files.some(({ result }) => result === 'refused')) await this.refuse(component, arrival, outcome.files);
    else await this.taken(component, arrival, outcome.files, outcome.snapshot);
  }

  /** What becomes of each file, in their order. What concerns all of them and will not pass by waiting refuses all of them. */
  private async publish(
    component: HostedComponent,
    paths: readonly string[],
  ): Promise<Pick<ChangeOutcome, 'snapshot'> & { readonly files: readonly UploadedFile[] }> {
    const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
    try {
      const outcome = await changeComponent(this.context, { component, add: paths.map((file) => ({ file })), remove: [] });
      const files = outcome.files.map(({ file, package: named, result, code, message, remedy }) => ({
        file: nameOf(file),
        ...present({ package: named }),
        result,
        ...present({ code, message, remedy: code === 'PERMISSION' ? UNREADABLE : remedy }),
      }));
      return { snapshot: outcome.snapshot, files };
    } catch (thrown) {
      const error = machineFault(thrown);
      if (!(error instanceof MirrorError) || !CONCERNS_UPLOAD.has(error.exitCode)) throw error;
      const { code, message, remedy } = error;
      return { snapshot: undefined, files: paths.map((path) => ({ file: nameOf(path), result: 'refused', code, message, remedy })) };
    }
  }

  private async taken(
    component: HostedComponent,
    arrival: Arrival,
    files: readonly UploadedFile[],
    snapshot: string | undefined,
  ): Promise<void> {
    await this.tell({ ...this.resultOf(component, arrival, 'published', files), ...(snapshot === undefined ? {} : { snapshot }) });
    await removeTaken(arrival);
  }

  private async refuse(component: HostedComponent, arrival: Arrival, files: readonly UploadedFile[]): Promise<void> {
    const refused = files.filter(({ result }) => result === 'refused');
    const young = this.context.now().getTime() - arrival.changed < CUT_FOR;
    if (young && refused.every(({ code = '' }) => UNFINISHED.includes(code))) {
      this.left.add(markOf(arrival));
      this.context.say(`${component.id}: ${arrival.name} is cut or changes, and may still be on its way`);
      return;
    }
    const result = this.resultOf(component, arrival, 'refused', files);
    const directory = await refusedDirectory(this.place, result);
    if (!(await moveAway(arrival, join(directory, REFUSED)))) this.left.add(markOf(arrival));
    await this.tell(result);
  }

  private resultOf(
    component: HostedComponent,
    arrival: Arrival,
    result: UploadResult['result'],
    files: readonly UploadedFile[],
  ): UploadResult {
    return { upload: arrival.name, component: component.id, at: this.context.now().toISOString(), result, files: [...files] };
  }

  private async tell(result: UploadResult, directory = uploadDirectory(result.component)): Promise<void> {
    this.results.push(result);
    try {
      await tellAccount(this.place, directory, result);
    } catch (error) {
      // The account may have filled the disk: what it uploaded leaves all the same.
      this.context.say(`what became of ${result.upload} cannot be told to ${this.account.id}: ${(machineFault(error) as Error).message}`);
    }
  }
}

const UNREADABLE = 'Upload it as FILE.part, give it a mode that the mirror may read (sftp: chmod 660 FILE.part), and rename it to FILE.';

/** What a file is refused for that is not all here yet. */
const UNFINISHED = ['PACKAGE_CUT', 'FILE_CHANGED'];

function odds({ name, fault = '' }: Arrival): UploadedFile {
  return { file: name, result: 'refused', code: 'UPLOAD_REFUSED', message: fault, remedy: 'Upload it again as it should be.' };
}

/** In their order; each of at most `MAX_BYTES`, or of one file. Pure. */
export function portionsOf<T extends Pick<Arrival, 'bytes'>>(arrivals: readonly T[], most = MAX_BYTES): readonly (readonly T[])[] {
  const portions: T[][] = [];
  let bytes = 0;
  for (const arrival of arrivals) {
    bytes += arrival.bytes;
    const open = portions.at(-1);
    if (open !== undefined && bytes <= most) open.push(arrival);
    else {
      portions.push([arrival]);
      bytes = arrival.bytes;
    }
  }
  return portions;
}

function markOf({ name, changed, files }: Arrival): string {
  return JSON.stringify([name, changed, files.map(({ mark }) => mark)]);
}
