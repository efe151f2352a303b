import {
  Controller,
  Get,
  Headers,
  Inject,
  Injectable,
  Module,
  Post,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
  type NestInterceptor,
} from '@nestjs/common';
import { Redis } from 'ioredis';
import { randomUUID } from 'node:crypto';
import type { Observable } from 'rxjs';

import { DATA, TTL_SECONDS, USER } from '../session-content.js';
import type { AppDefinition, LoginAnswer } from './app-definition.js';

@Injectable()
class NoOpGuard implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

@Injectable()
class NoOpInterceptor implements NestInterceptor {
  intercept(_context: unknown, next: CallHandler): Observable<unknown> {
    return next.handle();
  }
}

@Controller()
class LimitController {
  constructor(@Inject(Redis) private readonly redis: Redis) {}

  @Post('login')
  async login(): Promise<LoginAnswer> {
    const token = randomUUID();
    await this.redis.set(`limit:${token}`, JSON.stringify({ user: USER, data: DATA }), 'EX', TTL_SECONDS);
    return { token };
  }

  @Get('me')
  me(@Headers('x-session-token') token: string): Promise<unknown> {
    return this.#user(token);
  }

  @UseGuards(NoOpGuard)
  @UseInterceptors(NoOpInterceptor)
  @Get('shape')
  shape(@Headers('x-session-token') token: string): Promise<unknown> {
    return this.#user(token);
  }

  async #user(token: string): Promise<unknown> {
    const text = await this.redis.get(`limit:${token}`);
    const { user } = JSON.parse(text ?? '{}') as { user?: unknown };
    return user;
  }
}

/** The least that a session in Redis can cost: one GET and one JSON.parse, at `/shape` behind a guard and an interceptor that do nothing. */
export function limitApp(redisUrl: string): AppDefinition {
  @Module({
    controllers: [LimitController],
    providers: [{ provide: Redis, useFactory: () => new Redis(redisUrl) }],
  })
  class LimitModule {}
  return { module: LimitModule };
}
