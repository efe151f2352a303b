import { Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { minutes, ThrottlerModule } from '@nestjs/throttler';
import { SessionGuard, SessionModule } from 'nestjs-sessionx';

import { AccountModule } from './account/account.module.js';
import { AuthModule } from './auth/auth.module.js';
import type { AppConfig } from './config.js';

const HOUR_IN_SECONDS = 3600;

@Module({})
export class AppModule {
  static with({ secretKey, backend }: Pick<AppConfig, 'secretKey' | 'backend'>): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SessionModule.forRoot({
          secretKey,
          backend,
          sessionTtl: HOUR_IN_SECONDS,
          absoluteTimeout: 12 * HOUR_IN_SECONDS,
          // IPv6 clients change the rest of their address by themselves, every day or so (RFC 8981); /64 is one home or office.
          ipBinding: { ipv4Prefix: 32, ipv6Prefix: 64 },
          userAgentBinding: true,
        }),
        // Takes effect on routes with ThrottlerGuard. The counts are this process's; several processes share them through a
        // `storage` of their own.
        ThrottlerModule.forRoot([{ limit: 10, ttl: minutes(1) }]),
        AuthModule,
        AccountModule,
      ],
      // Every route wants a session unless it says @Public(): to forget a decorator then closes a route, and does not open one.
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    };
  }
}
