import { Inject, Injectable } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionOptions } from '../options/session-options.js';
import { RandomPool } from '../tokens/random-pool.js';
import { Session } from './session.js';
import { SessionState, type SessionEnvironment } from './session-state.js';
import type { StoredSession } from '../records/stored-session.js';

/** Makes session objects, all with the same clock and the same source of random bytes. */
@Injectable()
export class SessionFactory implements SessionEnvironment {
  readonly random = new RandomPool();

  readonly maxSessionBytes: number;

  constructor(
    @Inject(SESSION_CLOCK) readonly clock: Clock,
    { maxSessionBytes }: SessionOptions,
  ) {
    this.maxSessionBytes = maxSessionBytes;
  }

  /** @param accessedAt when the session is used, in milliseconds since the epoch. Default: the stored last use. */
  open(stored: StoredSession, accessedAt?: number): Session {
    return new Session(new SessionState(stored, this, accessedAt));
  }
}
