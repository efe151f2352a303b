import type { RedisServer } from '../support/redis-server.js';
import { median } from '../support/statistics.js';
import type { Credential, Platform, Stores } from './apps/app-definition.js';
import { LoadProcess, ServerProcess } from './processes.js';
import { EXPECTED_BODY } from './session-content.js';
import { variantsOf, type Variant } from './variants.js';

/** Long enough for V8 to compile what is hot. */
const WARM_UP_SECONDS = 3;

/** One burst. */
export interface Sample {
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
  /** CPU of the server alone, microseconds per request. */
  readonly cpuUs: number;
  /** The part of it that is not the kernel's. */
  readonly userUs: number;
  /** Commands that Redis counted, per request. */
  readonly commands: ReadonlyMap<string, number>;
}

export type Figure = 'requestsPerSecond' | 'p99Ms' | 'cpuUs' | 'userUs';

/** All bursts of one variant, by start of its process and round. Processes of the same code differ, each steadily, by up to a quarter. */
export class Series {
  constructor(
    readonly variant: Variant,
    readonly starts: readonly (readonly Sample[])[],
  ) {}

  get samples(): readonly Sample[] {
    return this.starts.flat();
  }

  /** Of the medians of the starts. */
  median(figure: Figure): number {
    return median(this.starts.map((samples) => median(samples.map((sample) => sample[figure]))));
  }

  ratioTo(other: Series, figure: Figure): number {
    return median(this.#ratiosTo(other, figure));
  }

  /** The lowest and the highest: what a single start may show. */
  spreadTo(other: Series, figure: Figure): readonly [low: number, high: number] {
    const ratios = this.#ratiosTo(other, figure);
    return [Math.min(...ratios), Math.max(...ratios)];
  }

  /** A ratio for each start. Compared within each round, so that what else the machine does meanwhile weighs on both. */
  #ratiosTo(other: Series, figure: Figure): number[] {
    return this.starts.map((samples, start) =>
      median(samples.map((sample, round) => sample[figure] / other.starts[start]![round]![figure])),
    );
  }
}

export interface MeasurementOptions {
  /** How often the processes are started. */
  readonly starts: number;
  /** After each start. */
  readonly rounds: number;
  readonly seconds: number;
  /** How many at once; each number is measured, in turn. */
  readonly connections: readonly number[];
  /** Names of variants; undefined: all. */
  readonly only?: readonly string[] | undefined;
  /** Where the servers leave their CPU profiles; undefined: none are taken. */
  readonly profileFolder?: string | undefined;
}

interface Contestant {
  readonly server: ServerProcess;
  readonly credentials: readonly Credential[];
}

/** All series that were taken with one number of connections. */
export interface Measurement {
  readonly connections: number;
  readonly all: readonly Series[];
}

/** Measures the variants of `platform`, with new processes at each start. */
export async function measure(
  platform: Platform,
  redis: RedisServer,
  stores: Stores,
  options: MeasurementOptions,
): Promise<Measurement[]> {
  const { starts, connections, only } = options;
  const variants = variantsOf(platform).filter(({ name }) => only?.includes(name) ?? true);
  const taken: Sample[][][][] = [];
  while (taken.length < starts) taken.push(await measureOnce(platform, variants, redis, stores, options));
  return connections.map((count, at) => ({
    connections: count,
    all: variants.map(
      (variant, index) =>
        new Series(
          variant,
          taken.map((samples) => samples[at]![index]!),
        ),
    ),
  }));
}

/** @returns samples by number of connections, variant and round, which are taken in turn, after a warm-up of each variant */
async function measureOnce(
  platform: Platform,
  variants: readonly Variant[],
  redis: RedisServer,
  stores: Stores,
  { rounds, seconds, connections, profileFolder }: MeasurementOptions,
): Promise<Sample[][][]> {
  const most = Math.max(...connections);
  const load = new LoadProcess();
  const servers: ServerProcess[] = [];
  try {
    const contestants: Contestant[] = [];
    for (const variant of variants) {
      const server = await ServerProcess.start(platform, variant, stores, profileFolder);
      servers.push(server);
      const credentials: Credential[] = [];
      // One by one: a process that has just started on a busy machine would respond to parallel logins with 503.
      while (credentials.length < most) credentials.push(await server.logIn());
      contestants.push({ server, credentials });
    }
    for (const contestant of contestants) await burst(contestant, load, redis, WARM_UP_SECONDS);

    const taken = connections.map((count) => ({ count, samples: contestants.map((): Sample[] => []) }));
    for (let round = 0; round < rounds; round++) {
      for (const { count, samples } of taken) {
        for (const [index, { server, credentials }] of contestants.entries()) {
          const some = { server, credentials: credentials.slice(0, count) };
          samples[index]!.push(await burst(some, load, redis, seconds));
        }
      }
    }
    return taken.map(({ samples }) => samples);
  } finally {
    await Promise.all([load, ...servers].map((worker) => worker.stop()));
  }
}

async function burst(
  { server, credentials }: Contestant,
  load: LoadProcess,
  redis: RedisServer,
  seconds: number,
): Promise<Sample> {
  const { port, variant } = server;
  const callsBefore = await redis.calls();
  const before = await server.cpuUsed();
  const result = await load.run({ port, path: variant.path, credentials, seconds, expectedBody: EXPECTED_BODY });
  const after = await server.cpuUsed();
  const callsAfter = await redis.calls();
  if (result.fault !== null) throw new Error(`${variant.label} returned a wrong response:\n${result.fault}`);

  const made = [...callsAfter].map(([command, count]): [string, number] => [
    command,
    (count - (callsBefore.get(command) ?? 0)) / result.requests,
  ]);
  return {
    requestsPerSecond: result.requests / result.seconds,
    p99Ms: result.p99Ms,
    cpuUs: (after.user + after.system - before.user - before.system) / result.requests,
    userUs: (after.user - before.user) / result.requests,
    commands: new Map(made.filter(([, perRequest]) => perRequest > 0)),
  };
}
