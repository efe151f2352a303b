import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { SessionGuard, SessionModule } from 'nestjs-sessionx';

import { AccountModule } from '../../02-auth-api/src/account/account.module.js';
import { AdminModule } from '../../02-auth-api/src/admin/admin.module.js';
import { AuthModule } from '../../02-auth-api/src/auth/auth.module.js';
import type { AppConfig } from '../../02-auth-api/src/config.js';
import { DEMO_USER } from '../../02-auth-api/src/demo.js';
import { sessionOptions } from '../../02-auth-api/src/session-options.js';
import { DevicesModule } from './devices/devices.module.js';
import { ShopModule } from './shop/shop.module.js';
import { SignInModule } from './sign-in/sign-in.module.js';
import { StateModule } from './state/state.module.js';

@Module({})
export class AppModule {
  /** @param sessionProviders replace parts of SessionModule: the tests bring a clock of their own */
  static with(config: AppConfig, sessionProviders: Provider[] = []): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SessionModule.forRoot({
          ...sessionOptions(config),
          // Programs come with a header, and the browser with the cookie. With the cookie comes the protection against CSRF.
          tokenSourcePriority: ['header', 'bearer', 'cookie'],
          extraProviders: sessionProviders,
        }),
        AuthModule,
        AccountModule,
        AdminModule,
        SignInModule,
        StateModule.with(config.production ? null : { username: DEMO_USER.username, password: DEMO_USER.password }),
        ShopModule,
        DevicesModule,
      ],
      // Every route requires a session unless it has @Public(): a forgotten decorator then closes a route and does not open one.
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    };
  }
}
