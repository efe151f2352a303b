import { Logger } from '@nestjs/common';

import type { Clock } from '../clock.js';
import { SessionBackendError } from '../errors/session-errors.js';
import { LineLimit } from '../line-limit.js';
import type { TokenClaims, TokenSerializer, TokenVerdict } from './token-serializer.interface.js';

const PAUSE_MS = 60_000;

/** The application's serializer, with a time limit: a promise that never settles must not block a request for ever. */
export class BoundedSerializer implements TokenSerializer {
  readonly #logger = new Logger('SessionModule');
  readonly #timeouts: LineLimit;
  readonly #faults: LineLimit;

  constructor(
    private readonly serializer: TokenSerializer,
    clock: Clock,
    /** Milliseconds. */
    private readonly timeoutMs: number,
  ) {
    this.#timeouts = new LineLimit(clock, PAUSE_MS);
    this.#faults = new LineLimit(clock, PAUSE_MS);
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
    try {
      const verdict = this.serializer.verify(token);
      if (!isThenable(verdict)) return verdict;
      return this.#inTime(verdict, 'verify').catch((error: unknown) => this.#failed(error));
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** A serializer may reject a token by any error. These tell that it is broken: it would sign everybody out, and nobody would know why. */
  #failed(error: unknown): never {
    if (error instanceof TypeError || error instanceof ReferenceError) {
      this.#faults.say('verify', (more) => {
        this.#logger.error(`verify() of the TokenSerializer failed, so the token was refused${more}.`, error.stack);
      });
    }
    throw error;
  }

  /** Uses a timer of its own, because only asynchronous serializers need it. */
  #inTime<T>(result: PromiseLike<T>, method: keyof TokenSerializer): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let hasSettled = false;
      const timer = setTimeout(() => {
        // What has come while the whole process stood still comes first.
        setImmediate(() => {
          if (!hasSettled) reject(this.#timedOut(method));
        });
      }, this.timeoutMs);
      const settle = (): void => {
        hasSettled = true;
        clearTimeout(timer);
        resolve(result);
      };
      result.then(settle, settle);
    });
  }

  #timedOut(method: keyof TokenSerializer): SessionBackendError {
    const error = new SessionBackendError(
      'BACKEND_TIMEOUT',
      `TokenSerializer.${method}() did not settle within backendTimeout (${this.timeoutMs} ms).`,
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
