import type { RedisServer } from '../support/redis-server.js';
import { median, quantile } from '../support/statistics.js';
import type { Platform, SignedIn, Stores } from './apps/app-definition.js';
import { LoadProcess, ServerProcess } from './processes.js';
import { variantsOf, type Variant } from './variants.js';

/** Long enough for V8 to compile what is hot. */
const WARM_UP_SECONDS = 2;

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

/** All bursts of one variant, by start of its process and round. */
export class Series {
  readonly #starts: readonly Readonly<Record<Figure, number>>[];

  constructor(
    readonly variant: Variant,
    starts: readonly (readonly Sample[])[],
  ) {
    this.samples = starts.flat();
    const of = (samples: readonly Sample[], figure: Figure): number => median(samples.map((sample) => sample[figure]));
    this.#starts = starts.map((samples) => ({
      requestsPerSecond: of(samples, 'requestsPerSecond'),
      p99Ms: of(samples, 'p99Ms'),
      cpuUs: of(samples, 'cpuUs'),
      userUs: of(samples, 'userUs'),
    }));
  }

  readonly samples: readonly Sample[];

  /** Of the medians of the starts. */
  median(figure: Figure): number {
    return median(this.#starts.map((start) => start[figure]));
  }

  ratioTo(other: Series, figure: Figure): number {
    return this.median(figure) / other.median(figure);
  }

  /** The middle half of the ratios within each start: what a single one may show. */
  spreadTo(other: Series, figure: Figure): readonly [low: number, high: number] {
    const ratios = this.#starts.map((start, index) => start[figure] / other.#starts[index]![figure]);
    return [quantile(ratios, 0.25), quantile(ratios, 0.75)];
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

/** All series that were taken with one number of connections. */
export interface Measurement {
  readonly connections: number;
  readonly all: readonly Series[];
}

/** A variant that listens, with a session for each connection. */
interface Contestant {
  readonly server: ServerProcess;
  readonly credentials: readonly SignedIn[];
}

/**
 * Measures the variants of `platform` in turn, as often as they are to be started. Each runs alone: of several copies of one server that
 * live at the same time, those that were started first are up to a third faster. Every second time the order is turned over.
 */
export async function measure(
  platform: Platform,
  redis: RedisServer,
  stores: Stores,
  options: MeasurementOptions,
): Promise<Measurement[]> {
  const { starts, connections, only } = options;
  const variants = variantsOf(platform).filter(({ name }) => only?.includes(name) ?? true);
  const taken = variants.map((): Sample[][][] => []);
  const load = new LoadProcess();
  try {
    for (let start = 0; start < starts; start++) {
      const order = start % 2 === 0 ? variants : variants.toReversed();
      for (const variant of order) {
        const server = await ServerProcess.start(platform, variant, stores, options.profileFolder);
        try {
          taken[variants.indexOf(variant)]!.push(await measureOne(server, load, redis, options));
        } finally {
          await server.stop();
        }
      }
    }
  } finally {
    await load.stop();
  }
  return connections.map((count, at) => ({
    connections: count,
    all: variants.map(
      (variant, index) =>
        new Series(
          variant,
          taken[index]!.map((samples) => samples[at]!),
        ),
    ),
  }));
}

/** @returns samples by number of connections and round */
async function measureOne(
  server: ServerProcess,
  load: LoadProcess,
  redis: RedisServer,
  { rounds, seconds, connections }: MeasurementOptions,
): Promise<Sample[][]> {
  const credentials: SignedIn[] = [];
  // One by one: a process that has just started on a busy machine would respond to parallel logins with 503.
  while (credentials.length < Math.max(...connections)) credentials.push(await server.logIn());
  await burst({ server, credentials }, load, redis, WARM_UP_SECONDS);
  const taken = connections.map((): Sample[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [at, count] of connections.entries()) {
      taken[at]!.push(await burst({ server, credentials: credentials.slice(0, count) }, load, redis, seconds));
    }
  }
  return taken;
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
  const result = await load.run({ port, path: variant.path, credentials, seconds });
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
