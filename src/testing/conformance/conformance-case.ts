import type { Arena } from './arena.js';

/** One requirement of the contract. */
export interface ConformanceCase {
  /** What a backend has to do; this sentence names a failure. */
  readonly name: string;
  /** Rejects when the backend does something else. */
  run(): Promise<void>;
}

/** A requirement before it is bound to a backend. */
export type Requirement = readonly [name: string, check: (arena: Arena) => Promise<void>];
