import { Inject, Injectable, Logger, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { messageOf } from '../errors/message-of.js';
import type { PlatformRequest } from '../http/http-messages.js';
import { LineLimit } from '../line-limit.js';
import { SessionOptions, type PassiveCheck } from '../options/session-options.js';
import { RouteMark } from '../route-mark.js';
import { isUnwantedPromise } from '../unwanted-promise.js';
import { PASSIVE } from './passive.decorator.js';

/** Knows which requests are no use of their session, by the mark of the route or the option `passive`. */
@Injectable()
export class PassiveRequests {
  readonly #logger = new Logger('SessionModule');
  readonly #marked: RouteMark;
  readonly #check: PassiveCheck | undefined;
  readonly #faults: LineLimit;

  constructor({ passive }: SessionOptions, reflector: Reflector, @Inject(SESSION_CLOCK) clock: Clock) {
    this.#check = passive;
    this.#marked = new RouteMark(PASSIVE, reflector);
    this.#faults = new LineLimit(clock);
  }

  /**
   * Called only when a renewal is due, or when the last use is read.
   *
   * @param context `null` if the route is not known
   * @param route for the log
   */
  has(request: PlatformRequest, context: ExecutionContext | null, route: string): boolean {
    if (context !== null && this.#marked.isOn(context)) return true;
    return this.#check !== undefined && this.#passes(this.#check, request, route);
  }

  /** If the check fails, nothing is known of the request, so it must not make a session live longer. */
  #passes(check: PassiveCheck, request: PlatformRequest, route: string): boolean {
    try {
      const result: unknown = check(request as Parameters<PassiveCheck>[0]);
      if (typeof result === 'boolean') return result;
      const found = isUnwantedPromise(result)
        ? 'a promise'
        : `a value of the type ${result === null ? 'null' : typeof result}`;
      this.#report(route, `it returned ${found} instead of true or false. It cannot be async`);
    } catch (error) {
      this.#report(route, `it threw: ${messageOf(error)}`);
    }
    return true;
  }

  #report(route: string, what: string): void {
    this.#faults.log(route, (more) => {
      this.#logger.error(`${route}: the option passive failed, so the session was not renewed: ${what}${more}`);
    });
  }
}
