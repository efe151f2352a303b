import { Redis, type RedisOptions } from 'ioredis';

import { describeDriverFailure } from '../driver-failure.js';
import { sessionRedisOptions } from './redis-client-options.js';
import { isRefused } from './redis-refusal.js';
import { SilenceWatch } from './silence-watch.js';

type LegacyOptions = RedisOptions & { readonly replyMapping: 'legacy' };

/**
 * A connection of the module's own. ioredis sends INFO before it calls a connection ready; where that is refused it prints a warning past
 * Nest's logger, or connects again and again. Here an empty text stands for it, and the readiness checks say what could not be checked. A
 * connection that says nothing is given up without a timer for each command.
 */
class SessionRedis extends Redis {
  readonly #silence: SilenceWatch;

  constructor(options: LegacyOptions, timeoutMs: number) {
    super(options);
    this.#silence = new SilenceWatch(this, timeoutMs);
  }

  override sendCommand(...args: Parameters<Redis['sendCommand']>): unknown {
    this.#silence.commandSent();
    return super.sendCommand(...args);
  }

  override async info(...args: unknown[]): Promise<string> {
    const done = args.at(-1);
    const sections = args.filter((arg) => typeof arg === 'string');
    try {
      const text = await super.info(...sections);
      if (isCallback(done)) done(null, text);
      return text;
    } catch (error) {
      const refused = isRefused(error);
      if (isCallback(done)) done(refused ? null : error, '');
      if (refused) return '';
      throw error;
    }
  }
}

function isCallback(value: unknown): value is (error: unknown, text: string) => void {
  return typeof value === 'function';
}

/**
 * Our options win over the given ones: each of them keeps a promise.
 *
 * @throws TypeError where ioredis cannot use the given options; its own error may show them
 */
export function newSessionRedis(options: RedisOptions, timeoutMs: number): Redis {
  try {
    return new SessionRedis(
      {
        ...options,
        ...sessionRedisOptions(timeoutMs),
        // Each call has a timeout of its caller's, and SilenceWatch sees to the connection: two timers less for each command.
        commandTimeout: undefined,
        socketTimeout: undefined,
        replyMapping: 'legacy',
        lazyConnect: true,
      },
      timeoutMs,
    );
  } catch (error) {
    throw unusableOptionsError(error);
  }
}

function unusableOptionsError(error: unknown): TypeError {
  const failure = describeDriverFailure(error);
  return new TypeError(`RedisBackend: ioredis cannot use the given options (${failure}); see its documentation.`);
}
