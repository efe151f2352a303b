import { tracingChannel, type TracingChannel } from 'node:diagnostics_channel';

import { SessionError } from '../errors/session-error.js';

/**
 * What a subscriber of a channel gets. All events of one operation carry the same object, so that a subscriber can keep its span with it.
 * It holds ids and outcomes, and never a token, a secret, a user or a value of a session.
 */
export interface SessionTrace {
  /** What is done; the page about observability lists the operations of each channel. */
  readonly operation: string;
  /** The session, under its new id if it gets one. `null`: not known yet, or the operation concerns several sessions, or none. */
  readonly sessionId: string | null;
  /** The id that the session had before, where it gets a new one. */
  readonly previousSessionId?: string;
  /** How it ended; `failed` if there is an `error`. `null`: it has not ended yet. */
  readonly outcome: string | null;
  /** How many sessions it concerned, where that may be more than one. */
  readonly count?: number;
  /** Why it failed. A copy without the message, which may name keys of a session. */
  readonly error?: SessionTraceError;
}

/** The name and the code of an error. */
export class SessionTraceError extends Error {
  /** The `code` of a `SessionError`. `UNKNOWN` for an error of the application or of Node. */
  readonly code: string;

  /** @internal */
  constructor(cause: unknown) {
    const code = cause instanceof SessionError ? cause.code : 'UNKNOWN';
    super(code);
    this.code = code;
    this.name = cause instanceof Error ? cause.name : 'Error';
    // The place where it was copied is of no use.
    this.stack = `${this.name}: ${code}`;
  }
}

/** What is known when an operation starts. */
type TraceStart = Pick<SessionTrace, 'operation' | 'sessionId' | 'previousSessionId'>;

/** What is known when it has ended. */
export type TraceEnd = { readonly outcome: string } & Partial<Pick<SessionTrace, 'sessionId' | 'count'>>;

type SessionChannel = TracingChannel<SessionTrace>;

/** Node's diagnostics channels of the module. */
export const sessionChannels = {
  load: channel('load'),
  commit: channel('commit'),
  login: channel('login'),
  end: channel('end'),
  store: channel('store'),
} as const;

function channel(name: string): SessionChannel {
  return tracingChannel<SessionTrace, SessionTrace>(`nestjs-sessionx:${name}`);
}

/**
 * Publishes `call` as `TracingChannel.tracePromise()` does, except that the result, which may be a session or a token, is not given to the
 * subscribers. Errors of subscribers are left to Node, which makes uncaught exceptions of them and goes on.
 *
 * Without subscribers this is `call()`. Reads and writes of requests check `hasSubscribers` themselves, so that they make no function for this.
 *
 * @param endOf describes the result
 * @param idOf returns the id of the session where it becomes known only during the call, even if the call fails
 */
export function trace<T>(
  channel: SessionChannel,
  started: TraceStart,
  call: () => Promise<T>,
  endOf: (result: T) => TraceEnd,
  idOf?: () => string | null,
): Promise<T> {
  if (!channel.hasSubscribers) return call();
  const { start, end, asyncStart, asyncEnd, error: failed } = channel;
  const context: SessionTrace = { ...started, outcome: null };
  const settle = (ended: Partial<SessionTrace>): void => {
    // A subscriber may have frozen the object, where an assignment would throw in the request.
    for (const [name, value] of Object.entries(idOf === undefined ? ended : { sessionId: idOf(), ...ended })) {
      Reflect.set(context, name, value);
    }
  };
  const fail = (error: unknown): void => {
    settle({ outcome: 'failed', error: new SessionTraceError(error) });
    failed.publish(context);
  };
  const continueTrace = (): void => {
    asyncStart.runStores(context, () => {
      asyncEnd.publish(context);
    });
  };

  return start.runStores(context, () => {
    try {
      return call().then(
        (result) => {
          settle(endOf(result));
          continueTrace();
          return result;
        },
        (error: unknown) => {
          fail(error);
          continueTrace();
          throw error;
        },
      );
    } catch (error) {
      fail(error);
      throw error;
    } finally {
      end.publish(context);
    }
  });
}
