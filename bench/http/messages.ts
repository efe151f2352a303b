import type { SignedIn } from './apps/app-definition.js';

/** From a server process, once it listens. */
export interface Listening {
  readonly port: number;
}

/** From a server process, on request: microseconds of CPU time since its start, in user code and in the kernel. */
export type CpuUsed = Readonly<NodeJS.CpuUsage>;

/** To the load process: as many connections as credentials, each with one request under way at a time. */
export interface Burst {
  readonly port: number;
  readonly path: string;
  readonly credentials: readonly SignedIn[];
  readonly seconds: number;
}

/** From the load process, when a burst is over. */
export interface BurstResult {
  readonly requests: number;
  readonly seconds: number;
  readonly p99Ms: number;
  /** The first unexpected response. */
  readonly fault: string | null;
}
