import type { Credential } from './apps/app-definition.js';

/** From a server process, once it listens. */
export interface Listening {
  readonly port: number;
}

/** From a server process, whenever it is asked: microseconds of CPU that it has used since its start, in its own code and in the kernel. */
export type CpuUsed = Readonly<NodeJS.CpuUsage>;

/** To the load process: as many connections as credentials, each with one request under way at a time. */
export interface Burst {
  readonly port: number;
  readonly path: string;
  readonly credentials: readonly Credential[];
  readonly seconds: number;
  readonly expectedBody: string;
}

/** From the load process, when a burst is over. */
export interface BurstResult {
  readonly requests: number;
  readonly seconds: number;
  readonly p99Ms: number;
  /** What was wrong with the first answer that was not the expected one. */
  readonly fault: string | null;
}
