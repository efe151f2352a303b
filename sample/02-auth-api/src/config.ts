import { Logger } from '@nestjs/common';
import { generateSecretKey, MemoryBackend, type SessionBackend } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';

/** What the application needs to know; made by {@link readConfig}, or by a test. */
export interface AppConfig {
  readonly production: boolean;
  readonly port: number;
  readonly host: string;
  readonly secretKey: string;
  readonly backend: SessionBackend;
  /** Seconds without a request after which a session ends. */
  readonly sessionTtl: number;
  /** Addresses of the proxies in front, as Express takes them: `loopback`, `10.0.0.0/8`, … Undefined: none. */
  readonly trustProxy: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws Error that names the variable to set, and its form */
export function readConfig(env: Environment, logger: Pick<Logger, 'warn'> = new Logger('Config')): AppConfig {
  const production = env.NODE_ENV === 'production';
  return {
    production,
    port: portFrom(given(env.PORT) ?? '3000'),
    // Plain HTTP is for this machine only. In a container set HOST=0.0.0.0, with a proxy in front that speaks TLS.
    host: given(env.HOST) ?? '127.0.0.1',
    secretKey: given(env.SESSION_SECRET) ?? secretForThisProcess(production, logger),
    backend: backendFrom(env, logger),
    sessionTtl: secondsFrom(given(env.SESSION_TTL) ?? '3600'),
    trustProxy: given(env.TRUST_PROXY),
  };
}

/** Where sessions live: in the first of these that the environment names. */
function backendFrom(env: Environment, logger: Pick<Logger, 'warn'>): SessionBackend {
  const [redis, memcached] = [given(env.REDIS_URL), given(env.MEMCACHED_SERVERS)];
  if (redis !== undefined && memcached !== undefined) {
    logger.warn('REDIS_URL and MEMCACHED_SERVERS are both set: sessions are in Redis, and Memcached is not used.');
  }
  if (redis !== undefined) return new RedisBackend(redis);
  if (memcached !== undefined) return new MemcachedBackend({ servers: memcached });
  return new MemoryBackend();
}

/** With generated keys, two processes behind one load balancer would refuse each other's tokens, and each deployment would log out all users. */
function secretForThisProcess(production: boolean, logger: Pick<Logger, 'warn'>): string {
  if (production) {
    throw new Error(
      'SESSION_SECRET is not set. In production it must be, to the same value in all processes and at every start; make one with: openssl rand -hex 32',
    );
  }
  logger.warn('SESSION_SECRET is not set, so a random one is used: all sessions end with this process.');
  return generateSecretKey();
}

function portFrom(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65535) return port;
  throw new Error('PORT must be a number from 0 to 65535.');
}

function secondsFrom(text: string): number {
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds > 0) return seconds;
  throw new Error('SESSION_TTL must be a number of seconds, more than 0.');
}

/** In a compose file or a shell `NAME=` is how one leaves a variable out. */
function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
