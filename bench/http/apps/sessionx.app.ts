import { Controller, Get, Module, Post, Req, UseGuards } from '@nestjs/common';
import {
  CurrentSession,
  MemoryBackend,
  Session,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { DATA, SECRET, TTL_SECONDS, USER, userOf } from '../session-content.js';
import type { AppDefinition, LoginResponse, Stores } from './app-definition.js';

/** A bit less than the largest session that the module stores. */
const LARGE_DATA = { notes: 'x'.repeat(63 * 1024) };

/** What is logged in. */
interface Logins {
  readonly data?: object;
  /** Whether all sessions are one user's. Default: each has another. */
  readonly isOneUser?: boolean;
}

/** This package, with a route that uses no session at `/unused`, and one that changes it at `/visit`. */
function sessionxApp(
  options: Partial<SessionModuleOptions>,
  { data = DATA, isOneUser = false }: Logins = {},
): AppDefinition {
  let logins = 0;

  @Controller()
  class SessionxController {
    constructor(private readonly sessions: SessionService) {}

    @UseSession()
    @Post('login')
    async login(@Req() request: object): Promise<LoginResponse> {
      const { session, token } = await this.sessions.login(request, userOf(isOneUser ? 0 : ++logins));
      Object.assign(session.data, data);
      return { token: token ?? 'in a cookie' };
    }

    @UseGuards(SessionGuard)
    @Get('me')
    me(@CurrentSession() session: Session): unknown {
      return session.user;
    }

    @UseGuards(SessionGuard)
    @Get('visit')
    visit(@CurrentSession() session: Session): unknown {
      session.data.measuredAt = performance.now();
      return session.user;
    }

    @Get('unused')
    unused(): unknown {
      return USER;
    }
  }

  @Module({
    imports: [
      SessionModule.forRoot({ secretKey: SECRET, sessionTtl: TTL_SECONDS, maxSessionsPerUser: null, ...options }),
    ],
    controllers: [SessionxController],
  })
  class SessionxModule {}
  return { module: SessionxModule };
}

export function sessionxOnRedis({ redisUrl }: Pick<Stores, 'redisUrl'>): AppDefinition {
  return sessionxApp({ backend: new RedisBackend(redisUrl) });
}

export function sessionxByCookie({ redisUrl }: Pick<Stores, 'redisUrl'>): AppDefinition {
  const cookie = { name: 'session', secure: false };
  // The benchmark's own client sends no Origin when it logs in.
  return sessionxApp({
    backend: new RedisBackend(redisUrl),
    tokenSourcePriority: ['cookie', 'header'],
    cookie,
    csrf: { allowedOrigins: ['http://bench.example'] },
  });
}

export function sessionxWithLargeData({ redisUrl }: Pick<Stores, 'redisUrl'>): AppDefinition {
  return sessionxApp({ backend: new RedisBackend(redisUrl) }, { data: LARGE_DATA });
}

export function sessionxOnMemory(): AppDefinition {
  return sessionxApp({ backend: new MemoryBackend() });
}

export function sessionxOnMemcached({ memcachedAddress }: Pick<Stores, 'memcachedAddress'>): AppDefinition {
  return sessionxApp({ backend: new MemcachedBackend({ servers: memcachedAddress }) });
}

/** A read fetches the list of all sessions of the user. */
export function sessionxOfOneUser({ memcachedAddress }: Pick<Stores, 'memcachedAddress'>): AppDefinition {
  return sessionxApp({ backend: new MemcachedBackend({ servers: memcachedAddress }) }, { isOneUser: true });
}
