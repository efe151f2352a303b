import { Module } from '@nestjs/common';
import { minutes, ThrottlerModule } from '@nestjs/throttler';

import { UsersModule } from '../users/users.module.js';
import { AuthController } from './auth.controller.js';
import { LoginService } from './login.service.js';

@Module({
  imports: [
    UsersModule,
    // Takes effect on routes with ThrottlerGuard. The counts are this process's; several processes share them through a `storage` of
    // their own.
    ThrottlerModule.forRoot([{ limit: 10, ttl: minutes(1) }]),
  ],
  controllers: [AuthController],
  providers: [LoginService],
  exports: [LoginService],
})
export class AuthModule {}
