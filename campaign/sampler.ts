/** Asks the site again and again over new connections, in a thread of its own, so that nothing the campaign does slows it down. */
import { request } from 'node:http';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { CampaignError } from './errors';

/** Milliseconds between two samples: more than 80 in a second. */
const PAUSE_MS = 12;
const TIMEOUT_MS = 5000;
/** Published by both states. */
const PATHS = ['/mos-repos/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml', '/.mirror/generation'] as const;
const NAME = 'mirror.example.org';

/** What clients saw during one fault. */
export interface Samples {
  readonly samples: number;
  /** Every answer that was not 200, outside the spans in which the fault itself takes the server away. */
  readonly bad: readonly string[];
  /** Within those spans. */
  readonly exempted: number;
  /** From the first to the last request of those spans that was not answered. */
  readonly downSeconds: number;
  /** Numbers that the site's marker showed. */
  readonly generations: readonly number[];
  readonly slowestMs: number;
}

/** One request and its answer. Times in milliseconds. */
export interface Sample {
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

/** Which samples count, and which fall into a span. Pure. */
export function judge(
  failed: readonly Sample[],
  spans: readonly (readonly [number, number])[],
): Pick<Samples, 'bad' | 'exempted' | 'downSeconds'> {
  const within = (sample: Sample): boolean => spans.some(([from, to]) => sample.from <= to && sample.to >= from);
  const exempt = failed.filter(within);
  const bad = failed.filter((sample) => !within(sample)).map((sample) => sample.what);
  const first = Math.min(...exempt.map((sample) => sample.from));
  const last = Math.max(...exempt.map((sample) => sample.to));
  return { bad, exempted: exempt.length, downSeconds: exempt.length === 0 ? 0 : (last - first) / 1000 };
}

type Order = { readonly do: 'begin' } | { readonly do: 'end'; readonly spans: readonly (readonly [number, number])[] };

/** The thread's side. */
export function sampling(): void {
  const { address } = workerData as { address: string };
  let samples = 0;
  let open = 0;
  let slowestMs = 0;
  let failed: Sample[] = [];
  let generations = new Set<number>();
  const take = (): void => {
    const path = PATHS[samples++ % PATHS.length] as string;
    const from = Date.now();
    let body = '';
    let done = false;
    open++;
    const finish = (what: string, ok: boolean): void => {
      if (done) return;
      done = true;
      open--;
      const to = Date.now();
      slowestMs = Math.max(slowestMs, ok ? to - from : 0);
      if (!ok) failed.push({ from, to, what: `${path}: ${what}` });
    };
    const sent = request(
      { host: address, path, agent: false, headers: { host: NAME, connection: 'close' }, timeout: TIMEOUT_MS },
      (answer) => {
        answer.setEncoding('utf8').on('data', (text: string) => (body += text));
        answer.on('error', (error) => finish(error.message, false));
        answer.on('end', () => {
          const { statusCode = 0 } = answer;
          const marker = path === PATHS[1];
          if (marker && statusCode === 200) generations.add(Number(body));
          finish(`status ${statusCode}`, statusCode === 200 && (marker || body.includes('<repomd')));
        });
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    sent.on('error', (error) => finish(error.message, false));
    sent.end();
  };
  setInterval(take, PAUSE_MS);
  parentPort?.on('message', (order: Order) => {
    if (order.do === 'begin') {
      failed = [];
      generations = new Set();
      samples = 0;
      slowestMs = 0;
      return;
    }
    const until = Date.now();
    const report = (): void => {
      if (open > 2 && Date.now() < until + TIMEOUT_MS) return void setTimeout(report, 5);
      parentPort?.postMessage({ samples, ...judge(failed, order.spans), generations: [...generations].sort((a, b) => a - b), slowestMs });
    };
    report();
  });
}

/** The campaign's side. */
export class Sampler {
  private readonly worker: Worker;
  private spans: [number, number][] = [];

  constructor(address: string, program: string) {
    this.worker = new Worker(program, { workerData: { sampler: true, address } });
  }

  begin(): void {
    this.spans = [];
    this.worker.postMessage({ do: 'begin' } satisfies Order);
  }

  /** The fault itself takes the server away meanwhile: what is not answered counts as its downtime. */
  async exempt<T>(action: () => Promise<T>): Promise<T> {
    const from = Date.now();
    try {
      return await action();
    } finally {
      this.spans.push([from, Date.now()]);
    }
  }

  end(): Promise<Samples> {
    this.worker.postMessage({ do: 'end', spans: this.spans } satisfies Order);
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new CampaignError('the sampler ended'));
      this.worker.once('exit', ended);
      this.worker.once('message', (samples: Samples) => {
        this.worker.off('exit', ended);
        resolve(samples);
      });
    });
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }
}
