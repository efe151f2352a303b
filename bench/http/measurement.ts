import type { RedisServer } from '../support/redis-server.js';
import { median, quantile } from '../support/statistics.js';
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

/** All bursts of one variant, in the order of the rounds. */
export class Series {
  constructor(
    readonly variant: Variant,
    readonly samples: readonly Sample[],
  ) {}

  median(figure: Figure): number {
    return median(this.samples.map((sample) => sample[figure]));
  }

  /** Compared within each round, so that what else the machine does meanwhile weighs on both. */
  ratioTo(other: Series, figure: Figure): number {
    return median(this.#ratiosTo(other, figure));
  }

  /** The middle half of those ratios: what a single run may show. */
  spreadTo(other: Series, figure: Figure): readonly [low: number, high: number] {
    const ratios = this.#ratiosTo(other, figure);
    return [quantile(ratios, 0.25), quantile(ratios, 0.75)];
  }

  #ratiosTo(other: Series, figure: Figure): number[] {
    return this.samples.map((sample, round) => sample[figure] / other.samples[round]![figure]);
  }
}

export interface MeasurementOptions {
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

/** Measures the variants of `platform` in turn, round by round, after a warm-up of each. */
export async function measure(
  platform: Platform,
  redis: RedisServer,
  stores: Stores,
  { rounds, seconds, connections, only, profileFolder }: MeasurementOptions,
): Promise<Measurement[]> {
  const most = Math.max(...connections);
  const variants = variantsOf(platform).filter(({ name }) => only?.includes(name) ?? true);
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
    return taken.map(({ count, samples }) => ({
      connections: count,
      all: contestants.map(({ server }, index) => new Series(server.variant, samples[index]!)),
    }));
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
