import { Inject, Injectable } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionOptions } from '../options/session-options.js';
import { RandomPool } from '../tokens/random-pool.js';
import { Session } from './session.js';
import { SessionState } from './session-state.js';
import type { StoredSession } from '../records/stored-session.js';
import type { SessionSurroundings } from './session-surroundings.js';

/** Makes session objects, all with the one clock and the one source of random bytes. */
@Injectable()
export class SessionContext implements SessionSurroundings {
  readonly random = new RandomPool();

  readonly maxSessionBytes: number;

  constructor(
    @Inject(SESSION_CLOCK) readonly clock: Clock,
    { maxSessionBytes }: SessionOptions,
  ) {
    this.maxSessionBytes = maxSessionBytes;
  }

  /** @param accessedAt the use that the session is loaded for, milliseconds since the epoch; default: the stored one */
  open(stored: StoredSession, accessedAt?: number): Session {
    return new Session(new SessionState(stored, this, accessedAt));
  }
}
