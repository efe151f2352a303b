import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { SessionGuard, SessionModule } from 'nestjs-sessionx';

import { AccountModule } from './account/account.module.js';
import { AdminModule } from './admin/admin.module.js';
import { AuthModule } from './auth/auth.module.js';
import type { AppConfig } from './config.js';
import { sessionOptions } from './session-options.js';

@Module({})
export class AppModule {
  /** @param sessionProviders replace parts of SessionModule: the tests bring a clock of their own */
  static with(config: AppConfig, sessionProviders: Provider[] = []): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SessionModule.forRoot({ ...sessionOptions(config), extraProviders: sessionProviders }),
        AuthModule,
        AccountModule,
        AdminModule,
      ],
      // Every route requires a session unless it has @Public(): a forgotten decorator then closes a route and does not open one.
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    };
  }
}
