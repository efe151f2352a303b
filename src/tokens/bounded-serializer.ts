import { Logger } from '@nestjs/common';

import type { Clock } from '../clock.js';
import { SessionBackendError, SessionUsageError } from '../errors/session-errors.js';
import { LineLimit } from '../line-limit.js';
import type { TokenClaims, TokenSerializer, TokenVerdict } from './token-serializer.interface.js';

/** RFC 6265bis, section 4.1.1: the characters that a cookie value may have without quotes. The length stays below the limit of browsers. */
const SENDABLE_TOKEN = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/;
const LONGEST_TOKEN = 4000;

const FAULTS: ReadonlySet<unknown> = new Set(['TOKEN_MALFORMED', 'TOKEN_FORGED', 'TOKEN_EXPIRED']);

/**
 * The application's serializer, which is not trusted to settle, nor to make tokens that can be sent: a promise that never settles must not
 * block a request for ever.
 */
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
    this.#timeouts = new LineLimit(clock);
    this.#faults = new LineLimit(clock);
  }

  get verdictsAreFinal(): boolean {
    return this.serializer.verdictsAreFinal === true;
  }

  /**
   * @throws SessionUsageError when no header or cookie can carry the token unchanged
   * @throws SessionBackendError `BACKEND_TIMEOUT`, and whatever the serializer throws
   */
  serialize(claims: TokenClaims): string | Promise<string> {
    const token = this.serializer.serialize(claims);
    return isThenable(token) ? this.#inTime(token, 'serialize').then(checkedToken) : checkedToken(token);
  }

  /** @throws SessionBackendError `BACKEND_TIMEOUT`, and whatever the serializer throws */
  verify(token: string): TokenVerdict | Promise<TokenVerdict> {
    try {
      const verdict = this.serializer.verify(token);
      if (!isThenable(verdict)) return checkedVerdict(verdict);
      return this.#inTime(verdict, 'verify')
        .then(checkedVerdict)
        .catch((error: unknown) => this.#failed(error));
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** A serializer may reject a token by any error. These tell that it is broken: it would sign all users out without a reason in the log. */
  #failed(error: unknown): never {
    if (error instanceof TypeError || error instanceof ReferenceError) {
      this.#faults.log('verify', (more) => {
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
    this.#timeouts.log(method, (more) => {
      this.#logger.error(`${error.message} Requests that need it get 503${more}.`);
    });
    return error;
  }
}

/** @throws SessionUsageError */
function checkedToken(token: unknown): string {
  if (typeof token === 'string' && token.length <= LONGEST_TOKEN && SENDABLE_TOKEN.test(token)) return token;
  throw new SessionUsageError(
    'The TokenSerializer returned a token that cannot be sent. A token has 1 to 4,000 characters of printable ASCII, without spaces, quotes, commas, semicolons and backslashes.',
  );
}

/** @throws TypeError for what only a serializer in JavaScript returns, such as nothing */
function checkedVerdict(verdict: TokenVerdict): TokenVerdict {
  const { valid, claims, fault } = Object(verdict) as Readonly<Record<string, unknown>>;
  if (valid === true ? typeof claims === 'object' && claims !== null : valid === false && FAULTS.has(fault)) {
    return verdict;
  }
  throw new TypeError('It returned no TokenVerdict: { valid: true, claims, outdated } or { valid: false, fault }.');
}

/** @param value null: what only a serializer in JavaScript returns */
function isThenable<T extends object | string>(value: T | PromiseLike<T> | null): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}
