import { Inject, Injectable, Logger } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock/clock.js';
import { SessionBackendError } from '../errors/session-errors.js';
import { LineLimit } from '../events/line-limit.js';
import { SessionOptions } from '../options/session-options.js';
import {
  TOKEN_SERIALIZER,
  type TokenClaims,
  type TokenSerializer,
  type TokenVerdict,
} from './token-serializer.interface.js';

const PAUSE_MS = 60_000;

/** The application's serializer, with a time limit: one that never settles must not keep a request for ever. */
@Injectable()
export class BoundedSerializer implements TokenSerializer {
  readonly #logger = new Logger('SessionModule');
  readonly #timeouts: LineLimit;
  readonly #timeoutMs: number;

  constructor(
    @Inject(TOKEN_SERIALIZER) private readonly serializer: TokenSerializer,
    @Inject(SESSION_CLOCK) clock: Clock,
    { backendTimeout }: SessionOptions,
  ) {
    this.#timeoutMs = backendTimeout;
    this.#timeouts = new LineLimit(clock, PAUSE_MS);
  }

  get verdictsAreFinal(): boolean {
    return this.serializer.verdictsAreFinal === true;
  }

  /** @throws SessionBackendError `BACKEND_TIMEOUT`, and whatever the serializer throws */
  serialize(claims: TokenClaims): string | Promise<string> {
    const token = this.serializer.serialize(claims);
    return isThenable(token) ? this.#inTime(token, 'serialize') : token;
  }

  /** @throws SessionBackendError `BACKEND_TIMEOUT`, and whatever the serializer throws */
  verify(token: string): TokenVerdict | Promise<TokenVerdict> {
    const verdict = this.serializer.verify(token);
    return isThenable(verdict) ? this.#inTime(verdict, 'verify') : verdict;
  }

  /** A timer of its own: only serializers that are slow by themselves come by here. */
  #inTime<T>(result: PromiseLike<T>, method: keyof TokenSerializer): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(this.#timedOut(method));
      }, this.#timeoutMs);
      const settle = (): void => {
        clearTimeout(timer);
        resolve(result);
      };
      result.then(settle, settle);
    });
  }

  #timedOut(method: keyof TokenSerializer): SessionBackendError {
    const error = new SessionBackendError(
      'BACKEND_TIMEOUT',
      `TokenSerializer.${method}() did not settle within backendTimeout (${this.#timeoutMs} ms).`,
    );
    this.#timeouts.say(method, (more) => {
      this.#logger.error(`${error.message} Requests that need it get 503${more}.`);
    });
    return error;
  }
}

function isThenable<T extends object | string>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && 'then' in value;
}
