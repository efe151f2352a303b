import { Controller, Get, Inject, Module, Post, Req, type INestApplication } from '@nestjs/common';
import { Redis } from 'ioredis';
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

import { DATA, TTL_SECONDS, USER } from '../session-content.js';
import type { AppDefinition, LoginResponse, Platform } from './app-definition.js';

/** A request of either platform, with what the hook has found. */
interface KnownRequest {
  readonly headers: IncomingHttpHeaders;
  session?: { readonly user?: unknown };
}

/** As much of Fastify as is used, so that this file loads without it. */
interface HookedServer {
  addHook(name: 'onRequest', hook: (request: KnownRequest) => Promise<void>): unknown;
}

@Controller()
class LimitController {
  constructor(@Inject(Redis) private readonly redis: Redis) {}

  @Post('login')
  async login(): Promise<LoginResponse> {
    const token = randomUUID();
    await this.redis.set(`limit:${token}`, JSON.stringify({ user: USER, data: DATA }), 'EX', TTL_SECONDS);
    return { token };
  }

  @Get('me')
  me(@Req() request: KnownRequest): unknown {
    return request.session?.user;
  }
}

/** The least that a session in Redis can cost: one GET and one JSON.parse in a hook of the platform, and nothing of ours. */
export function limitApp({ redisUrl }: { readonly redisUrl: string }, platform: Platform): AppDefinition {
  const redis = new Redis(redisUrl);

  @Module({ controllers: [LimitController], providers: [{ provide: Redis, useValue: redis }] })
  class LimitModule {}

  const load = async (request: KnownRequest): Promise<void> => {
    const token = request.headers['x-session-token'];
    if (typeof token !== 'string') return;
    const text = await redis.get(`limit:${token}`);
    request.session = JSON.parse(text ?? '{}') as { user?: unknown };
  };

  return {
    module: LimitModule,
    configure: (app: INestApplication): Promise<void> => {
      if (platform === 'fastify') {
        (app.getHttpAdapter().getInstance() as HookedServer).addHook('onRequest', load);
      } else {
        app.use((request: KnownRequest, _response: unknown, next: (error?: unknown) => void) => {
          load(request).then(() => {
            next();
          }, next);
        });
      }
      return Promise.resolve();
    },
  };
}
