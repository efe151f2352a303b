import { Injectable } from '@nestjs/common';

import { SessionEvents } from '../events/session-events.js';
import { identityOf, type RequestClient } from '../http/client-identity.js';
import { SessionOptions } from '../options/session-options.js';
import type { StoredSession } from '../records/stored-session.js';
import type { StoreBudget } from '../store/store-budget.js';
import { tagOf, type SessionId } from '../tokens/session-secret.js';
import { SessionEndings } from './session-endings.js';

/** What happens when a client uses an id that the session had before, after its grace: the event `reused`, and what `onReuse` says. */
@Injectable()
export class SessionReuse {
  constructor(
    private readonly options: SessionOptions,
    private readonly endings: SessionEndings,
    private readonly events: SessionEvents,
  ) {}

  /**
   * @param living the session, under its present id
   * @throws SessionBackendError when the session has to be ended, and the store fails
   */
  async handle(
    living: StoredSession,
    previousSessionId: SessionId,
    client: RequestClient,
    budget: StoreBudget,
  ): Promise<void> {
    const { onReuse } = this.options;
    const { id } = living.record;
    const userId = living.content.user?.userId ?? null;
    const identity = identityOf(client);
    this.events.emit({ type: 'reused', sessionId: id, previousSessionId, userId, ...identity, onReuse });
    if (onReuse === 'ignore') return;
    const origin = { cause: 'reused', transport: null, ...identity } as const;
    if (onReuse === 'end-user-sessions' && userId !== null) {
      await this.endings.endAllOfUser(userId, tagOf(id), { reason: 'reused', origin, by: null }, budget);
    } else {
      await this.endings.endById(id, { reason: 'reused', cause: 'reused', by: null }, budget, origin);
    }
  }
}
