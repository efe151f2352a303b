import { Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { SessionGuard, SessionModule } from 'nestjs-sessionx';

import { AccountModule } from './account/account.module.js';
import { AuthModule } from './auth/auth.module.js';
import type { AppConfig } from './config.js';
import { sessionOptions } from './session-options.js';

@Module({})
export class AppModule {
  static with(config: AppConfig): DynamicModule {
    return {
      module: AppModule,
      imports: [SessionModule.forRoot(sessionOptions(config)), AuthModule, AccountModule],
      // Every route requires a session unless it has @Public(): a forgotten decorator then closes a route and does not open one.
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    };
  }
}
