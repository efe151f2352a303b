import type { LoggerService } from '@nestjs/common';

import type { Clock } from '../clock/clock.js';
import { SessionError } from '../errors/session-error.js';
import { LineLimit } from '../events/line-limit.js';
import { messageOf } from './message-of.js';

const INTERNAL_ERROR = 500;
/** An outage has as many failed requests as the application has requests, and `OutageLog` tells of it already. */
const PAUSE_MS = 60_000;

/**
 * What requests have to say to the developer. Each line names a route, never a URL, and is said once for a route, or once a minute: one
 * client that sends a request a thousand times must not make a thousand lines.
 */
export class RequestLog {
  readonly #repeated: LineLimit;
  readonly #once: LineLimit;

  constructor(
    private readonly logger: Pick<LoggerService, 'debug' | 'warn' | 'error'>,
    clock: Clock,
  ) {
    this.#repeated = new LineLimit(clock, PAUSE_MS);
    this.#once = new LineLimit(clock, Infinity);
  }

  /** A response went out in place of the application's. */
  replaced(route: string, error: unknown): void {
    this.#failure(route, error, `The response to ${route} was replaced, because the session could not be stored`);
  }

  /** The handler had failed already, and its response went out. */
  notStored(route: string, error: unknown, handlerFailure: string): void {
    this.#failure(
      route,
      error,
      `${route} failed (${handlerFailure}), and its changes of the session could not be stored`,
    );
  }

  /** The module was used in a way that cannot work. */
  misuse(route: string, { code, message }: SessionError): void {
    this.#repeated.say(`${route} ${code}`, (more) => {
      const line = message.includes(route) ? message : `${route}: ${message}`;
      this.logger.error(more === '' ? line : `${line} (Here${more}.)`);
    });
  }

  /** The handler used its response after the end. */
  secondResponse(route: string, error: Error): void {
    this.#once.say(`second response ${route}`, () => {
      this.logger.warn(
        `${route}: the handler used its response after the end, to no effect (${error.message}). Return after the first response.`,
      );
    });
  }

  /** What waited could not be sent. */
  notSent(route: string, error: unknown): void {
    this.logger.error(`The response to ${route} could not be sent: ${messageOf(error)}`);
  }

  #failure(route: string, error: unknown, what: string): void {
    const status = error instanceof SessionError ? error.getStatus() : INTERNAL_ERROR;
    // A store that fails is one matter, whatever the route; a value that cannot be stored is the matter of its route.
    const kind = error instanceof SessionError ? error.code : 'unknown';
    this.#repeated.say(status === INTERNAL_ERROR ? `${route} ${kind}` : kind, (more) => {
      const line = `${what}: ${messageOf(error)}${more}`;
      // The session has ended, or another writer was faster: any client can cause that.
      if (status < INTERNAL_ERROR) this.logger.debug?.(line);
      else this.logger.error(line);
    });
  }
}
