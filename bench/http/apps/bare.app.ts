import { Controller, Get, Inject, Module, Post } from '@nestjs/common';
import { Redis } from 'ioredis';

import { USER } from '../session-content.js';
import type { AppDefinition, LoginResponse } from './app-definition.js';

/** As long as one of ours, because Node parses it with each request. */
const TOKEN = 'x'.repeat(100);

@Controller()
class BareController {
  @Post('login')
  login(): LoginResponse {
    return { token: TOKEN };
  }

  @Get('me')
  me(): unknown {
    return USER;
  }
}

@Module({ controllers: [BareController] })
class BareModule {}

@Controller()
class OfSizeController {
  constructor(@Inject(Redis) private readonly redis: Redis) {}

  @Post('login')
  async login(): Promise<LoginResponse> {
    await this.redis.set('bare', TOKEN);
    return { token: TOKEN };
  }

  @Get('me')
  me(): unknown {
    return USER;
  }
}

/** Nest and nothing else. */
export function bareApp(): AppDefinition {
  return { module: BareModule };
}

/**
 * The same in a process like that of an application: it has loaded class-validator and used Redis, and so has been collected while it started.
 * After that each `process.nextTick()` is dearer, by 2 to 3 us a request, unless something keeps the hidden class of what it queues, as this
 * package does (`http/tick-objects.ts`).
 */
export async function bareAppOfSize({ redisUrl }: { readonly redisUrl: string }): Promise<AppDefinition> {
  await import('class-validator');

  @Module({
    controllers: [OfSizeController],
    providers: [{ provide: Redis, useFactory: () => new Redis(redisUrl) }],
  })
  class OfSizeModule {}

  return { module: OfSizeModule };
}
