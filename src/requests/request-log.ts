import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionError } from '../errors/session-error.js';
import { SessionDataError, SessionUsageError } from '../errors/session-errors.js';
import { INTERNAL_SERVER_ERROR } from '../http/http-status.js';
import { routeOf } from '../http/route-of.js';
import { LineLimit } from '../line-limit.js';
import { messageOf } from '../errors/message-of.js';

/** What clients send is of use to a developer who tries it, and comes as often as a client likes. */
const PAUSE_OF_CLIENTS_MS = 1000;
const USER_ID = 'user.userId';

/**
 * What requests have to say to the developer. Each line names a route, never a URL, and is said once for a route, or once a minute, or once a
 * second if it is about what a client has sent: one client that sends a request a thousand times must not make a thousand lines.
 */
@Injectable()
export class RequestLog {
  readonly #logger = new Logger('SessionModule');
  /** An outage has as many failed requests as the application has requests, and `OutageLog` tells of it already. */
  readonly #repeated: LineLimit;
  readonly #ofClients: LineLimit;
  readonly #once: LineLimit;
  readonly #logged = new WeakSet<Error>();

  constructor(@Inject(SESSION_CLOCK) clock: Clock) {
    this.#repeated = new LineLimit(clock);
    this.#ofClients = new LineLimit(clock, PAUSE_OF_CLIENTS_MS);
    this.#once = new LineLimit(clock, Infinity);
  }

  /** A response went out in place of the application's. */
  replaced(route: string, error: unknown): void {
    this.#failure(route, error, `The response to ${route} was replaced, because the session could not be stored`);
  }

  /**
   * The client is not told that its changes were not stored: it gets the error of the application, or no response waits for them.
   *
   * @param reason which of these
   */
  notStored(route: string, error: unknown, reason: string): void {
    this.#failure(route, error, `${route}: its changes of the session could not be stored (${reason})`);
  }

  /**
   * The module was used in a way that cannot work: Nest sends such an HttpException to the client without a line in the log. Logged once for
   * an error, which passes several places on its way to the client, and with its stack, which names the call. Any other error is left to Nest.
   *
   * @param route null: not known
   */
  misuse(route: string | null, error: unknown): void {
    if (!(error instanceof SessionDataError) && !(error instanceof SessionUsageError)) return;
    if (this.#logged.has(error)) return;
    this.#logged.add(error);
    const { code, message } = error;
    const line = route === null || message.includes(route) ? message : `${route}: ${message}`;
    if (isOfClient(error)) {
      this.#logOfClient(route, error, line);
      return;
    }
    this.#repeated.log(`${route ?? placeOf(error)} ${code}`, (more) => {
      this.#logger.error(withCount(line, more), error.stack);
    });
  }

  /**
   * The result of `call`, which an application has made; if it is a misuse, that is logged.
   *
   * @param request null: not known
   */
  async loggingMisuse<T>(call: () => T | Promise<T>, request: object | null = null): Promise<T> {
    try {
      return await call();
    } catch (error) {
      this.misuse(request && routeOf(request), error);
      throw error;
    }
  }

  /** No client chooses whom it signs in as, so a `userId` of another type nearly always comes from the application, such as the number of a table. */
  #logOfClient(route: string | null, error: SessionDataError | SessionUsageError, line: string): void {
    if (!(error instanceof SessionDataError) || error.path !== USER_ID) {
      this.#sentByClient(`${route} ${error.code}`, line);
      return;
    }
    this.#repeated.log(`${route} ${USER_ID}`, (more) => {
      this.#logger.warn(withCount(line, more));
    });
  }

  /** `deleteSession()` has got a text that is no session id. A client may have sent it. */
  noSessionId(): void {
    this.#once.log('no session id', () => {
      this.#logger.warn(
        'deleteSession() was called with a text that is no session id, so it ended nothing. Did you pass a token? Pass session.sessionId. (This is said once.)',
      );
    });
  }

  /** A cookie was due for renewal, and the browser keeps the older one. */
  cookieNotRenewed(error: unknown): void {
    this.#repeated.log('cookie not renewed', (more) => {
      this.#logger.debug(`A cookie was not renewed, the older one stays valid: ${messageOf(error)}${more}`);
    });
  }

  /** The handler used its response after the end. */
  secondResponse(route: string, error: Error): void {
    this.#once.log(`second response ${route}`, () => {
      this.#logger.warn(
        `${route}: the handler used its response after the end, to no effect (${messageOf(error)}). Return after the first response.`,
      );
    });
  }

  /** The handler has changed the session after the first byte. */
  lateChange(route: string): void {
    this.#once.log(`late change ${route}`, () => {
      this.#logger.warn(
        `${route}: the handler changed the session after its response had begun, and the change is not stored. Change it before, or call await sessions.updateSession(session) afterwards.`,
      );
    });
  }

  /** The session of a connection was changed where nothing stores it. */
  changeOutsideOfMessage(route: string): void {
    this.#once.log(`change outside of message ${route}`, () => {
      this.#logger.warn(
        `${route}: its session was changed outside of a message, as in handleConnection(), and the change is not stored. Call await sessions.updateSession(session) afterwards.`,
      );
    });
  }

  /** What waited could not be sent. */
  notSent(route: string, error: unknown): void {
    this.#repeated.log(`not sent ${route}`, (more) => {
      this.#logger.error(`The response to ${route} could not be sent: ${messageOf(error)}${more}`);
    });
  }

  /** Flash messages were taken out of the session and did not reach the client. */
  flashLost(error: unknown): void {
    this.#repeated.log('flash lost', (more) => {
      this.#logger.warn(`Flash messages that the client did not get could not be put back: ${messageOf(error)}${more}`);
    });
  }

  #failure(route: string, error: unknown, what: string): void {
    if (error instanceof SessionDataError && isOfClient(error)) {
      this.#sentByClient(`${route} ${error.code}`, `${what}: ${error.message}`);
      return;
    }
    const status = error instanceof SessionError ? error.getStatus() : INTERNAL_SERVER_ERROR;
    // A store that fails is one matter, whatever the route; a value that cannot be stored is the matter of its route.
    const kind = error instanceof SessionError ? error.code : 'unknown';
    this.#repeated.log(status === INTERNAL_SERVER_ERROR ? `${route} ${kind}` : kind, (more) => {
      const line = `${what}: ${messageOf(error)}${more}`;
      // The session has ended, or another writer was faster: any client can cause that.
      if (status < INTERNAL_SERVER_ERROR) this.#logger.debug(line);
      else this.#logger.error(line);
    });
  }

  #sentByClient(kind: string, line: string): void {
    this.#ofClients.log(kind, (more) => {
      this.#logger.debug(withCount(line, more));
    });
  }
}

/** For a line of sentences. @param more as `LineLimit.log()` passes it */
function withCount(line: string, more: string): string {
  return more === '' ? line : `${line} (Here${more}.)`;
}

/** The stack, without the path of a value, of which a client may have chosen the keys. */
function placeOf(error: SessionDataError | SessionUsageError): string {
  const stack = error.stack ?? error.message;
  return error instanceof SessionDataError ? stack.replace(error.message, '') : stack;
}

/** A client may have sent the value: no fault of the application, and no reason for a line that raises an alarm. */
function isOfClient(error: SessionError): boolean {
  return error.getStatus() < INTERNAL_SERVER_ERROR;
}
