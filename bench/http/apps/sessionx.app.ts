import { Controller, Get, Module, Post, Req, UseGuards } from '@nestjs/common';
import {
  CurrentSession,
  MemoryBackend,
  Session,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
  type SessionBackend,
} from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { DATA, SECRET, TTL_SECONDS, USER } from '../session-content.js';
import type { AppDefinition, LoginAnswer } from './app-definition.js';

@Controller()
class SessionxController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @Post('login')
  async login(@Req() request: object): Promise<LoginAnswer> {
    const { session, token } = await this.sessions.login(request, USER);
    Object.assign(session.data, DATA);
    if (token === null) throw new Error('The token was expected in the answer.');
    return { token };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session): unknown {
    return session.user;
  }

  @Get('unused')
  unused(): unknown {
    return USER;
  }
}

/** This package, with a route that uses no session at `/unused`. */
export function sessionxApp(backend: SessionBackend): AppDefinition {
  @Module({
    imports: [SessionModule.forRoot({ secretKey: SECRET, sessionTtl: TTL_SECONDS, backend })],
    controllers: [SessionxController],
  })
  class SessionxModule {}
  return { module: SessionxModule };
}

export function sessionxOnRedis(redisUrl: string): AppDefinition {
  return sessionxApp(new RedisBackend(redisUrl));
}

export function sessionxOnMemory(): AppDefinition {
  return sessionxApp(new MemoryBackend());
}
