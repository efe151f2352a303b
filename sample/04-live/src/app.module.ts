import { Module, type DynamicModule } from '@nestjs/common';
import { SessionModule } from 'nestjs-sessionx';

import type { AppConfig } from '../../02-auth-api/src/config.js';
import { AccountController } from './account.controller.js';
import { ChatGateway } from './chat.gateway.js';

@Module({})
export class AppModule {
  static with({ secretKey, backend, sessionTtl }: AppConfig): DynamicModule {
    return {
      module: AppModule,
      // The browser sends the cookie with the request that opens the WebSocket; a page of another origin is refused there.
      imports: [SessionModule.forRoot({ secretKey, backend, sessionTtl, tokenSourcePriority: ['cookie'] })],
      controllers: [AccountController],
      providers: [ChatGateway],
    };
  }
}
