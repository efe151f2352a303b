import type { Clock } from '../clock.js';
import type { RandomPool } from '../tokens/random-pool.js';

/** What a session object needs of its surroundings. */
export interface SessionSurroundings {
  readonly clock: Clock;
  readonly random: RandomPool;
  readonly maxSessionBytes: number;
}
